"""The names that other libraries give to layers, for suggestions."""

from __future__ import annotations

import re
from collections.abc import Iterable

from drilldown.errors import did_you_mean

OTHER_NAMES = {
    "avgpool": ("avgpool2d", "averagepooling", "averagepooling2d", "averagepool"),
    "bn": ("batchnorm", "batchnorm2d", "batchnormalization", "norm"),
    "conv": ("conv2d", "convolution", "convolution2d"),
    "dropout": ("dropout2d", "drop"),
    "flatten": ("reshape", "view"),
    "gap": ("globalaveragepool", "globalaveragepooling", "globalaveragepooling2d", "globalavgpool", "globalavgpool2d",
            "globalpool", "adaptiveavgpool", "adaptiveavgpool2d"),
    "linear": ("dense", "fc", "fullyconnected"),
    "maxpool": ("maxpool2d", "maxpooling", "maxpooling2d", "pool", "pooling"),
    "relu": ("activation", "relu6"),
}  # fmt: skip
"""The names that other libraries give to layers, without underscores."""


def suggest_layer(word: str, known: Iterable[str]) -> str:
    """A suggestion for an unknown layer.

    *Arguments*: `known`: the layers of the notation.

    >>> suggest_layer("global_average_pool", ["bn", "gap"])
    'did you mean "gap"?'
    """
    plain = re.sub(r"[^a-z0-9]", "", word.lower())
    for name, others in OTHER_NAMES.items():
        if plain in others:
            return f'did you mean "{name}"?'
    return did_you_mean(word, known) or 'write other layers as your own module: python = "model.py:Net"'
