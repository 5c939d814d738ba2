"""Images inside a page: small PNG files as `data:` addresses, ink dark on white paper."""

from __future__ import annotations

import base64
import io

import torch
from matplotlib.figure import Figure
from PIL import Image


def figure_png(figure: Figure, dpi: int = 110) -> bytes:
    """A figure as a PNG file."""
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=dpi, bbox_inches="tight")
    return sink.getvalue()


GAP = 3
"""Pixels between the images of a mosaic."""


def picture_address(image: torch.Tensor) -> str:
    """An image (height, width), uint8, 0 background to 255 ink, as the address of a PNG file.

    >>> picture_address(torch.zeros(28, 28, dtype=torch.uint8))[:22]
    'data:image/png;base64,'
    """
    sink = io.BytesIO()
    Image.fromarray((255 - image).numpy()).save(sink, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(sink.getvalue()).decode()


def raw_pixels(image: torch.Tensor) -> str:
    """An image's bytes, row by row, as base64: for scripts."""
    return base64.b64encode(image.contiguous().numpy().tobytes()).decode()


def join_images(images: torch.Tensor) -> torch.Tensor:
    """Images (rows, columns, height, width) side by side on white, as one image.

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
