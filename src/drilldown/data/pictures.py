"""Prepares a picture as MNIST's were, so that a network trained on MNIST can read it.

*Source*: LeCun, Cortes and Burges, "The MNIST database of handwritten digits": digits were scaled to fit a box of
20×20 keeping their proportions, and placed in 28×28 by their centre of mass.
"""

from __future__ import annotations

import contextlib
import struct
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps

from drilldown.errors import DrilldownError, Problem, did_you_mean

BOX = 20 / 28
"""The digit's box as a share of the image's side."""
INK = 0.1
"""Share of the strongest ink below which a pixel is background."""
LARGEST_SIDE = 20_000
ENOUGH = 1_000
"""Pixels of the longer side: of a picture with several times as many, neighbours are averaged first."""
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
"""What pictures come in; others, such as EPS, would be handed to programs of their own."""
_DAMAGE = (OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, MemoryError, struct.error)
"""What Pillow raises where a file is no picture, or a damaged one."""


def read_picture(file: Path | str, height: int = 28, width: int = 28) -> torch.Tensor:
    """A picture file as a network takes it: (height, width), uint8, ink light on dark.

    *Raises* DrilldownError where the file is no picture or shows nothing.

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
    """A picture as it is meant to be looked at: upright, on paper where it is transparent, in shades of grey."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is damaged and can be read all the same
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as opened:
                frames = getattr(opened, "n_frames", 1)
                if frames > 1 and opened.format != "MPO":  # of which the others are previews
                    raise _refused(file, f"holds {frames} pictures, one after another", "a single picture")
                if max(opened.size) > LARGEST_SIDE:
                    size = "x".join(map(str, opened.size))
                    raise _refused(file, f"a picture of {size}", f"sides of at most {LARGEST_SIDE:,}")
                image = _on_paper(ImageOps.exif_transpose(opened))
                if image.mode[0] not in "IF":
                    image = image.convert("L")
                    image = image.reduce(max(1, max(image.size) // ENOUGH))
                pixels = np.asarray(image, dtype=np.float32)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        found = f"a picture of more than {(Image.MAX_IMAGE_PIXELS or 0) // 1_000_000} million pixels"
        raise _refused(file, found, "a smaller one") from None
    except _DAMAGE as error:
        raise _refused(file, _reason(file, error), "a picture file such as PNG", _near(file)) from None
    return pixels * np.float32(255 / max(255.0, float(pixels.max())))  # of 16 bits, or of more


def _on_paper(image: Image.Image) -> Image.Image:
    """What is drawn on nothing, on paper that it stands out from."""
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
    return "a picture that is cut short" if "truncated" in str(error) else "not a picture that can be read"


def _near(file: Path) -> str | None:
    """A suggestion for a file that is not there."""
    if file.exists() or not file.parent.is_dir():
        return None
    return did_you_mean(file.name, [other.name for other in file.parent.iterdir()])


def centre_digit(ink: npt.NDArray[np.float32], height: int = 28, width: int = 28) -> torch.Tensor:
    """Ink (0…255, light on dark, any size) scaled to the box and placed by its centre of mass: (height, width), uint8.

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
    # A symmetric digit's mass can lie midway between two pixels: such a tie must not hang on a last bit.
    top = min(max(0, round(round((height - 1) / 2 - mass_row, 4))), height - small.shape[0])
    left = min(max(0, round(round((width - 1) / 2 - mass_column, 4))), width - small.shape[1])
    canvas = np.zeros((height, width), np.uint8)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small.round()
    return torch.from_numpy(canvas)
