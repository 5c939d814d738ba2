"""The figures of a run's report with matplotlib: images, confusion matrix and curves. Notebooks show them, too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from drilldown.data.augmentation import augment_images, draw_augmentation
from drilldown.data.dataset import Dataset, Split, class_name
from drilldown.evaluation.predictions import Misclassified
from drilldown.experiment.experiment import Experiment
from drilldown.randomness import stream
from drilldown.report.matplotlib_charts import draw_charts
from drilldown.report.pictures import figure_png, visible_pixels
from drilldown.report.run.activation import Activation, colour_map, describe
from drilldown.report.run.charts import run_charts
from drilldown.report.run.evidence import RunEvidence

GALLERY = 40
"""The largest number of misclassified images in the figure."""


def draw_samples(dataset: Dataset, experiment: Experiment, rows: int = 4) -> Figure:
    """One training image of each class: the original in the top row, augmented versions below."""
    shown = augmented_samples(dataset, experiment, rows)
    return _mosaic(shown.flatten(0, 1), columns=shown.shape[1], row_labels=["original", *["augmented"] * rows])


def augmented_samples(dataset: Dataset, experiment: Experiment, rows: int = 4) -> torch.Tensor:
    """One training image of each of up to twelve classes: the original, then `rows` augmented versions.

    *Returns* (1 + rows, classes, channels, height, width), float32, 0…255.
    """
    recipe = experiment.recipe
    chosen = torch.stack([(dataset.train.labels == c).nonzero()[0, 0] for c in range(min(dataset.classes, 12))])
    images = dataset.train.images[chosen]
    repeated = images.repeat(rows, 1, 1, 1)
    draws = draw_augmentation(recipe.augment, len(repeated), stream(0, "samples"), *dataset.image_shape[1:])
    seen = augment_images(repeated, draws, recipe.augment.interpolation)
    return torch.cat([images.float(), seen]).view(1 + rows, len(chosen), *dataset.image_shape)


def draw_classes(dataset: Dataset, columns: int = 10) -> Figure:
    """The first training images of each of up to 30 classes, one row per class."""
    rows = []
    for number in range(min(dataset.classes, 30)):
        chosen = (dataset.train.labels == number).nonzero().flatten()[:columns]
        blank = dataset.train.images.new_zeros(columns - len(chosen), *dataset.train.images.shape[1:])
        rows.append(torch.cat([dataset.train.images[chosen], blank]))
    return _mosaic(torch.cat(rows), columns, row_labels=[_short(name) for name in dataset.names[: len(rows)]])


def draw_misclassified(
    misclassified: Sequence[Misclassified], split: Split, class_names: Sequence[str] | None = None
) -> Figure:
    """Misclassified images, highest confidence first: true → predicted class, confidence, and index in the split."""
    drawn = misclassified[:GALLERY]
    images = split.images[[image.index for image in drawn]]
    titles = [
        f"{_short(class_name(class_names, m.truth), 7)} → {_short(class_name(class_names, m.predicted), 7)}  "
        f"{m.confidence:.0%}"
        for m in drawn
    ]
    return _mosaic(images, columns=8, titles=titles, captions=[f"#{image.index}" for image in drawn])


def draw_activations(activations: Sequence[Activation]) -> Figure:
    """Class activation maps over their images: the class of the map, and its logit."""
    pictures = torch.stack([colour_map(shown.image, shown.map) for shown in activations])
    titles, captions = zip(*map(describe, activations), strict=True)
    return _mosaic(pictures, columns=8, titles=titles, captions=captions)


def draw_confusion(matrix: torch.Tensor, class_names: Sequence[str] | None = None) -> Figure:
    """The confusion matrix (classes, classes): true class by row, predicted class by column, the diagonal in white."""
    classes = len(matrix)
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    axes = figure.subplots()
    wrong = matrix.clone().fill_diagonal_(0)
    most = max(1, int(wrong.max()))
    axes.imshow(wrong.numpy(), cmap="Oranges", vmin=0, vmax=most)
    if classes <= 20:
        for truth in range(classes):
            for predicted in range(classes):
                count = int(matrix[truth, predicted])
                if count:
                    correct = truth == predicted
                    colour = "#777777" if correct else "white" if 2 * count > most else "black"
                    axes.text(
                        predicted, truth, str(count), ha="center", va="center", color=colour,
                        fontsize=6 if correct else 8,
                    )  # fmt: skip
        axes.set(xticks=range(classes), yticks=range(classes))
        if class_names:
            axes.set_xticklabels(map(_short, class_names), rotation=90)
            axes.set_yticklabels(map(_short, class_names))
    axes.set(xlabel="predicted class", ylabel="true class")
    return figure


def run_figures(evidence: RunEvidence) -> dict[str, bytes]:
    """All figures by file name, as PNG."""
    figures = {
        "curves.png": draw_charts(run_charts(evidence.epochs, evidence.experiment)),
        "samples.png": draw_samples(evidence.dataset, evidence.experiment),
        "confusion.png": draw_confusion(evidence.confusion, evidence.dataset.class_names),
    }
    if evidence.misclassified:
        figures["misclassified.png"] = draw_misclassified(
            evidence.misclassified, evidence.dataset.test, evidence.dataset.class_names
        )
    if evidence.activations:
        figures["activation.png"] = draw_activations(evidence.activations)
    return {name: figure_png(figure) for name, figure in figures.items()}


def _short(name: str, most: int = 14) -> str:
    """A name that is not longer than the space for it."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _mosaic(
    images: torch.Tensor,
    columns: int,
    *,
    titles: Sequence[str] = (),
    captions: Sequence[str] = (),
    row_labels: Sequence[str] = (),
) -> Figure:
    """Draws images in rows on one pair of axes, much faster than on one pair per image.

    *Arguments*: `images`: (N, channels, height, width), 0…255; see `visible_pixels`.
    """
    count, _, height, width = images.shape
    rows = -(-count // columns)
    above, below = (0.42 if titles else 0.06), (0.2 if captions else 0.06)  # margins of a cell, of an image's height
    cell = 1 + above + below
    inches = 1.1 if titles else 0.8
    figure = Figure(figsize=(columns * inches, rows * inches * cell), layout="constrained")
    axes = figure.subplots()
    for number, image in enumerate(images):
        left, top = (number % columns) * 1.08, (number // columns) * cell + above
        box = (left, left + width / height, top + 1, top)
        pixels = visible_pixels(image).numpy() / 255
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest", extent=box)
        axes.add_patch(Rectangle((left, top), width / height, 1, fill=False, ec="#cccccc", lw=0.5))
        for texts, y, size in ((titles, top - 0.12, 7.5), (captions, top + 1.16, 6.5)):
            if texts:
                axes.text(left + width / height / 2, y, texts[number], ha="center", va="center", fontsize=size)
    for row, label in enumerate(row_labels):
        axes.text(-0.12, row * cell + above + 0.5, label, ha="right", va="center", fontsize=7)
    axes.set(xlim=(-0.9 if row_labels else -0.06, columns * 1.08 * width / height), ylim=(rows * cell, 0))
    axes.axis("off")
    return figure
