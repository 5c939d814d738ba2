"""Prepares a picture as MNIST's were, so that a network trained on MNIST can read it.

*Source*: LeCun, Cortes and Burges, "The MNIST database of handwritten digits": digits were scaled to fit a box of
20×20 keeping their proportions, and placed in 28×28 by their centre of mass.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError

from drilldown.errors import DrilldownError, Problem

BOX = 20 / 28
"""The digit's box as a share of the image's side."""
INK = 0.1
"""Share of the strongest ink below which a pixel is background."""
LARGEST_SIDE = 20_000


def read(file: Path | str, height: int = 28, width: int = 28) -> torch.Tensor:
    """A picture file as a network takes it: (height, width), uint8, ink light on dark.

    *Raises* DrilldownError where the file is no picture or shows nothing.

    >>> paper = Image.new("L", (60, 100), "white")
    >>> paper.paste(0, (25, 10, 35, 90))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paper.save(Path(folder) / "one.png")
    ...     image = read(Path(folder) / "one.png")
    >>> image.shape, int(image.max())
    (torch.Size([28, 28]), 255)
    """
    try:
        with Image.open(file) as opened:
            image: Image.Image = opened
            if max(image.size) > LARGEST_SIDE:
                found = f"a picture of {image.size[0]}x{image.size[1]}"
                raise DrilldownError(Problem(file=file, found=found, expected=f"sides of at most {LARGEST_SIDE}"))
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:  # drawn on nothing: on paper, then
                layered = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered)
            pixels = np.asarray(image.convert("L"), dtype=np.float32)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a picture that can be read"
        raise DrilldownError(Problem(file=file, found=reason, expected="a picture file such as PNG")) from None
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    background = float(np.median(border))
    ink = background - pixels if background > 127 else pixels - background
    ink = ink.clip(0, None)
    if ink.max() < 16:
        raise DrilldownError(Problem(file=file, found="nothing stands out from the background", expected="a digit"))
    return centre(ink * (255 / ink.max()), height, width)


def centre(ink: npt.NDArray[np.float32], height: int = 28, width: int = 28) -> torch.Tensor:
    """Ink (0…255, light on dark, any size) scaled to the box and placed by its centre of mass: (height, width), uint8.

    >>> stroke = np.zeros((100, 60), np.float32)
    >>> stroke[10:90, 25:35] = 255
    >>> image = centre(stroke)
    >>> int((image.max(1).values > 0).sum())
    20
    """
    rows, columns = (np.flatnonzero((ink > INK * 255).any(axis=axis)) for axis in (1, 0))
    cropped = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = min(round(BOX * height) / cropped.shape[0], round(BOX * width) / cropped.shape[1])
    size = max(1, round(cropped.shape[1] * scale)), max(1, round(cropped.shape[0] * scale))
    small = np.asarray(
        Image.fromarray(cropped).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)
    )
    small = small.clip(0, 255)
    total = small.sum()
    mass_row = float((small.sum(1) * np.arange(small.shape[0])).sum() / total)
    mass_column = float((small.sum(0) * np.arange(small.shape[1])).sum() / total)
    # A symmetric digit's mass can lie midway between two pixels: such a tie must not hang on a last bit.
    top = min(max(0, round(round((height - 1) / 2 - mass_row, 4))), height - small.shape[0])
    left = min(max(0, round(round((width - 1) / 2 - mass_column, 4))), width - small.shape[1])
    canvas = np.zeros((height, width), np.uint8)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small.round()
    return torch.from_numpy(canvas)
