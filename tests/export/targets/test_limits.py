"""Limits for flash and RAM: sizes as users write them, and a sentence for each limit that is exceeded."""

from __future__ import annotations

import pytest

from drilldown.errors import DrilldownError
from drilldown.export.targets.figures import Sizes, TargetFigures
from drilldown.export.targets.limits import Limits, exceeded, parse_size

SIZES = Sizes(flash=9_000, text=1_000, rodata=8_000, data=0, bss=0, library=0, ram=2_000, stack=100)


@pytest.mark.parametrize(
    ("text", "size"),
    [("16k", 16_384), ("4K", 4_096), ("4 KiB", 4_096), ("2kB", 2_048), ("2048", 2_048), ("2,048 B", 2_048), ("0", 0)],
)
def test_a_size_is_read_as_a_data_sheet_means_it(text, size) -> None:
    assert parse_size(text, "--ram") == size


@pytest.mark.parametrize("text", ["", "k", "-1", "1.5k", "16m", "16k 2"])
def test_another_text_is_refused_with_an_example(text) -> None:
    with pytest.raises(DrilldownError, match=r"--flash: found .*; expected a number of bytes, such as 16k or 2048"):
        parse_size(text, "--flash")


@pytest.mark.parametrize(
    ("limits", "lines"),
    [
        (Limits(), ()),
        (Limits(flash=9_000, ram=2_100), ()),
        (Limits(flash=8_999), ("avr: flash 9,000 B, limit 8,999 B: 1 B too much",)),
        (Limits(ram=2_048), ("avr: RAM 2,100 B = 2,000 B + 100 B of stack, limit 2,048 B: 52 B too much",)),
    ],
)
def test_what_exceeds_a_limit_is_named(limits, lines) -> None:
    assert exceeded(limits, TargetFigures(target="avr", processor="AVR", sizes=SIZES)) == lines


def test_a_limit_that_cannot_be_judged_is_not_kept() -> None:
    unknown = TargetFigures(target="avr", processor="AVR", missing=("avr-gcc is not installed",))
    assert exceeded(Limits(ram=5), unknown) == ("avr: RAM not measured (limit 5 B)",)
