"""Images for pages and figures: PNG files and `data:` addresses, dark ink on white paper."""

from __future__ import annotations

import base64
import io

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

GAP = 3
"""Pixels between joined images."""


def figure_png(figure: Figure, dpi: int = 110) -> bytes:
    """A figure as a PNG file; `dpi`: pixels per inch."""
    figure.set_dpi(dpi)
    file = io.BytesIO()
    # `figure.savefig` would lay the figure out and draw it twice.
    FigureCanvasAgg(figure).print_png(file)  # type: ignore[no-untyped-call]
    return file.getvalue()


def picture_address(image: torch.Tensor, largest: int = 256) -> str:
    """An image (channels, height, width), uint8, as the `data:` address of a PNG file.

    *Arguments*: `image`: see `visible_pixels`. `largest`: a longer side is reduced to this number of pixels. A page
    shows images as small as stamps, and hundreds of photographs would make it too large to open.

    >>> picture_address(torch.zeros(1, 28, 28, dtype=torch.uint8))[:22]
    'data:image/png;base64,'
    """
    file = io.BytesIO()
    picture = Image.fromarray(visible_pixels(image).numpy())
    picture.thumbnail((largest, largest))
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def visible_pixels(image: torch.Tensor) -> torch.Tensor:
    """The pixels that a page or a figure shows for an image.

    *Arguments*: `image`: (channels, height, width), 0…255. One channel is grey, three are red, green and blue; of two
    or four channels, the first one or the first three are shown.

    *Returns* (height, width), where 0 of the image is white and 255 is black; or (height, width, 3).

    >>> visible_pixels(torch.zeros(1, 2, 2, dtype=torch.uint8)).tolist()
    [[255, 255], [255, 255]]
    >>> visible_pixels(torch.zeros(4, 2, 2, dtype=torch.uint8)).shape
    torch.Size([2, 2, 3])
    """
    return 255 - image[0] if len(image) < 3 else image[:3].permute(1, 2, 0).contiguous()


def raw_pixels(image: torch.Tensor) -> str:
    """The bytes of an image (channels, height, width), channel by channel, row by row, as base64; scripts read them."""
    return base64.b64encode(image.contiguous().numpy().tobytes()).decode()


def join_images(images: torch.Tensor) -> torch.Tensor:
    """Joins images (rows, columns, channels, height, width) into one image, side by side on white.

    >>> join_images(torch.zeros(2, 5, 1, 28, 28, dtype=torch.uint8)).shape
    torch.Size([1, 59, 152])
    """
    rows, columns, channels, height, width = images.shape
    white = 0 if channels < 3 else 255  # see `visible_pixels`
    whole = images.new_full((channels, rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), white)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + GAP), column * (width + GAP)
            whole[:, top : top + height, left : left + width] = images[row, column]
    return whole
