"""Brings whole pictures, grey or colour, to the size of a dataset's images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from drilldown.data.image_settings import Fit

Pixels = npt.NDArray[np.float32]


def fit_picture(pixels: Pixels, height: int, width: int, fit: Fit) -> npt.NDArray[np.uint8]:
    """Scales a picture to an image; a picture of this size keeps its pixels.

    *Arguments*: `pixels`: (channels, rows, columns), 0…255. `height`, `width`: the size of the result. `fit`: `pad`
    keeps the whole picture and adds the colour of its border, `crop` cuts off two sides, `stretch` scales each side by
    itself.

    *Returns* (channels, height, width), uint8.

    >>> picture = np.zeros((3, 20, 40), np.float32)
    >>> picture[:, :, 12:28] = 200
    >>> [int((fit_picture(picture, 10, 10, fit)[0] == 200).sum()) for fit in ("pad", "crop", "stretch")]
    [20, 80, 40]
    """
    rows, columns = pixels.shape[1:]
    if fit == "stretch":
        return _scaled(pixels, height, width)
    ratios = height / rows, width / columns
    scale = min(ratios) if fit == "pad" else max(ratios)
    small = _scaled(pixels, max(1, round(rows * scale)), max(1, round(columns * scale)))
    if fit == "crop":
        top, left = (small.shape[1] - height) // 2, (small.shape[2] - width) // 2
        return small[:, top : top + height, left : left + width]
    borders = np.concatenate([small[:, 0], small[:, -1], small[:, :, 0], small[:, :, -1]], axis=1)
    canvas = np.empty((len(small), height, width), np.uint8)
    canvas[:] = np.median(borders, axis=1).round()[:, None, None]
    top, left = (height - small.shape[1]) // 2, (width - small.shape[2]) // 2
    canvas[:, top : top + small.shape[1], left : left + small.shape[2]] = small
    return canvas


def _scaled(pixels: Pixels, height: int, width: int) -> npt.NDArray[np.uint8]:
    """The picture in another size; each pixel of a smaller one is the mean of its area."""
    _, rows, columns = pixels.shape
    if (rows, columns) != (height, width):
        method = Image.Resampling.BOX if height * width < rows * columns else Image.Resampling.BILINEAR
        pixels = np.stack([np.asarray(Image.fromarray(channel).resize((width, height), method)) for channel in pixels])
    return pixels.round().clip(0, 255).astype(np.uint8)
