"""The commands about images: data, predict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drilldown.cli.options import (
    DataOption,
    JsonOption,
    RunArgument,
    RunsOption,
    TrustOption,
    folders_from,
    print_json,
    print_notice,
)
from drilldown.errors import DrilldownError, Problem
from drilldown.settings import RUNS_DIR

if TYPE_CHECKING:
    from drilldown.data.dataset import Dataset


DatasetArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="mnist, fashion-mnist, kmnist, qmnist, glyphs, or a path: pictures by class, IDX files, .npz, CSV tables.",
    ),
]
SizeOption = Annotated[
    int | None, typer.Option("--size", metavar="N", help="Scale own images to N x N pixels, as `image` in a recipe.")
]
FitOption = Annotated[
    str, typer.Option("--fit", metavar="FIT", help="Images that are not square: pad, crop or stretch.")
]


def data(
    name: DatasetArgument = "mnist",
    preview: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw samples of each class.")] = None,
    size: SizeOption = None,
    fit: FitOption = "pad",
    folder: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch, verify and describe a dataset."""
    from drilldown.analysis.documents import dataset_document
    from drilldown.terminal.console import echo, make_console
    from drilldown.terminal.tables import print_dataset

    dataset = _load(name, folder, size, fit)
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


def convert(
    source: DatasetArgument,
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="The folder to write; it must not exist.")],
    to: Annotated[
        str, typer.Option("--to", metavar="KIND", help="idx: four IDX files; pictures: PNG files in folders by class.")
    ] = "idx",
    size: SizeOption = None,
    fit: FitOption = "pad",
    folder: DataOption = None,
) -> None:
    """Write a dataset as IDX files, or as folders of pictures.

    Reading it again gives the same images, classes and names.
    """
    from drilldown.data.own.writing import write_dataset
    from drilldown.terminal.console import echo

    dataset = _load(source, folder, size, fit)
    write_dataset(dataset, target, to)
    for notice in dataset.notices:
        print_notice(notice)
    echo(f"wrote {len(dataset.train):,} training and {len(dataset.test):,} test images to {target}")


def _load(name: str, folder: Path | None, size: int | None, fit: str) -> Dataset:
    """Loads the dataset that a command names; raises DrilldownError where an option is wrong."""
    from drilldown.data.catalogue import is_dataset_path
    from drilldown.data.image_settings import read_image_settings
    from drilldown.data.loading import load_dataset
    from drilldown.terminal.live import LiveDisplay

    folders = folders_from(folder)
    image = read_image_settings(size, fit)
    if image is not None and not is_dataset_path(name):
        raise DrilldownError(Problem(place="--size", found=f'given with "{name}"', expected="the path of own data"))
    live = LiveDisplay()
    try:
        return load_dataset(name, folders.data, image=image, on_download=live.on_download)
    finally:
        live.stop()


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
    """Classify pictures, prepared as the run's dataset was.

    A picture that cannot be read is one line; the others are still classified, and the exit code is 2.
    """
    import torch

    from drilldown.analysis.documents import predictions_document
    from drilldown.data.pictures import find_pictures
    from drilldown.runs.finding import find_run
    from drilldown.terminal.console import make_console
    from drilldown.terminal.tables import print_predictions

    folders = folders_from(data, runs)
    trained = find_run(run, folders.runs)
    trained.check_finished()
    (_, classes), names = trained.experiment.image, trained.experiment.class_names
    conventions, read_picture = trained.picture_reader(folders.data)
    prepared: dict[Path, torch.Tensor] = {}
    files, problems = find_pictures(images)
    for file in files:
        try:
            prepared[file] = read_picture(file)
        except DrilldownError as error:  # the other pictures are still read
            problems += error.problems
    logits = trained.predict(torch.stack([*prepared.values()])) if prepared else torch.zeros(0, classes)
    if as_json:
        print_json(predictions_document(trained.path, conventions, [*prepared], logits, problems, names))
    elif prepared:
        print_predictions(make_console(stderr=False), [*prepared], logits, names)
    if problems:
        raise DrilldownError(*problems)
