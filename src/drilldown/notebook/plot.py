"""The figures of the reports, as matplotlib figures that a notebook shows.

>>> drilldown.plot.classes(drilldown.dataset("glyphs")).savefig(io.BytesIO())
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib.figure

from drilldown.analysis.comparison import Comparison
from drilldown.data.dataset import Dataset
from drilldown.errors import DrilldownError, Problem, check_argument
from drilldown.evaluation.predictions import Predictions
from drilldown.experiment.experiment import Experiment
from drilldown.notebook.overlay import Trained, names_by_difference, overlay_charts
from drilldown.report.matplotlib_charts import draw_charts, draw_named_chart
from drilldown.report.pictures import figure_png
from drilldown.report.run.activation import gather_activations
from drilldown.report.run.charts import run_charts
from drilldown.report.run.figures import (
    draw_activations,
    draw_classes,
    draw_confusion,
    draw_misclassified,
    draw_samples,
)
from drilldown.report.study.charts import accuracy_chart
from drilldown.runs.run import Run

__all__ = ["activation_maps", "classes", "compared", "confusion", "curves", "misclassified", "samples"]
NOTEBOOK_DPI = 80
"""Pixels per inch; small, because a notebook file contains its figures."""


class Figure(matplotlib.figure.Figure):
    """A figure that a notebook shows, even if pyplot was not imported."""

    def _repr_png_(self) -> bytes:
        return figure_png(self, NOTEBOOK_DPI)


def __dir__() -> list[str]:
    """The public names alone: a notebook completes them."""
    return list(__all__)


def curves(trained: Trained | Iterable[Trained]) -> Figure:
    """Accuracy with the bar and the epochs that must hold it, loss, and learning rate, by epoch.

    *Arguments*: `trained`: a run or a training; or several, each with a line and a name that says what differs.

    *Raises* DrilldownError where a run has no finished epoch.

    >>> training = drilldown.Training(drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"]))
    >>> for epoch in training:
    ...     figure = curves(training)
    >>> [axes.get_title() for axes in figure.axes]
    ['Accuracy, %', 'Cross-entropy, log scale', 'Learning rate']
    """
    runs: list[Any] = list(trained) if isinstance(trained, Iterable) and not _is_trained(trained) else [trained]
    if not runs:
        raise DrilldownError("there are no runs to draw")
    for run in runs:
        if not _is_trained(run):
            raise DrilldownError(
                Problem(
                    place="plot.curves",
                    found=f"found an object of the class {type(run).__name__}",
                    expected="a run, a training, or a list of them",
                )
            )
    epochs = [run.epochs for run in runs]
    if not all(epochs):
        which = "" if len(runs) == 1 else f" of {names_by_difference(runs)[epochs.index(())]}"
        raise DrilldownError(f"there are no epochs{which} yet to draw; train first")
    if len(runs) == 1:
        return _as_shown(draw_charts(run_charts(epochs[0], runs[0].experiment)))
    named = list(zip(names_by_difference(runs), epochs, strict=True))
    figure = draw_charts(overlay_charts(named, [run.experiment for run in runs]))
    for axes in figure.axes:  # one legend for all charts, below them
        legend = axes.get_legend()
        if legend is not None:
            legend.remove()
    lines = figure.axes[0].get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower center", ncols=min(3, len(runs)), fontsize=8)
    return _as_shown(figure)


def _is_trained(value: object) -> bool:
    return all(hasattr(value, name) for name in ("experiment", "epochs", "seed"))


def samples(experiment: Experiment, dataset: Dataset | None = None, rows: int = 4) -> Figure:
    """One training image of each class: the original in the top row, `rows` augmented versions below.

    *Arguments*: `dataset`: read by its name where it is not given.

    >>> figure = samples(drilldown.load("under-8k", ["recipe.dataset=glyphs"]), rows=2)
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['original', 'augmented', 'augmented']
    """
    check_argument("experiment", experiment, Experiment, 'an experiment, as in drilldown.load("under-8k")')
    return _as_shown(draw_samples(dataset or experiment.recipe.load_dataset(), experiment, rows))


def classes(dataset: Dataset, columns: int = 10) -> Figure:
    """The first training images of each class, one row per class.

    >>> [text.get_text() for text in classes(drilldown.dataset("glyphs"), columns=3).axes[0].texts][:3]
    ['0', '1', '2']
    """
    check_argument("dataset", dataset, Dataset, 'a dataset, as in drilldown.dataset("glyphs")')
    return _as_shown(draw_classes(dataset, columns))


def misclassified(predictions: Predictions) -> Figure:
    """Misclassified images, highest confidence first: true → predicted class, confidence, and index in the split.

    >>> dataset = drilldown.dataset("glyphs")
    >>> figure = misclassified(Predictions(dataset.test, torch.rand(1000, 10)))
    >>> sum(text.get_text().startswith("#") for text in figure.axes[0].texts)
    40
    """
    check_argument("predictions", predictions, Predictions, "predictions, as in run.predictions()")
    images = predictions.misclassified
    if images:
        return _as_shown(draw_misclassified(images, predictions.split, predictions.class_names))
    figure = Figure(figsize=(5, 0.6))
    figure.text(0.5, 0.5, f"all {len(predictions.split):,} images are classified correctly", ha="center", va="center")
    return figure


def activation_maps(run: Run, data_dir: Path | str | None = None) -> Figure:
    """Class activation maps of some test images: where the evidence for a class is, and where that against it.

    For misclassified images they are those of the predicted and of the true class.

    *Raises* DrilldownError where the network has no activation maps.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     figure = activation_maps(drilldown.perform(experiment, folders=drilldown.Folders(runs=folder)))
    >>> sum(text.get_text().startswith("#") for text in figure.axes[0].texts) >= 4
    True
    """
    check_argument("run", run, Run, "a run, as drilldown.perform returns it")
    return _as_shown(draw_activations(gather_activations(run, run.predictions(data_dir))))


def confusion(predictions: Predictions) -> Figure:
    """The confusion matrix: true class by row, predicted class by column; the diagonal is white.

    >>> dataset = drilldown.dataset("glyphs")
    >>> confusion(Predictions(dataset.test, torch.rand(1000, 10))).axes[0].get_xlabel()
    'predicted class'
    """
    check_argument("predictions", predictions, Predictions, "predictions, as in run.predictions()")
    return _as_shown(draw_confusion(predictions.confusion, predictions.class_names))


def compared(comparison: Comparison) -> Figure:
    """Mean accuracy by epoch of the finished runs of each subject; a band reaches from the worst seed to the best.

    *Raises* DrilldownError where no subject has a finished run.

    >>> compared(drilldown.compare("eva5-s5/05", "eva5-s5/06", runs_dir="nowhere"))
    Traceback (most recent call last):
    drilldown.errors.DrilldownError: there are no finished runs to compare
    """
    check_argument("comparison", comparison, Comparison, "a comparison, as in drilldown.compare(first, second)")
    lines = [
        (f"{subject.letter} {subject.experiment.title}", subject.seeds)
        for subject in comparison
        if subject.seeds.finished
    ]
    if not lines:
        raise DrilldownError("there are no finished runs to compare")
    return _as_shown(draw_named_chart(accuracy_chart(lines), height=5.2))


def _as_shown(figure: matplotlib.figure.Figure) -> Figure:
    figure.__class__ = Figure
    assert isinstance(figure, Figure)
    return figure
