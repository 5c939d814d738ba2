"""Limits on a chip in a budget: sizes as people write them, and one message for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from drilldown.errors import DrilldownError
from drilldown.experiment.loading import read_experiment

FILE = 'title = "A"\n\n[network]\nlayers = ["gap, linear 10"]\n\n[recipe]\ndataset = "glyphs"\nepochs = 1\n\n[budget]\n'


def read(folder: Path, lines: str):
    (folder / "a.toml").write_text(FILE + lines)
    return read_experiment(folder / "a.toml")


@pytest.mark.parametrize(
    ("flash", "size"), [('"16k"', 16_384), ("16_384", 16_384), ('"4 KiB"', 4_096), ('"2_048"', 2_048), ("1", 1)]
)
def test_a_limit_is_a_number_of_bytes_or_text(tmp_path, flash, size) -> None:
    experiment = read(tmp_path, f'flash = {flash}\nchip = "cortex-m0"\n')
    assert (experiment.budget.flash, experiment.budget.ram, experiment.budget.chip) == (size, None, "cortex-m0")
    (tmp_path / "b.toml").write_text(experiment.to_toml())
    assert read_experiment(tmp_path / "b.toml").budget == experiment.budget


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('flash = "16 k"\nchip = "avr"', '11: budget.flash: found "16 k"; expected a number of bytes, such as 16k'),
        ('ram = "-1"\nchip = "avr"', '11: budget.ram: found "-1"; expected a number of bytes'),
        ('ram = -1\nchip = "avr"', "11: budget.ram: found -1; expected a number of bytes above 0"),
        ('ram = "0k"\nchip = "avr"', '11: budget.ram: found "0k"; expected a number of bytes above 0'),
        ('ram = 1.5\nchip = "avr"', "11: budget.ram: found 1.5; expected a number of bytes above 0"),
        ('ram = true\nchip = "avr"', "11: budget.ram: found true; expected a number of bytes above 0"),
        ('flash = "16k"\nchip = "cortex-m5"', '12: budget.chip: found "cortex-m5"; expected "cortex-m0", .* did you'),
        ('flash = "16k"\nram = "4k"', '10: budget: flash and ram without a chip; expected .* chip = "cortex-m4"'),
        ('chip = "avr"', '10: budget: chip = "avr" limits nothing; expected also flash or ram'),
    ],
)
def test_wrong_limits_are_named_with_file_and_line(tmp_path, lines, message) -> None:
    with pytest.raises(DrilldownError, match=rf"a\.toml:{message}") as caught:
        read(tmp_path, lines)
    assert len(caught.value.problems) == 1


def test_limits_on_a_chip_are_no_part_of_the_fingerprint(tmp_path) -> None:
    plain, limited = read(tmp_path, "hold = 1\n"), read(tmp_path, 'ram = "2k"\nchip = "avr"\n')
    assert plain.fingerprint == limited.fingerprint
