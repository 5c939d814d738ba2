"""What the reports draw, as matplotlib figures that show themselves in a notebook.

>>> drilldown.plot.classes(drilldown.dataset("glyphs")).savefig(io.BytesIO())
"""

from __future__ import annotations

from typing import Protocol

import matplotlib.figure

from drilldown.analysis.comparison import Comparison
from drilldown.data.dataset import Dataset
from drilldown.data.loading import load_dataset
from drilldown.errors import DrilldownError
from drilldown.evaluation.predictions import Predictions
from drilldown.evaluation.records import EpochRecord
from drilldown.experiment.experiment import Experiment
from drilldown.report.pictures import figure_png
from drilldown.report.run.figures import draw_classes, draw_confusion, draw_curves, draw_misclassified, draw_samples
from drilldown.report.study.figures import draw_study_curves

NOTEBOOK_DPI = 80
"""A notebook keeps its figures within itself."""


class Figure(matplotlib.figure.Figure):
    """A figure that a notebook shows, whether or not pyplot was imported."""

    def _repr_png_(self) -> bytes:
        return figure_png(self, NOTEBOOK_DPI)


class Trained(Protocol):
    """A run or a training: what has epochs."""

    @property
    def experiment(self) -> Experiment:
        """What is trained."""
        ...

    @property
    def epochs(self) -> tuple[EpochRecord, ...]:
        """Those that are done."""
        ...


def curves(trained: Trained) -> Figure:
    """A run's or training's accuracy with the bar and the held epochs, loss, and learning rate, by epoch.

    >>> training = drilldown.Training(drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"]))
    >>> for epoch in training:
    ...     figure = curves(training)
    >>> [axes.get_title() for axes in figure.axes]
    ['accuracy, %', 'cross-entropy', 'learning rate']
    """
    if not trained.epochs:
        raise DrilldownError("there are no epochs yet to draw; train first")
    return _shown(draw_curves(trained.epochs, trained.experiment))


def samples(experiment: Experiment, dataset: Dataset | None = None, rows: int = 4) -> Figure:
    """One training image of each class as it is, then `rows` times as training sees it.

    >>> len(samples(drilldown.load("under-8k", ["recipe.dataset=glyphs"])).axes[0].images)
    50
    """
    return _shown(draw_samples(dataset or load_dataset(experiment.recipe.dataset), experiment, rows))


def classes(dataset: Dataset, columns: int = 10) -> Figure:
    """The first training images of each class, a class a row.

    >>> len(classes(drilldown.dataset("glyphs"), columns=3).axes[0].images)
    30
    """
    return _shown(draw_classes(dataset, columns))


def misclassified(answers: Predictions) -> Figure:
    """The surest misclassified: truth → answer, its probability, and the image's index in the split.

    >>> dataset = drilldown.dataset("glyphs")
    >>> len(misclassified(Predictions(dataset.test, torch.rand(1000, 10))).axes[0].images)
    40
    """
    found = answers.misclassified
    if found:
        return _shown(draw_misclassified(found, answers.split))
    figure = Figure(figsize=(5, 0.6))
    figure.text(0.5, 0.5, f"no mistake on {len(answers.split):,} images", ha="center", va="center")
    return figure


def confusion(answers: Predictions) -> Figure:
    """Images of each class by what they were read as; the diagonal is left white, so that misclassified show.

    >>> dataset = drilldown.dataset("glyphs")
    >>> confusion(Predictions(dataset.test, torch.rand(1000, 10))).axes[0].get_xlabel()
    'read as'
    """
    return _shown(draw_confusion(answers.confusion))


def compared(comparison: Comparison) -> Figure:
    """Mean accuracy by epoch of each subject's finished runs; the band reaches from the worst seed to the best.

    >>> compared(drilldown.compare("eva5-s5/05", "eva5-s5/06", runs="nowhere"))
    Traceback (most recent call last):
    drilldown.errors.DrilldownError: none of what is compared has a finished run yet
    """
    lines = [
        (f"{subject.letter} {subject.experiment.title}", subject.seeds)
        for subject in comparison
        if subject.seeds.finished
    ]
    if not lines:
        raise DrilldownError("none of what is compared has a finished run yet")
    return _shown(draw_study_curves(lines))


def _shown(figure: matplotlib.figure.Figure) -> Figure:
    figure.__class__ = Figure
    assert isinstance(figure, Figure)
    return figure
