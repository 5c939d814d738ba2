"""The names that other libraries give to layers, for suggestions."""

from __future__ import annotations

import re
from collections.abc import Iterable

from drilldown.errors import did_you_mean

OTHER_NAMES = {
    "avgpool": ("avgpool2d", "averagepooling", "averagepooling2d", "averagepool"),
    "blurpool": ("blur", "blurpool2d", "antialias", "maxblurpool"),
    "bn": ("batchnorm", "batchnorm1d", "batchnorm2d", "batchnormalization", "norm"),
    "conv": ("conv2d", "convolution", "convolution2d"),
    "dropout": ("drop",),
    "dropout2d": ("spatialdropout", "spatialdropout2d", "channeldropout", "featuredropout"),
    "flatten": ("reshape", "view"),
    "gap": ("globalaveragepool", "globalaveragepooling", "globalaveragepooling2d", "globalavgpool", "globalavgpool2d",
            "globalpool", "adaptiveavgpool", "adaptiveavgpool2d"),
    "gn": ("groupnorm", "groupnormalization"),
    "hardswish": ("hardsilu", "hswish"),
    "leaky": ("leakyrelu", "lrelu"),
    "linear": ("dense", "fc", "fullyconnected"),
    "ln": ("layernorm", "layernorm2d", "layernormalization"),
    "maxpool": ("maxpool2d", "maxpooling", "maxpooling2d", "pool", "pooling"),
    "prelu": ("parametricrelu",),
    "relu": ("activation", "relu6"),
    "se": ("seblock", "selayer", "semodule", "squeezeandexcitation", "squeezeexcitation", "squeezeexcite"),
    "sep": ("separable", "separableconv", "separableconv2d", "separableconvolution", "depthwiseseparable",
            "depthwiseseparableconv"),
    "silu": ("swish",),
}  # fmt: skip
"""The names that other libraries give to layers, without underscores."""
OTHER_WORDS = {
    "conv 3x3 8 depthwise": ("depthwiseconv", "depthwiseconv2d", "dwconv", "depthwise"),
    "pad=1 in the layer after it": ("zeropad2d", "zeropadding2d", "pad", "padding"),
    "{ skip = [...] } as a block": ("add", "residual", "residualblock", "basicblock", "shortcut", "skip", "identity"),
    "{ repeat = 3, layers = [...] } as a block": ("repeat", "sequential", "modulelist"),
}
"""Names of other libraries for what is no layer of its own here, and how it is written."""


def suggest_layer(word: str, known: Iterable[str]) -> str:
    """A suggestion for an unknown layer.

    *Arguments*: `known`: the layers of the notation.

    >>> suggest_layer("global_average_pool", ["bn", "gap"])
    'did you mean "gap"?'
    """
    plain = re.sub(r"[^a-z0-9]", "", word.lower().partition("(")[0].removeprefix("nn."))  # as in nn.MaxPool2d(2)
    for name, others in OTHER_NAMES.items():
        if plain in others:
            return f'did you mean "{name}"?'
    for written, others in OTHER_WORDS.items():
        if plain in others:
            return f"write {written}"
    return did_you_mean(word, known) or 'write other layers as your own module: python = "model.py:Net"'
