"""The figures of a run's report with matplotlib: images, confusion matrix and curves. Notebooks show them, too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

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
    """Draws images in rows. They are joined into one image: an axes for each of them, or an image, takes much longer.

    *Arguments*: `images`: (N, channels, height, width), 0…255; see `visible_pixels`.
    """
    count, _, height, width = images.shape
    rows = -(-count // columns)
    gap = max(1, round(0.08 * height))
    above, below = (round(0.42 * height), round(0.2 * height)) if titles else (gap, gap)
    left, right, tall, wide = (1.3 * height if row_labels else gap), gap, above + height + below, width + gap
    canvas = np.full((rows * tall, columns * wide, 3), 255, np.uint8)
    corners = [(row * tall + above, column * wide) for row in range(rows) for column in range(columns)][:count]
    for image, (top, start) in zip(images, corners, strict=True):
        pixels = visible_pixels(image).numpy().round().astype(np.uint8)
        canvas[top : top + height, start : start + width] = pixels[:, :, None] if pixels.ndim == 2 else pixels
    inch = (height + gap) / (1.1 if titles else 0.8)  # in pixels of the images
    across, down = canvas.shape[1], len(canvas)
    figure = Figure(figsize=((left + across + right) / inch, (down + gap) / inch))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(canvas, interpolation="nearest", extent=(0, across, down, 0), aspect="auto")
    axes.set(xlim=(-left, across + right), ylim=(down + gap, 0))
    frames = [[(x, y), (x + width, y), (x + width, y + height), (x, y + height)] for y, x in corners]
    axes.add_collection(PolyCollection(frames, facecolors="none", edgecolors="#cccccc", linewidths=0.5))
    for texts, offset, size in ((titles, -0.12, 7.5), (captions, 1.16, 6.5)):
        for text, (top, start) in zip(texts, corners, strict=False):
            axes.text(start + width / 2, top + offset * height, text, ha="center", va="center", fontsize=size)
    for row, label in enumerate(row_labels):
        axes.text(-0.12 * height, row * tall + above + height / 2, label, ha="right", va="center", fontsize=7)
    axes.axis("off")
    return figure
