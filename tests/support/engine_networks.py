"""Networks for the contract of the engines: one for each word of the notation, and any others."""

from __future__ import annotations

import contextlib
import math

from hypothesis import strategies as st

from drilldown.errors import DrilldownError
from drilldown.network.blocks import Block
from drilldown.network.layout import lay_out
from support.engines import CLASSES

GAP_HEAD = ("gap", f"linear {CLASSES}")

WORDS: dict[str, list[Block]] = {
    "avgpool": ["conv 3x3 5 pad=same, avgpool 3 stride=1 pad=1, conv 3x3 4, avgpool 2 stride=3 pad=1"],
    "bn": ["conv 3x3 5, bn noscale, relu, conv 3x3 4, relu, bn noscale, dropout 0.1"],
    "bn and a pool": [
        "conv 3x3 5 pad=2, bn, relu, maxpool 2, conv 3x3 6 pad=same, bn noscale, leaky 0.2, maxpool 2",
        "conv 2x2 7 pad=1, bn, hardswish, maxpool 2",
    ],
    "conv": ["conv 3x3 5 dilation=2 pad=same, conv 2x2 6 dilation=3 pad=2 stride=2 bias, conv 1x1 3 stride=3 pad=2"],
    "conv depthwise": ["conv 3x3 5, conv 3x3 5 depthwise pad=same, relu, conv 5x5 15 depthwise stride=2 pad=2 bias"],
    "conv expand": ["conv 3x3 5 expand=3 pad=1 bias, bn, relu, conv 3x3 6 stride=2 expand=2, dropout 0.2"],
    "conv with a wide pad": ["conv 3x3 5 pad=4, relu, conv 3x3 5 stride=3 pad=5"],
    "dropout": ["conv 3x3 5, dropout 0.3, relu"],
    "dropout2d": ["conv 3x3 5, dropout2d 0.3, conv 3x3 6, relu, dropout2d 0.5"],
    "flatten": ["conv 3x3 5, flatten, relu"],
    "gap": ["conv 3x3 5, gap, relu"],
    "gelu": ["conv 3x3 5, bn, gelu, conv 3x3 4, gelu"],
    "hardswish": ["conv 3x3 5, bn, hardswish, conv 3x3 4, hardswish"],
    "leaky": ["conv 3x3 5, bn, leaky 0.1, conv 3x3 4, leaky 0.3"],
    "linear": ["flatten, linear 7, relu"],
    "maxpool": ["maxpool 3 stride=1 pad=1, conv 3x3 5 pad=same, maxpool 3 stride=2 pad=1, maxpool 2 stride=1"],
    "prelu": ["conv 3x3 5, bn, prelu, conv 3x3 4, prelu"],
    "relu": ["conv 3x3 5, bn, relu"],
    "sep": ["sep 3x3 7 pad=same, bn, relu, sep 3x3 4 stride=2"],
    "silu": ["conv 3x3 5, bn, silu, conv 3x3 4, silu"],
    "skip": [
        "conv 3x3 5, bn",
        {"skip": ["conv 3x3 5 pad=same, bn, relu, conv 3x3 5 pad=same, bn"]},
        "relu",
        {"skip": ["conv 3x3 8 stride=2 pad=same, bn, relu, conv 3x3 8 pad=same, bn, dropout 0.1"]},
        "relu",
    ],
    "skip in a skip": [
        {"skip": ["conv 3x3 5 pad=same, relu"]},
        {"skip": [{"skip": ["conv 3x3 5 pad=same"]}, "bn, silu"]},
        {"skip": ["conv 1x1 5", {"skip": ["maxpool 3 stride=1 pad=1"]}, "avgpool 3 stride=1 pad=1, conv 5x5 5 pad=2"]},
    ],
    "repeat": [
        "conv 3x3 5, relu",
        {
            "repeat": 3,
            "shared": True,
            "layers": [
                "conv 3x3 5 pad=same, bn, relu, dropout 0.1, conv 3x3 5 pad=same depthwise, prelu, bn noscale",
                {"skip": ["conv 1x1 5 bias"]},
            ],
        },
    ],
}  # fmt: skip
"""A network for each word and table that both engines have, without its head."""


def network_of(word: str) -> list[Block]:
    """The network of WORDS, whose outputs become logits."""
    return [*WORDS[word], *GAP_HEAD[word in ("flatten", "gap", "linear") :]]


@st.composite
def networks(draw: st.DrawFn, *, dropout: bool) -> tuple[list[Block], tuple[int, int]]:
    """Draws layers in any valid order, and the height and width of the images."""
    side = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    blocks: list[Block] = []

    def try_to_add(block: Block, text: str) -> None:
        with contextlib.suppress(DrilldownError):
            shape = lay_out([*blocks, block, "flatten", f"linear {CLASSES}"], (1, *side), CLASSES)[-3].output
            # A norm of very few values, or of one already normalised, loses all digits in any implementation.
            normed = any(isinstance(last, str) and last.startswith("bn") for last in blocks[-2:])
            if "bn" not in text or (math.prod(shape[1:]) >= 16 and not normed):
                blocks.append(block)

    for _ in range(draw(st.integers(0, 9))):
        text = draw(_layers(dropout=dropout))
        table = draw(st.sampled_from(["", "", "", "skip", "repeat"]))
        if table == "skip":
            try_to_add({"skip": [text]}, text)
        elif table == "repeat" and "bn" not in text:
            try_to_add({"repeat": 2, "shared": True, "layers": [text]}, text)
        else:
            try_to_add(text, text)
    head = draw(st.sampled_from([["flatten"], ["gap"], []]))
    if draw(st.booleans()) and head == ["gap"]:
        return [*blocks, f"conv 1x1 {CLASSES}", "gap"], side
    return [*blocks, *(head or ["flatten"]), f"linear {CLASSES}"], side


@st.composite
def _layers(draw: st.DrawFn, *, dropout: bool) -> str:
    """Draws one layer, with numbers that often fit."""
    plain = ["bn", "bn noscale", "relu", "gelu", "hardswish", "prelu", "silu"]
    kinds = ["conv", "conv", "conv", "sep", "maxpool", "avgpool", "leaky", *plain, *["dropout", "dropout2d"] * dropout]
    kind = draw(st.sampled_from(kinds))
    if kind in plain:
        return kind
    if kind == "leaky":
        return f"leaky {draw(st.sampled_from([0.01, 0.3]))}"
    if kind.startswith("dropout"):
        return f"{kind} {draw(st.sampled_from([0.1, 0.5, 0.9]))}"
    size = draw(st.integers(1, 3 if "pool" in kind else 5))
    stride, pad = draw(st.integers(1, 3)), draw(st.integers(0, size // 2 if "pool" in kind else size))
    if "pool" in kind:
        return f"{kind} {size} stride={stride} pad={pad}"
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    out = groups * draw(st.integers(1, 18 // groups))
    window = f"{size}x{size} {out} stride={stride} pad={pad} dilation={draw(st.sampled_from([1, 1, 2]))}"
    if kind == "sep":
        return f"sep {window}"
    rest = draw(st.sampled_from([f"groups={groups}", f"groups={groups} bias", "depthwise", "expand=2"]))
    return f"conv {window} {rest}"
