"""The checks that an exported file must pass on the whole test set before it is published."""

from __future__ import annotations

from typing import Any

import torch

from drilldown.evaluation.predictions import Predictions
from drilldown.export.document import Flipped, Judged
from drilldown.export.integer import IntegerGraph
from drilldown.export.names import FormatName

TOLERANCE = 1e-4
"""The greatest difference of a logit in floating point, as a share of 1 + the largest logit."""
MOST_FLIPS = 0.001
"""The share of images that ONNX may predict otherwise than the same integers in C. The flagship has none."""
MOST_LOST = 0.01
"""The share of images that a network may predict wrongly because of 8-bit integers. The flagship has about 0.0001."""
FEW = 3
"""The number of images that are allowed in any case: of a small test set, a share says little."""


def judge_float(name: FormatName, predictions: Predictions, outputs: list[torch.Tensor], **more: Any) -> Judged:
    """Judges a file in floating point: its logits are those of the run.

    *Arguments*: `predictions`: of the run. `outputs`: the file's logits for all test images, (N, classes), each way of
    calculating them that was tried.
    """
    wanted = predictions.logits.double()
    limit = TOLERANCE * (1 + float(wanted.abs().max()))
    distances = [(output.double() - wanted).abs().nan_to_num(nan=1e30, posinf=1e30) for output in outputs]
    worst = max(distances, key=lambda distance: float(distance.max()))
    differing, greatest = int((worst > limit).any(1).sum()), float(worst.max())
    missed = f"logits differ by up to {greatest:.3g}, more than {limit:.3g}" if differing else None
    return _judged(
        name, predictions, outputs[-1], differing=differing, greatest=greatest, missed=missed,
        measure=f"images have a logit that differs from PyTorch's by more than {limit:.2g}", **more,
    )  # fmt: skip


def judge_integers(
    name: FormatName, predictions: Predictions, found: torch.Tensor, wanted: torch.Tensor, **more: Any
) -> Judged:
    """Judges C code with integers: its logits are those of the reference, bit by bit.

    *Arguments*: `found`, `wanted`: the logits of the C code and of the reference, (N, classes), int32.
    """
    distance = (found.long() - wanted.long()).abs()
    differing = int((distance > 0).sum())
    missed = f"{differing:,} of {distance.numel():,} logits differ from the reference" if differing else None
    return _judged(
        name, predictions, found, differing=differing, greatest=float(distance.max()),
        missed=missed or _accuracy_lost(predictions, found), measure="logits differ from the reference", **more,
    )  # fmt: skip


def judge_nearly_integers(
    name: FormatName, predictions: Predictions, outputs: list[torch.Tensor], network: IntegerGraph,
    wanted: torch.Tensor, **more: Any,
) -> Judged:  # fmt: skip
    """Judges a file that calculates with the same integers in its own way: nearly all predictions are the same.

    *Arguments*: `outputs`: as of `judge_float`. `network`, `wanted`: the reference, and its logits, int32.
    """
    classes = wanted.argmax(1)
    counts = [int((output.argmax(1) != classes).sum()) for output in outputs]
    differing, allowed = max(counts), max(FEW, int(MOST_FLIPS * len(wanted)))
    steps = [
        (output.double() / network.levels.scale - wanted.double() + network.levels.zero).abs() for output in outputs
    ]
    missed = (
        f"{differing:,} predictions differ from the C code's; {allowed} are allowed" if differing > allowed else None
    )
    return _judged(
        name, predictions, outputs[-1], differing=differing,
        greatest=max(float(step.nan_to_num(nan=1e30, posinf=1e30).max()) for step in steps),
        missed=missed or _accuracy_lost(predictions, outputs[-1]),
        measure="predictions differ from the C code's", **more,
    )  # fmt: skip


def _accuracy_lost(predictions: Predictions, logits: torch.Tensor) -> str | None:
    """A sentence where 8-bit integers cost too much accuracy."""
    correct, total = int((logits.argmax(1) == predictions.split.labels).sum()), len(logits)
    lost = predictions.tally.correct - correct
    if lost <= max(FEW, MOST_LOST * total):
        return None
    return f"{correct:,} of {total:,} images are correct, {lost:,} fewer than in floating point"


def _judged(name: FormatName, predictions: Predictions, logits: torch.Tensor, **more: Any) -> Judged:
    found, before, labels = logits.argmax(1), predictions.predicted, predictions.split.labels
    flipped = (found != before).nonzero().flatten()
    return Judged(
        format=name,
        correct=int((found == labels).sum()),
        total=len(labels),
        flipped=tuple(
            Flipped(image=image, truth=int(labels[image]), run=int(before[image]), exported=int(found[image]))
            for image in flipped.tolist()
        ),
        **more,
    )
