"""A report's figures, as matplotlib figures; `plot` has them for notebooks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from drilldown.data.augmentation import augment_images, draw_augmentation
from drilldown.data.dataset import Dataset, Split
from drilldown.evaluation.predictions import Misclassified
from drilldown.evaluation.records import EpochRecord
from drilldown.experiment.experiment import Experiment
from drilldown.randomness import stream
from drilldown.report.pictures import figure_png
from drilldown.report.run.evidence import RunEvidence

# Two colours that stay apart for the colour-blind (Okabe and Ito, 2008); line style and marker differ as well.
TRAIN, TEST, BAR = "#0072B2", "#D55E00", "#555555"
GALLERY = 40
"""The most misclassified that are drawn."""


def draw_curves(epochs: tuple[EpochRecord, ...], experiment: Experiment) -> Figure:
    """Accuracy with the bar and the held epochs, loss, and learning rate, by epoch."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    accuracy, loss, rate = figure.subplots(1, 3, width_ratios=[3, 3, 2])
    numbers = [epoch.epoch for epoch in epochs]
    part = "validation" if epochs[0].held_out else "test"
    accuracy.plot(numbers, [float(e.train.accuracy) for e in epochs], "--s", ms=3, color=TRAIN, label="train, running")
    accuracy.plot(numbers, [float(e.test.accuracy) for e in epochs], "-o", ms=3, color=TEST, label=part)
    budget = experiment.budget
    shown = [float(epoch.test.accuracy) for epoch in epochs]
    if budget.accuracy is not None:
        accuracy.axhline(budget.accuracy, color=BAR, lw=1, ls=":", label=f"bar {budget.accuracy} %")
        accuracy.axvspan(max(0, len(epochs) - budget.hold) + 0.5, len(epochs) + 0.5, color=BAR, alpha=0.12, lw=0)
        shown.append(budget.accuracy)
    # The last two points are what it is about; early epochs may leave the frame.
    accuracy.set_ylim(min(max(shown) - 2, min(shown[len(shown) // 2 :]) - 0.2), max(100.0, max(shown)) + 0.05)
    accuracy.set(title="accuracy, %", xlabel="epoch")
    accuracy.legend(loc="lower right", fontsize=8)
    loss.semilogy(numbers, [e.train.loss for e in epochs], "--s", ms=3, color=TRAIN, label="train, running")
    loss.semilogy(numbers, [e.test.loss for e in epochs], "-o", ms=3, color=TEST, label=part)
    loss.set(title="cross-entropy", xlabel="epoch")
    loss.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_locator=NullLocator())
    loss.legend(fontsize=8)
    rate.plot(numbers, [e.lr for e in epochs], "-", color=BAR)
    rate.set(title="learning rate", xlabel="epoch")
    rate.set_ylim(bottom=0)
    for axes in (accuracy, loss, rate):
        axes.grid(alpha=0.25)
        axes.set_xlim(0.5, len(epochs) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def draw_samples(dataset: Dataset, experiment: Experiment, rows: int = 4) -> Figure:
    """One training image of each class as it is (top row), and as training sees it (the others)."""
    shown = augmented_samples(dataset, experiment, rows)
    return _mosaic(shown.flatten(0, 1), columns=shown.shape[1], row_labels=["as it is", *["seen"] * rows])


def augmented_samples(dataset: Dataset, experiment: Experiment, rows: int = 4) -> torch.Tensor:
    """One training image of each class as it is, then `rows` times as training sees it.

    *Returns* (1 + rows, classes, height, width), float32, 0…255.
    """
    recipe = experiment.recipe
    chosen = torch.stack([(dataset.train.labels == c).nonzero()[0, 0] for c in range(min(dataset.classes, 12))])
    images = dataset.train.images[chosen]
    _, height, width = dataset.image_shape
    repeated = images.repeat(rows, 1, 1)
    draws = draw_augmentation(recipe.augment, len(repeated), stream(0, "samples"), height, width)
    seen = augment_images(repeated, draws, recipe.augment.interpolation)[:, 0]
    return torch.cat([images.float(), seen]).view(1 + rows, len(chosen), height, width)


def draw_classes(dataset: Dataset, columns: int = 10) -> Figure:
    """The first training images of each class, a class a row."""
    rows = []
    for number in range(min(dataset.classes, 30)):
        chosen = (dataset.train.labels == number).nonzero().flatten()[:columns]
        blank = dataset.train.images.new_zeros(columns - len(chosen), *dataset.train.images.shape[1:])
        rows.append(torch.cat([dataset.train.images[chosen], blank]))
    return _mosaic(torch.cat(rows), columns, row_labels=[str(number) for number in range(len(rows))])


def draw_misclassified(misclassified: Sequence[Misclassified], split: Split) -> Figure:
    """The surest misclassified: truth → answer, its probability, and the image's index in the split."""
    drawn = misclassified[:GALLERY]
    images = split.images[[mistake.index for mistake in drawn]]
    titles = [f"{m.truth} → {m.predicted}  {m.confidence:.0%}" for m in drawn]
    return _mosaic(images, columns=8, titles=titles, captions=[f"#{mistake.index}" for mistake in drawn])


def draw_confusion(matrix: torch.Tensor) -> Figure:
    """Test images of each class by what they were read as; the diagonal is left white, so that misclassified show."""
    classes = len(matrix)
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    axes = figure.subplots()
    wrong = matrix.clone().fill_diagonal_(0)
    most = max(1, int(wrong.max()))
    axes.imshow(wrong.numpy(), cmap="Oranges", vmin=0, vmax=most)
    if classes <= 20:
        for truth in range(classes):
            for answer in range(classes):
                count = int(matrix[truth, answer])
                if count:
                    right = truth == answer
                    colour = "#777777" if right else "white" if 2 * count > most else "black"
                    axes.text(
                        answer, truth, str(count), ha="center", va="center", fontsize=6 if right else 8, color=colour
                    )  # fmt: skip
        axes.set(xticks=range(classes), yticks=range(classes))
    axes.set(xlabel="read as", ylabel="is")
    return figure


def run_figures(evidence: RunEvidence) -> dict[str, bytes]:
    """All figures of a run's report by file name, as PNG."""
    figures = {
        "curves.png": draw_curves(evidence.epochs, evidence.experiment),
        "samples.png": draw_samples(evidence.dataset, evidence.experiment),
        "confusion.png": draw_confusion(evidence.confusion),
    }
    if evidence.misclassified:
        figures["mistakes.png"] = draw_misclassified(evidence.misclassified, evidence.dataset.test)
    return {name: figure_png(figure) for name, figure in figures.items()}


def _mosaic(
    images: torch.Tensor,
    columns: int,
    *,
    titles: Sequence[str] = (),
    captions: Sequence[str] = (),
    row_labels: Sequence[str] = (),
) -> Figure:
    """Images (N, height, width), 0…255, in rows on one pair of axes: many times faster than axes for each."""
    count, height, width = images.shape
    rows = -(-count // columns)
    above, below = (0.42 if titles else 0.06), (0.2 if captions else 0.06)  # margins of a cell, of an image's height
    cell = 1 + above + below
    inches = 1.1 if titles else 0.8
    figure = Figure(figsize=(columns * inches, rows * inches * cell), layout="constrained")
    axes = figure.subplots()
    for number, image in enumerate(images):
        left, top = (number % columns) * 1.08, (number // columns) * cell + above
        box = (left, left + width / height, top + 1, top)
        axes.imshow(image.numpy(), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest", extent=box)
        axes.add_patch(Rectangle((left, top), width / height, 1, fill=False, ec="#cccccc", lw=0.5))
        for texts, y, size in ((titles, top - 0.12, 7.5), (captions, top + 1.16, 6.5)):
            if texts:
                axes.text(left + width / height / 2, y, texts[number], ha="center", va="center", fontsize=size)
    for row, label in enumerate(row_labels):
        axes.text(-0.12, row * cell + above + 0.5, label, ha="right", va="center", fontsize=7)
    axes.set(xlim=(-0.9 if row_labels else -0.06, columns * 1.08 * width / height), ylim=(rows * cell, 0))
    axes.axis("off")
    return figure
