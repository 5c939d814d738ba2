"""Where the figures on a chip come from: the run's export, its summary, or a measurement; and a missing compiler."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from drilldown.evaluation.chips import ChipFigures
from drilldown.experiment.loading import read_experiment
from drilldown.export.exporting import export_run
from drilldown.files import json_bytes, with_checksum
from drilldown.runs.chips import figures_untrained
from drilldown.runs.finding import rebudget
from drilldown.runs.perform import perform
from drilldown.runs.run import FinishedRun, Run
from drilldown.settings import Folders
from support.exports import need_program


def judged(folder: Path, *limits: str) -> FinishedRun:
    return rebudget(Run(folder), [f"budget.{limit}" for limit in limits]).read()


def line(run: FinishedRun, name: str) -> str:
    return next(line.text for line in run.verdict.lines if line.name == name)


@pytest.fixture
def copied(uninterrupted: Path, tmp_path: Path) -> Path:
    """A folder of its own for a finished run."""
    folder = tmp_path / "runs" / "own" / uninterrupted.parent.name / uninterrupted.name
    shutil.copytree(uninterrupted, folder)
    return folder


@pytest.fixture
def no_compilers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_finished_run_is_measured_when_it_is_judged_and_as_its_export_is(copied: Path) -> None:
    need_program("avr-gcc", "gcc-avr avr-libc")
    run = judged(copied, "flash=8k", "ram=64", "chip=avr")
    figures = run.chip
    assert figures is not None
    assert figures.flash is not None
    assert not run.passed
    assert line(run, "flash").startswith(f"{figures.flash:,} B (limit 8,192 B on avr), ")
    assert line(run, "ram").endswith("B too much")
    (target,) = export_run(Run(copied), ["c-int8"], targets=["avr"]).targets
    sizes = target.sizes
    assert sizes is not None
    assert (figures.flash, figures.ram, figures.stack) == (sizes.flash, sizes.ram, sizes.stack)


@pytest.mark.usefixtures("no_compilers")
def test_the_figures_of_the_export_count_for_the_same_weights_alone(copied: Path) -> None:
    document = {
        "weights": Run(copied).weights_digest,
        "targets": [{"target": "cortex-m3", "sizes": {"flash": 77, "ram": 5, "stack": 6}}],
    }
    (copied / "export").mkdir()
    file = copied / "export" / "export.json"
    file.write_bytes(json_bytes(with_checksum(document)))
    assert line(judged(copied, "flash=77", "ram=10", "chip=cortex-m3"), "flash").startswith("77 B (limit 77 B")
    assert not judged(copied, "flash=77", "ram=10", "chip=cortex-m3").passed  # 5 B and 6 B of stack
    assert "not measured" in line(judged(copied, "flash=77", "chip=cortex-m0"), "flash")
    for content in (json_bytes(with_checksum({**document, "weights": "0"})), b"{", b'{"weights": []}'):
        file.write_bytes(content)
        assert "not measured" in line(judged(copied, "flash=77", "chip=cortex-m3"), "flash")


@pytest.mark.usefixtures("no_compilers")
def test_a_missing_compiler_is_named_with_its_package_and_the_budget_is_not_met(copied: Path) -> None:
    run = judged(copied, "ram=1000k", "chip=riscv32")
    assert not run.passed
    assert line(run, "ram") == (
        "not measured (limit 1,024,000 B on riscv32), riscv64-unknown-elf-gcc is not installed "
        "(Debian and Ubuntu: apt install gcc-riscv64-unknown-elf)"
    )


def test_the_summary_of_a_new_run_holds_the_figures_and_the_verdict(tmp_path: Path, monkeypatch) -> None:
    need_program("arm-none-eabi-gcc", "gcc-arm-none-eabi")
    (tmp_path / "a.toml").write_text(
        'title = "A"\n[network]\nlayers = ["conv 3x3 2 stride=3, bn, relu", "gap, linear 10"]\n'
        '[recipe]\ndataset = "glyphs"\nepochs = 1\n[budget]\nflash = "2k"\nram = 300\nchip = "cortex-m0"\n'
    )
    experiment = read_experiment(tmp_path / "a.toml")
    run = perform(experiment, folders=Folders(runs=tmp_path / "runs"))
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary["chip"]["chip"] == "cortex-m0"
    assert summary["verdict"]["flash"]["found"] == f"{summary['chip']['flash']:,} B"
    untrained = figures_untrained(experiment)
    assert untrained == ChipFigures(**summary["chip"])
    monkeypatch.setenv("PATH", str(tmp_path))  # the figures are stored
    assert Run(run.path).read().verdict == Run(run.path, source=experiment).read().verdict == run.verdict


def test_with_4_bits_verdict_summary_and_export_measure_the_packed_weights(tmp_path: Path) -> None:
    need_program("arm-none-eabi-gcc", "gcc-arm-none-eabi")
    (tmp_path / "a.toml").write_text(
        'title = "A"\n[network]\nlayers = ["conv 3x3 4 stride=3, bn, relu", "conv 3x3 16, bn, relu", '
        '"conv 3x3 16, bn, relu", "gap, linear 10"]\n[recipe]\ndataset = "glyphs"\nepochs = 1\n'
        'precision = "int4"\n[budget]\nflash = "8k"\nchip = "cortex-m0"\n'
    )
    experiment = read_experiment(tmp_path / "a.toml")
    run = perform(experiment, folders=Folders(runs=tmp_path / "runs"))
    figures = run.read().chip
    assert figures == figures_untrained(experiment)
    (target,) = export_run(Run(run.path), ["c-int8"], targets=["cortex-m0"]).targets
    assert figures is not None
    assert target.sizes is not None
    assert figures.flash == target.sizes.flash
    (tmp_path / "a.toml").write_text((tmp_path / "a.toml").read_text().replace("int4", "fp32"))
    wide = figures_untrained(read_experiment(tmp_path / "a.toml"))
    assert wide is not None
    assert wide.flash is not None
    assert figures.flash is not None
    # 2,880 weights take half a byte less each; the code that unpacks them is added.
    assert 700 < wide.flash - figures.flash < 1440


def test_a_network_without_an_int8_form_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        'title = "A"\n[network]\nlayers = ["conv 3x3 4, gn 2, relu", "gap, linear 10"]\n'
        '[recipe]\ndataset = "glyphs"\nepochs = 1\n[budget]\nflash = "2k"\nchip = "host"\n'
    )
    figures = figures_untrained(read_experiment(tmp_path / "a.toml"))
    assert figures is not None
    assert figures.missing == "network: gn1: gn cannot be calculated with 8-bit integers"
