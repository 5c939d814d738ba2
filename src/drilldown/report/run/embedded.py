"""The trained network as a page can carry it: its layers as JSON, its weights as base64.

`templates/network.js` reads it and runs it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from drilldown.experiment.experiment import Experiment
from drilldown.network.layout import lay_out
from drilldown.runs.run import Run

LARGEST = 250_000
"""Parameters beyond which a network stays out of the page: it would weigh more than 1.3 MB, and answer slowly."""
BATCHNORM_EPS = torch.nn.BatchNorm2d(1).eps


def why_not_embedded(experiment: Experiment) -> str | None:
    """Why a network cannot be embedded, as a sentence; None where it can.

    >>> why_not_embedded(drilldown.load("under-8k")) is None
    True
    """
    if experiment.network.python is not None:
        return (
            f"The network is Python code ({experiment.network.python}), which a browser does not run; "
            "networks in block notation are in their report."
        )
    if experiment.model_summary.parameters > LARGEST:
        return (
            f"With {experiment.model_summary.parameters:,} parameters the network is too large for a page; "
            f"up to {LARGEST:,} are embedded."
        )
    return None


def embed_run(run: Run, experiment: Experiment) -> dict[str, Any]:
    """A finished run's network, with what its images are normalised by."""
    mean, std = run.normalisation
    return embed_network(experiment, run.model().state_dict(), mean, std)


def embed_network(experiment: Experiment, state: Mapping[str, torch.Tensor], mean: float, std: float) -> dict[str, Any]:
    """The document that `readNetwork` in `templates/network.js` reads.

    *Arguments*: `state`: the tensors of `experiment.build()`, by name. `mean`, `std`: of pixels scaled to 0…1.
    """
    assert experiment.network.layers is not None
    image, classes = experiment.image
    layers, weights = [], []
    for placed in lay_out(experiment.network.layers, image, classes):
        own = {
            name.removeprefix(f"{placed.name}."): tensor
            for name, tensor in state.items()
            if name.startswith(f"{placed.name}.") and tensor.is_floating_point()  # not bn's count of batches
        }
        weights += [tensor.detach().cpu().numpy().astype("<f4").ravel() for tensor in own.values()]
        layers.append(
            {
                "name": placed.name,
                "kind": placed.layer.word,
                "text": str(placed.layer),
                "input": placed.input,
                "output": placed.output,
                "tensors": {name: tensor.numel() for name, tensor in own.items()},
                **{key: value for key, value in asdict(placed.layer).items() if key != "bias"},
                **({"eps": BATCHNORM_EPS} if placed.layer.word == "bn" else {}),
            }
        )
    return {
        "image": image,
        "classes": classes,
        "mean": mean,
        "std": std,
        "layers": layers,
        "weights": base64.b64encode(np.concatenate(weights).tobytes()).decode(),
    }
