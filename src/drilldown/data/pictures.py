"""Reads picture files, and prepares them as the images of a dataset were prepared."""

from __future__ import annotations

import contextlib
import glob
import os
import struct
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps

from drilldown.data.conventions import Conventions
from drilldown.data.fit import fit_picture
from drilldown.data.image_settings import Fit
from drilldown.data.other_files import name_other_file
from drilldown.data.preparation import prepare_pixels, prepared_ink
from drilldown.errors import DrilldownError, Problem, did_you_mean

MNIST = Conventions()
"""The conventions of MNIST."""
LARGEST_SIDE = 20_000
"""The largest side of a picture in pixels."""
REDUCED_SIDE = 1_000
"""Larger pictures are reduced by a whole factor, to a longer side of at least this number of pixels."""
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
"""The file formats that are read; Pillow would run other programs for some others, such as EPS."""
ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
"""The endings of the files that are read of a folder."""
_PILLOW_ERRORS = (OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, MemoryError, struct.error)
"""The exceptions that Pillow raises where a file is not a picture, or is damaged."""


def read_picture(
    file: Path | str,
    height: int = 28,
    width: int = 28,
    conventions: Conventions = MNIST,
    *,
    channels: int = 1,
    fit: Fit | None = None,
) -> torch.Tensor:
    """Reads a picture file and prepares it for a network. `Run.read_picture` prepares it for the network of a run.

    *Arguments*: `height`, `width`: the size of the result in pixels. `conventions`: those of the dataset. `channels`:
    1 for shades of grey, 3 for colours; a picture in colour is a whole picture. `fit`: the way in which the dataset's
    pictures were brought to this size, where they were.

    *Returns* the image, (height, width), uint8, with the polarity of the dataset; (3, height, width) in colour.

    *Raises* DrilldownError where the file is not a picture, or shows no object, or several.

    >>> paper = Image.new("L", (60, 100), "white")
    >>> paper.paste(0, (25, 10, 35, 90))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paper.save(Path(folder) / "one.png")
    ...     image = read_picture(Path(folder) / "one.png")
    >>> image.shape, int(image.max())
    (torch.Size([28, 28]), 255)
    """
    if channels not in (1, 3):
        raise _refused(Path(file), "a picture", f"{channels} channels, as the images of the dataset have",
                       "give images to `Run.predict` in Python")  # fmt: skip
    if channels == 3:
        return torch.from_numpy(fit_picture(read_colours(Path(file)), height, width, fit or "pad"))
    if fit is not None:
        fitted = shades_of(fit_picture(read_colours(Path(file)), height, width, fit))
        if conventions.framing == "whole" or prepared_ink(fitted.astype(np.float32), conventions) is not None:
            return torch.from_numpy(fitted.copy())
    pixels = _pixels(Path(file))
    try:
        return prepare_pixels(pixels, height, width, conventions)
    except DrilldownError as error:
        raise DrilldownError(*(replace(problem, file=file) for problem in error.problems)) from None


def find_pictures(paths: Iterable[Path]) -> tuple[list[Path], list[Problem]]:
    """Finds picture files by paths: files, folders (their picture files, by name) and patterns such as `*.png`.

    *Returns* each file once, and the problems of the paths that have no pictures. A file that is named is returned even
    if it does not exist or has another ending; reading it gives the message.
    """
    files: dict[Path, None] = {}
    problems: list[Problem] = []
    for path in paths:
        if os.path.isdir(path):
            found = sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS)
            if not found:
                problems.append(Problem(file=path, found="a folder without pictures", expected=", ".join(ENDINGS)))
        elif os.path.lexists(path) or not glob.has_magic(str(path)):
            found = [path]
        else:  # a shell that replaces no patterns, or a pattern in quotes
            found = sorted(map(Path, glob.glob(str(path), recursive=True)))
            if not found:
                problems.append(Problem(file=path, found="no file has such a name"))
        files.update(dict.fromkeys(found))
    return [*files], problems


def read_colours(file: Path) -> npt.NDArray[np.float32]:
    """Reads a picture as a viewer shows it, in colour: upright, with paper behind transparent parts.

    *Returns* (3, height, width), float32, 0…255: red, green and blue; the three are equal where the picture is grey.

    *Raises* DrilldownError where the file is not a picture.
    """
    pixels = _pixels(file, "RGB")
    return np.stack([pixels] * 3) if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def shades_of(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The shades of grey of a picture (3, height, width), as Pillow computes them; (height, width), uint8.

    *Source*: ITU-R Recommendation BT.601, luma.
    """
    return np.asarray(Image.fromarray(np.ascontiguousarray(colours.transpose(1, 2, 0))).convert("L"))


def _pixels(file: Path, mode: str = "L") -> npt.NDArray[np.float32]:
    """Reads a picture as a viewer shows it: upright, with paper behind transparent parts.

    *Arguments*: `mode`: `L` for shades of grey, `RGB` for colours.

    *Returns* (height, width), or (height, width, 3) for colours; float32, 0…255. Pixels of more than 8 bits are grey.
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
                    image = image.convert(mode)
                    image = image.reduce(max(1, max(image.size) // REDUCED_SIDE))
                pixels = np.asarray(image, dtype=np.float32)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        found = f"a picture of more than {(Image.MAX_IMAGE_PIXELS or 0) // 1_000_000} million pixels"
        raise _refused(file, found, "a smaller picture") from None
    except _PILLOW_ERRORS as error:
        raise _unreadable(file, error) from None
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


def _unreadable(file: Path, error: Exception) -> DrilldownError:
    expected = "a picture file such as PNG"
    if isinstance(error, OSError) and error.strerror:
        return _refused(file, error.strerror[0].lower() + error.strerror[1:], expected, _similar_name(file))
    with contextlib.suppress(OSError):
        if not file.stat().st_size:
            return _refused(file, "an empty file", expected)
        if other := name_other_file(file):
            kind, suggestion = other
            found = f"{kind}, which drilldown cannot read" if "picture" in kind else f"not a picture, but {kind}"
            return _refused(file, found, expected, suggestion)
    found = "a picture that is cut off" if "truncated" in str(error) else "not a picture that can be read"
    return _refused(file, found, expected)


def _similar_name(file: Path) -> str | None:
    """Returns a suggestion for a file that does not exist."""
    if file.exists() or not file.parent.is_dir():
        return None
    return did_you_mean(file.name, [other.name for other in file.parent.iterdir()])
