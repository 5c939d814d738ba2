"""Random networks of all layers and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from drilldown.errors import DrilldownError
from drilldown.network.blocks import Block, canonical_block
from drilldown.network.layers import NotationError
from drilldown.network.layout import lay_out

CLASSES = 4
WITHOUT_NUMBERS = ("bn", "bn noscale", "ln", "relu", "prelu", "silu", "gelu", "hardswish", "leaky 0.1", "leaky 0.3")


def texts(*, dropout: bool = True) -> st.SearchStrategy[str]:
    """Single layers; they may not fit."""
    kernel, out = st.sampled_from([1, 2, 3, 5]), st.sampled_from([2, 4, 6, 12])
    odd, stride = st.sampled_from([1, 3, 5]), st.sampled_from(["", "", " stride=2", " stride=3"])
    conv = st.builds(
        lambda k, o, s, rest: f"conv {k}x{k} {o}{s}{rest}",
        odd, out, stride,
        st.sampled_from([" pad=same", " pad=same", " pad=same depthwise", " pad=same groups=2", " dilation=2 pad=same",
                         " expand=2 pad=same", " expand=3 bias", " bias", " pad=2 bias", ""]),
    )  # fmt: skip
    return st.one_of(
        conv,
        st.builds(lambda k, o: f"conv {k}x{k} {o}", kernel, out),
        st.builds(lambda k, o, s: f"sep {k}x{k} {o}{s} pad=same", odd, out, stride),
        st.sampled_from(WITHOUT_NUMBERS),
        st.sampled_from(["gn 1", "gn 2", "se 1", "se 2", "se 4", *["dropout 0.2", "dropout2d 0.3"] * dropout]),
        st.sampled_from(["maxpool 2", "maxpool 3 stride=2 pad=1", "avgpool 2", "avgpool 3 stride=1 pad=1", "blurpool",
                         "blurpool 5 stride=1", "maxpool 2 stride=1"]),
    )  # fmt: skip


def blocks(*, dropout: bool = True) -> st.SearchStrategy[Any]:
    """Blocks of valid notation, with tables; they may not fit."""
    text = st.lists(texts(dropout=dropout), min_size=1, max_size=3).map(", ".join)

    def tables(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several = st.lists(inner, min_size=1, max_size=2)
        return st.one_of(
            several.map(lambda blocks: {"skip": blocks}),
            st.builds(
                lambda times, shared, blocks: {"repeat": times, "shared": shared, "layers": blocks},
                st.integers(1, 3), st.booleans(), several,
            ),
        )  # fmt: skip

    return st.recursive(text, tables, max_leaves=4)


@st.composite
def networks(
    draw: st.DrawFn, *, dropout: bool = True, most: int = 4, channels: int = 3
) -> tuple[list[Block], tuple[int, int, int]]:
    """Blocks that fit an image and give CLASSES logits; and the image's shape."""
    image = draw(st.integers(1, channels)), draw(st.integers(4, 11)), draw(st.integers(4, 11))
    fitting: list[Block] = []
    for block in draw(st.lists(blocks(dropout=dropout), max_size=most)):
        if fits([*fitting, block], image):
            fitting.append(canonical_block(block))
    head = draw(st.sampled_from([f"gap, linear {CLASSES}", f"conv 1x1 {CLASSES}, gap", f"flatten, linear {CLASSES}"]))
    return [*fitting, head], image


def fits(blocks: Sequence[Any], image: tuple[int, int, int]) -> bool:
    try:
        lay_out([*map(canonical_block, blocks), f"flatten, linear {CLASSES}"], image, CLASSES)
    except (DrilldownError, NotationError):
        return False
    return True
