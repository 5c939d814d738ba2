"""What the reports draw, as matplotlib figures that show themselves in a notebook.

>>> drilldown.plot.classes(drilldown.dataset("glyphs")).savefig(io.BytesIO())
"""

from __future__ import annotations

from typing import Protocol

import matplotlib.figure

from drilldown import data
from drilldown.answers import Answers
from drilldown.comparison import Comparison
from drilldown.data import Dataset
from drilldown.errors import DrilldownError
from drilldown.experiment import Experiment
from drilldown.records import Epoch
from drilldown.report import figures
from drilldown.report.study import figures as study_figures

NOTEBOOK_DPI = 80
"""A notebook keeps its figures within itself."""


class Figure(matplotlib.figure.Figure):
    """A figure that a notebook shows, whether or not pyplot was imported."""

    def _repr_png_(self) -> bytes:
        return figures.png(self, NOTEBOOK_DPI)


class Trained(Protocol):
    """A run or a training: what has epochs."""

    @property
    def experiment(self) -> Experiment:
        """What is trained."""
        ...

    @property
    def epochs(self) -> tuple[Epoch, ...]:
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
    return _shown(figures.curves(trained.epochs, trained.experiment))


def samples(experiment: Experiment, dataset: Dataset | None = None, rows: int = 4) -> Figure:
    """One training image of each class as it is, then `rows` times as training sees it.

    >>> len(samples(drilldown.load("under-8k", ["recipe.dataset=glyphs"])).axes[0].images)
    50
    """
    return _shown(figures.samples(dataset or data.load(experiment.recipe.dataset), experiment, rows))


def classes(dataset: Dataset, columns: int = 10) -> Figure:
    """The first training images of each class, a class a row.

    >>> len(classes(drilldown.dataset("glyphs"), columns=3).axes[0].images)
    30
    """
    return _shown(figures.classes(dataset, columns))


def mistakes(answers: Answers) -> Figure:
    """The surest mistakes: truth → answer, its probability, and the image's index in the split.

    >>> dataset = drilldown.dataset("glyphs")
    >>> len(mistakes(Answers(dataset.test, torch.rand(1000, 10))).axes[0].images)
    40
    """
    found = answers.mistakes
    if found:
        return _shown(figures.gallery(found, answers.split))
    figure = Figure(figsize=(5, 0.6))
    figure.text(0.5, 0.5, f"no mistake on {len(answers.split):,} images", ha="center", va="center")
    return figure


def confusion(answers: Answers) -> Figure:
    """Images of each class by what they were read as; the diagonal is left white, so that mistakes show.

    >>> dataset = drilldown.dataset("glyphs")
    >>> confusion(Answers(dataset.test, torch.rand(1000, 10))).axes[0].get_xlabel()
    'read as'
    """
    return _shown(figures.confusion(answers.confusion))


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
    return _shown(study_figures.curves(lines))


def _shown(figure: matplotlib.figure.Figure) -> Figure:
    figure.__class__ = Figure
    assert isinstance(figure, Figure)
    return figure
