"""Images for pages and figures: PNG files and `data:` addresses, dark ink on white paper."""

from __future__ import annotations

import base64
import io

import torch
from matplotlib.figure import Figure
from PIL import Image

GAP = 3
"""Pixels between joined images."""


def figure_png(figure: Figure, dpi: int = 110) -> bytes:
    """A figure as a PNG file; `dpi`: pixels per inch."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi, bbox_inches="tight")
    return file.getvalue()


def picture_address(image: torch.Tensor, largest: int = 256) -> str:
    """An image (height, width), uint8, 0 background to 255 ink, as the `data:` address of a PNG file.

    An image (height, width, 3) is in colour, and its values stay as they are.

    *Arguments*: `largest`: a longer side is reduced to this number of pixels. A page shows images as small as stamps,
    and hundreds of photographs would make it too large to open.

    >>> picture_address(torch.zeros(28, 28, dtype=torch.uint8))[:22]
    'data:image/png;base64,'
    """
    file = io.BytesIO()
    picture = Image.fromarray((255 - image if image.dim() == 2 else image).numpy())
    picture.thumbnail((largest, largest))
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def raw_pixels(image: torch.Tensor) -> str:
    """The bytes of an image, row by row, as base64; scripts read them."""
    return base64.b64encode(image.contiguous().numpy().tobytes()).decode()


def join_images(images: torch.Tensor) -> torch.Tensor:
    """Joins images (rows, columns, height, width) into one image, side by side on white.

    >>> join_images(torch.zeros(2, 5, 28, 28, dtype=torch.uint8)).shape
    torch.Size([59, 152])
    """
    rows, columns, height, width = images.shape
    whole = images.new_zeros(rows * (height + GAP) - GAP, columns * (width + GAP) - GAP)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + GAP), column * (width + GAP)
            whole[top : top + height, left : left + width] = images[row, column]
    return whole
