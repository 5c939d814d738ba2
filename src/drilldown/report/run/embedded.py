"""The trained network inside a page: its layers as JSON, its weights as base64.

`templates/network.js` reads and runs it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from drilldown.evaluation.activation_maps import gap_index
from drilldown.experiment.experiment import Experiment
from drilldown.runs.run import Run

MAX_PARAMETERS = 250_000
"""A larger network is not embedded: the page would exceed 1.3 MB and answer slowly."""
MAX_PIXELS = 65_536
"""Larger images are not given to a page: its examples would have megabytes, and its layers answer slowly."""
BROWSER_LAYERS = frozenset(
    {
        "add", "avgpool", "blurpool", "bn", "conv", "dropout", "dropout2d", "flatten", "gap", "gelu", "gn", "hardswish",
        "leaky", "linear", "ln", "maxpool", "prelu", "relu", "se", "silu",
    }
)  # fmt: skip
"""The layers, by their word in the notation, that `templates/network.js` can run; `sep` stands for two of them."""
EPS = torch.nn.BatchNorm2d(1).eps
"""The number that all norms add to the variance."""


def why_not_embedded(experiment: Experiment) -> str | None:
    """Why a page cannot hold the network, as a sentence; None where it can.

    >>> why_not_embedded(drilldown.load("under-8k")) is None
    True
    """
    if experiment.network.python is not None:
        return (
            f"The network is Python code ({experiment.network.python}), which a browser cannot run; "
            "a report embeds only networks in block notation."
        )
    unknown = sorted({placed.layer.word for placed in experiment.layout or ()} - BROWSER_LAYERS)
    if unknown:
        return f"A page cannot run this network: it has no browser code for {', '.join(unknown)}."
    parameters = experiment.model_summary.parameters
    if parameters > MAX_PARAMETERS:
        return f"With {parameters:,} parameters the network is too large for a page; the limit is {MAX_PARAMETERS:,}."
    channels, height, width = experiment.image[0]
    if channels * height * width > MAX_PIXELS:
        size = f"{height:,}x{width:,}" + (f" with {channels} channels" if channels > 1 else "")
        return f"Images of {size} are too large for a page; the limit is {MAX_PIXELS:,} numbers."
    return None


def embed_run(run: Run, experiment: Experiment) -> dict[str, Any]:
    """A finished run's network with the normalisation of its images, as `embed_network` returns it."""
    mean, std = run.normalisation
    return embed_network(experiment, run.model().state_dict(), mean, std)


def embed_network(
    experiment: Experiment, state: Mapping[str, torch.Tensor], mean: Sequence[float], std: Sequence[float]
) -> dict[str, Any]:
    """The document that `readNetwork` in `templates/network.js` reads.

    *Arguments*: `state`: the tensors of `experiment.build()`, by name. `mean`, `std`: of each channel's pixels, scaled
    to 0…1.
    """
    image, classes = experiment.image
    layers, weights = [], []
    for placed in experiment.layout or ():
        tensors = {
            name.removeprefix(f"{placed.name}."): tensor
            for name, tensor in ({} if placed.shared else state).items()
            if name.startswith(f"{placed.name}.") and tensor.is_floating_point()  # not batch norm's count of batches
        }
        weights += [tensor.detach().cpu().numpy().astype("<f4").ravel() for tensor in tensors.values()]
        layers.append(
            {
                "name": placed.name,
                "kind": placed.layer.word,
                "text": str(placed.layer),
                "input": placed.input,
                "output": placed.output,
                "sources": placed.sources,
                "shared": placed.shared,
                "adjusts": placed.layer.overwrites and len(placed.sources) == 1,
                "tensors": {name: tensor.numel() for name, tensor in tensors.items()},
                **{key: value for key, value in asdict(placed.layer).items() if key != "bias"},
                **({"eps": EPS} if placed.layer.own_weights else {}),
            }
        )
    return {
        "image": image,
        "classes": classes,
        "mean": mean,
        "std": std,
        "gap": gap_index(experiment.layout),
        "layers": layers,
        "weights": base64.b64encode(np.concatenate(weights).tobytes()).decode(),
    }
