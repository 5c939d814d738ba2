"""The command that suggests a learning rate: lr."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drilldown.cli.options import (
    DataOption,
    DeviceOption,
    EngineOption,
    ExperimentArgument,
    JsonOption,
    Overrides,
    ThreadsOption,
    TrustOption,
    folders_from,
    print_json,
    print_notice,
)
from drilldown.errors import DrilldownError, Problem
from drilldown.settings import Compute

if TYPE_CHECKING:
    from drilldown.training.lr_range import LrRange


def lr(
    experiment: ExperimentArgument,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Train with this seed.")] = 0,
    engine: EngineOption = "auto",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    data: DataOption = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw the losses.")] = None,
    as_json: JsonOption = False,
    _trust: TrustOption = False,
) -> None:
    """Suggest a learning rate by a range test.

    Train 400 steps while the learning rate rises from 0.00001 to 10, or until the loss diverges. No run folder is
    written, and a later training gives the same result as without the test.
    """
    from drilldown.experiment.loading import load_experiment
    from drilldown.terminal.console import make_console
    from drilldown.terminal.live import LiveDisplay
    from drilldown.terminal.lr_range import print_lr_range
    from drilldown.training.lr_range import measure_lr_range

    if plot is not None:
        _check_plot(plot)
    folders = folders_from(data)
    loaded = load_experiment(experiment, overrides)
    live = LiveDisplay()
    try:
        dataset = loaded.recipe.load_dataset(folders.data, on_download=live.on_download)
    finally:
        live.stop()
    compute = Compute(engine=engine, device=device, threads=threads)
    found = measure_lr_range(loaded, dataset, seed=seed, compute=compute, on_notice=print_notice)
    if plot is not None and found.steps:
        _write_plot(found, plot)
    elif plot is not None:
        print_notice(f"{plot} was not written: the loss of the first step was not finite")
    if as_json:
        print_json(found.to_json())
    else:
        print_lr_range(make_console(stderr=False), found)


def _check_plot(file: Path) -> None:
    """Raises DrilldownError before the test where the plot could not be written after it."""
    if file.suffix.lower() != ".png":
        raise DrilldownError(Problem(place="--plot", found=f'found "{file}"', expected="a name that ends in .png"))
    if not os.path.isdir(file.parent):
        raise DrilldownError(Problem(file=file.parent, found="no such folder", expected="the folder of --plot"))


def _write_plot(found: LrRange, file: Path) -> None:
    from drilldown.files import explain_file_errors
    from drilldown.report.lr_chart import draw_lr_range
    from drilldown.report.pictures import figure_png

    with explain_file_errors(file):
        file.write_bytes(figure_png(draw_lr_range(found)))
    print_notice(f"wrote {file}")
