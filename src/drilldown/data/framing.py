"""Places an object in an image as a dataset places its own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from drilldown.data.conventions import Centre, Layout

Pixels = npt.NDArray[np.float32]

INK = 0.1
"""A pixel with less than this fraction of full ink is background."""


def layout_of(ink: Pixels) -> Layout | None:
    """Measures how an object lies in an image; None where there is no ink.

    *Arguments*: `ink`: (height, width), 0…255, light on dark.

    >>> stroke = np.zeros((28, 28), np.float32)
    >>> stroke[4:24, 12:16] = 255
    >>> layout = layout_of(stroke)
    >>> round(layout.size, 3), layout.mass, layout.aspect
    (0.714, (0.0, 0.0), 0.2)
    """
    rows, columns = (np.flatnonzero((ink > INK * 255).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    height, width = ink.shape
    tall, wide = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    mass = _centre_of_mass(ink)
    return Layout(
        size=max(tall / height, wide / width),
        mass=((mass[0] - (height - 1) / 2) / height, (mass[1] - (width - 1) / 2) / width),
        middle=(
            ((int(rows[0]) + int(rows[-1])) / 2 - (height - 1) / 2) / height,
            ((int(columns[0]) + int(columns[-1])) / 2 - (width - 1) / 2) / width,
        ),
        aspect=wide / tall,
    )


def _centre_of_mass(ink: Pixels) -> tuple[float, float]:
    total = float(ink.sum(dtype=np.float64))
    rows, columns = ink.sum(1, dtype=np.float64), ink.sum(0, dtype=np.float64)
    return float((rows * np.arange(len(rows))).sum() / total), float((columns * np.arange(len(columns))).sum() / total)


def centre_object(
    ink: Pixels, height: int = 28, width: int = 28, *, box: float = 20 / 28, centre: Centre = "mass"
) -> torch.Tensor:
    """Scales an object to the box of a dataset and puts its centre into the centre of the image.

    *Arguments*: `ink`: (rows, columns), any size, 0…255, light on dark. `height`, `width`: the size of the result.
    `box`: the longer side of the object, as a share of the image's side. `centre`: the point that is centred.

    *Returns* the image, (height, width), uint8.

    *Source*: LeCun, Cortes and Burges, "The MNIST database of handwritten digits": digits were scaled to fit a box of
    20×20 keeping their proportions, and placed in 28×28 by their centre of mass.

    >>> stroke = np.zeros((100, 60), np.float32)
    >>> stroke[10:90, 25:35] = 255
    >>> image = centre_object(stroke)
    >>> int((image.max(1).values > 0).sum())
    20
    """
    rows, columns = (np.flatnonzero((ink > INK * 255).any(axis=axis)) for axis in (1, 0))
    cropped = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = min(round(box * height) / cropped.shape[0], round(box * width) / cropped.shape[1])
    small = _resize(cropped, scale)
    point = _centre_of_mass(small) if centre == "mass" else tuple((side - 1) / 2 for side in small.shape)
    # The centre of a symmetric object can lie exactly between two pixels; rounding errors must not decide then.
    top, left = (
        min(max(0, round(round((side - 1) / 2 - at, 4))), side - extent)
        for side, at, extent in zip((height, width), point, small.shape, strict=True)
    )
    canvas = np.zeros((height, width), np.uint8)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small.round()
    return torch.from_numpy(canvas)


def fit_whole(pixels: Pixels, height: int, width: int, *, background: float = 0) -> torch.Tensor:
    """Scales a whole picture to an image; where their proportions differ, it adds background at two sides.

    *Arguments*: `pixels`: (rows, columns), 0…255. `height`, `width`: the size of the result.

    *Returns* the image, (height, width), uint8; a picture of this size stays as it is.

    >>> fit_whole(np.full((40, 20), 200, np.float32), 4, 4).tolist()[0]
    [0, 200, 200, 0]
    """
    small = _resize(pixels, min(height / pixels.shape[0], width / pixels.shape[1]))
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    canvas = np.full((height, width), round(background), np.uint8)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small.round()
    return torch.from_numpy(canvas)


def _resize(pixels: Pixels, scale: float) -> Pixels:
    """Scales pixels, rounding the sides to whole pixels; a side has at least one."""
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    filtered = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).resize(size, filtered)).clip(0, 255)
