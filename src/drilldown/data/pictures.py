"""Prepares a picture as MNIST's digits were prepared, so that a network trained on MNIST can classify it.

*Source*: LeCun, Cortes and Burges, "The MNIST database of handwritten digits": digits were scaled to fit a box of
20×20 keeping their proportions, and placed in 28×28 by their centre of mass.
"""

from __future__ import annotations

import contextlib
import os
import struct
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps

from drilldown.errors import DrilldownError, Problem, did_you_mean

BOX = 20 / 28
"""The side of the digit's box as a fraction of the image's side."""
INK = 0.1
"""A pixel with less than this fraction of the strongest ink is background."""
LARGEST_SIDE = 20_000
"""The largest side of a picture in pixels."""
REDUCED_SIDE = 1_000
"""Larger pictures are reduced by a whole factor, to a longer side of at least this number of pixels."""
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
"""The file formats that are read; Pillow would run other programs for some others, such as EPS."""
_PILLOW_ERRORS = (OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, MemoryError, struct.error)
"""The exceptions that Pillow raises where a file is not a picture, or is damaged."""


def read_picture(file: Path | str, height: int = 28, width: int = 28) -> torch.Tensor:
    """Reads a picture file and prepares it for a network.

    *Arguments*: `height`, `width`: the size of the result in pixels.

    *Returns* the image, (height, width), uint8, with light ink on a dark background.

    *Raises* DrilldownError where the file is not a picture, or nothing differs from the background.

    >>> paper = Image.new("L", (60, 100), "white")
    >>> paper.paste(0, (25, 10, 35, 90))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paper.save(Path(folder) / "one.png")
    ...     image = read_picture(Path(folder) / "one.png")
    >>> image.shape, int(image.max())
    (torch.Size([28, 28]), 255)
    """
    pixels = _pixels(Path(file))
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    background = float(np.median(border))
    ink = background - pixels if background > 127 else pixels - background
    ink = ink.clip(0, None)
    if ink.max() < 16:
        raise DrilldownError(Problem(file=file, found="nothing stands out from the background", expected="a digit"))
    return centre_digit(ink * (255 / ink.max()), height, width)


def _pixels(file: Path) -> npt.NDArray[np.float32]:
    """Reads a picture as a viewer shows it, in shades of grey: upright, with paper behind transparent parts.

    *Returns* (height, width), float32, 0…255.
    """
    if os.path.exists(file) and not os.path.isfile(file) and not os.path.isdir(file):
        raise _refused(file, "not a file", "a picture file such as PNG")  # a pipe would be read for ever
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a damaged file that can be read is accepted
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as opened:
                frames = getattr(opened, "n_frames", 1)
                if frames > 1 and opened.format != "MPO":  # the other frames of MPO are previews
                    raise _refused(file, f"contains {frames} pictures", "a single picture")
                if max(opened.size) > LARGEST_SIDE:
                    size = "x".join(map(str, opened.size))
                    raise _refused(file, f"a picture of {size}", f"sides of at most {LARGEST_SIDE:,}")
                image = _on_paper(ImageOps.exif_transpose(opened))
                if image.mode[0] not in "IF":
                    image = image.convert("L")
                    image = image.reduce(max(1, max(image.size) // REDUCED_SIDE))
                pixels = np.asarray(image, dtype=np.float32)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        found = f"a picture of more than {(Image.MAX_IMAGE_PIXELS or 0) // 1_000_000} million pixels"
        raise _refused(file, found, "a smaller picture") from None
    except _PILLOW_ERRORS as error:
        raise _refused(file, _reason(file, error), "a picture file such as PNG", _similar_name(file)) from None
    if not np.isfinite(pixels).all():
        raise _refused(file, "some pixels are not finite numbers", "a picture file such as PNG")
    return pixels * np.float32(255 / max(255.0, float(pixels.max())))  # pixels may have 16 bits or more


def _on_paper(image: Image.Image) -> Image.Image:
    """Puts paper behind a picture that is partly transparent: black paper if all its ink is light, else white."""
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return image
    layered = image.convert("RGBA")
    visible = np.asarray(layered.getchannel("A")) > 127
    shades = np.asarray(layered.convert("L"))[visible]
    paper = "black" if shades.size and shades.min() > 127 else "white"
    return Image.alpha_composite(Image.new("RGBA", layered.size, paper), layered)


def _refused(file: Path, found: str, expected: str, suggestion: str | None = None) -> DrilldownError:
    return DrilldownError(Problem(file=file, found=found, expected=expected, suggestion=suggestion))


def _reason(file: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    with contextlib.suppress(OSError):
        if not file.stat().st_size:
            return "an empty file"
    return "a picture that is cut off" if "truncated" in str(error) else "not a picture that can be read"


def _similar_name(file: Path) -> str | None:
    """Returns a suggestion for a file that does not exist."""
    if file.exists() or not file.parent.is_dir():
        return None
    return did_you_mean(file.name, [other.name for other in file.parent.iterdir()])


def centre_digit(ink: npt.NDArray[np.float32], height: int = 28, width: int = 28) -> torch.Tensor:
    """Scales ink to the digit's box and puts its centre of mass into the centre of the image.

    *Arguments*: `ink`: (rows, columns), any size, 0…255, light on dark. `height`, `width`: the size of the result.

    *Returns* the image, (height, width), uint8.

    >>> stroke = np.zeros((100, 60), np.float32)
    >>> stroke[10:90, 25:35] = 255
    >>> image = centre_digit(stroke)
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
    # The mass of a symmetric digit can lie exactly between two pixels; rounding errors must not decide then.
    top = min(max(0, round(round((height - 1) / 2 - mass_row, 4))), height - small.shape[0])
    left = min(max(0, round(round((width - 1) / 2 - mass_column, 4))), width - small.shape[1])
    canvas = np.zeros((height, width), np.uint8)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small.round()
    return torch.from_numpy(canvas)
