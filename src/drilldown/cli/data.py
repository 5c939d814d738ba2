"""The commands about images: data, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from drilldown.cli.options import (
    DataOption,
    JsonOption,
    RunArgument,
    RunsOption,
    TrustOption,
    folders_from,
    print_json,
)
from drilldown.errors import DrilldownError
from drilldown.settings import RUNS_DIR


def data(
    name: Annotated[
        str, typer.Argument(help="mnist, fashion-mnist, kmnist, qmnist, glyphs or a folder of IDX files.")
    ] = "mnist",
    preview: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw samples of each class.")] = None,
    folder: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch, verify and describe a dataset."""
    from drilldown.analysis.documents import dataset_document
    from drilldown.data.loading import load_dataset
    from drilldown.terminal.console import echo, make_console
    from drilldown.terminal.live import LiveDisplay
    from drilldown.terminal.tables import print_dataset

    folders = folders_from(folder)
    live = LiveDisplay()
    try:
        dataset = load_dataset(name, folders.data, on_download=live.on_download)
    finally:
        live.stop()
    if not as_json:
        print_dataset(make_console(stderr=False), dataset)
    if preview is not None:
        from drilldown.files import explain_file_errors
        from drilldown.report.pictures import figure_png
        from drilldown.report.run.figures import draw_classes

        with explain_file_errors(preview):
            preview.write_bytes(figure_png(draw_classes(dataset)))
        if not as_json:
            echo(f"wrote samples to {preview}")
    if as_json:
        print_json(dataset_document(dataset))


def predict(
    run: RunArgument,
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Picture files, folders of them, or patterns such as '*.png'."),
    ],
    data: DataOption = None,
    runs: RunsOption = RUNS_DIR,
    as_json: JsonOption = False,
    _trust: TrustOption = False,
) -> None:
    """Classify pictures, prepared as the images of the run's dataset were.

    A picture that cannot be read is one line; the others are still classified, and the exit code is 2.
    """
    import torch

    from drilldown.analysis.documents import predictions_document
    from drilldown.data.pictures import find_pictures, read_picture
    from drilldown.runs.finding import find_run
    from drilldown.terminal.console import make_console
    from drilldown.terminal.tables import print_predictions

    folders = folders_from(data, runs)
    trained = find_run(run, folders.runs)
    trained.check_finished()
    (_, height, width), classes = trained.experiment.image
    conventions = trained.conventions(folders.data)
    prepared: dict[Path, torch.Tensor] = {}
    files, problems = find_pictures(images)
    for file in files:
        try:
            prepared[file] = read_picture(file, height, width, conventions)
        except DrilldownError as error:  # the other pictures are still read
            problems += error.problems
    logits = trained.predict(torch.stack([*prepared.values()])) if prepared else torch.zeros(0, classes)
    if as_json:
        print_json(predictions_document(trained.path, conventions, [*prepared], logits, problems))
    elif prepared:
        print_predictions(make_console(stderr=False), [*prepared], logits)
    if problems:
        raise DrilldownError(*problems)
