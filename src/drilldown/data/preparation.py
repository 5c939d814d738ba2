"""Prepares a picture as the images of a dataset were: polarity, framing and size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from drilldown.data.conventions import Conventions
from drilldown.data.framing import centre_object, fit_whole, layout_of
from drilldown.errors import DrilldownError, Problem

Pixels = npt.NDArray[np.float32]

NEAR_BACKGROUND = 25
"""A border whose median is this near the dataset's background belongs to a picture that is prepared already."""
PREPARED_SLACK = 0.08
"""An object in a picture of the dataset's size may lie this much further from the centre than the dataset's own."""
WIDER = 1.4
"""An object that is this much wider than the widest of the dataset is not one object."""


def prepare_pixels(pixels: Pixels, height: int, width: int, conventions: Conventions) -> torch.Tensor:
    """Prepares a picture for a network.

    A picture that is like an image of the dataset already keeps its pixels, so a dataset's own images give the
    predictions that were judged.

    *Arguments*: `pixels`: (rows, columns), 0 black to 255 white. `height`, `width`: the size of the result.
    `conventions`: those of the dataset.

    *Returns* the image, (height, width), uint8.

    *Raises* DrilldownError where the picture shows no object, or several.

    >>> paper = np.full((90, 60), 255, np.float32)
    >>> paper[10:80, 25:33] = 30
    >>> image = prepare_pixels(paper, 28, 28, Conventions())
    >>> int(image[0, 0]), int(image[14].max())
    (0, 255)
    >>> image = prepare_pixels(paper, 28, 28, Conventions(polarity="dark-on-light"))
    >>> int(image[0, 0]), int(image[14].min())
    (255, 0)
    """
    if conventions.framing == "whole":
        return _whole(pixels, height, width, conventions)
    from drilldown.data.ink import find_ink  # imports SciPy, which takes half a second

    prepared = prepared_ink(pixels, conventions) if pixels.shape == (height, width) else None
    ink = place_ink(find_ink(pixels), height, width, conventions) if prepared is None else prepared
    return 255 - ink if conventions.background == 255 else ink


def place_ink(ink: Pixels, height: int, width: int, conventions: Conventions) -> torch.Tensor:
    """Places ink in an image as the dataset places its objects. The page of a report does the same in JavaScript.

    Ink that lies like an object of the dataset stays where it is; other ink is scaled and centred.

    *Arguments*: `ink`: (rows, columns), any size, 0…255, light on dark. `height`, `width`: the size of the result.

    *Returns* the image, (height, width), uint8, light on dark.

    *Raises* DrilldownError where there is no ink, or several objects.
    """
    from drilldown.data.parts import count_objects  # imports SciPy too

    layout = layout_of(ink)
    if layout is None:
        raise DrilldownError(Problem(found="nothing is drawn", expected="a digit"))
    if conventions.single and (number := count_objects(ink)) > 1:
        raise _several(f"{number} objects side by side")
    if conventions.single and layout.aspect > WIDER * conventions.widest:
        raise _several(f"an object that is {layout.aspect:.1f} times as wide as high: several digits, or a line")
    whole = fit_whole(ink, height, width)
    lies = layout_of(whole.numpy().astype(np.float32))
    if lies is not None and conventions.admits(lies):
        return whole
    return centre_object(ink, height, width, box=conventions.box, centre=conventions.centre)


def _several(found: str) -> DrilldownError:
    return DrilldownError(
        Problem(found=found, expected="a single one, as in the dataset", suggestion="cut the picture into one for each")
    )


def prepared_ink(pixels: Pixels, conventions: Conventions) -> torch.Tensor | None:
    """The ink of a picture that has the dataset's size and is prepared already, light on dark; None if it is not."""
    border = float(np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])))
    if NEAR_BACKGROUND < border < 255 - NEAR_BACKGROUND:
        return None
    ink = 255 - pixels if border > 127 else pixels
    layout = layout_of(ink)
    # A size of 0 says that the dataset has blank images.
    is_known = conventions.admits(layout, PREPARED_SLACK) if layout else conventions.sizes[0] == 0
    return torch.from_numpy(ink.round().astype(np.uint8)) if is_known else None


def _whole(pixels: Pixels, height: int, width: int, conventions: Conventions) -> torch.Tensor:
    """A whole picture in the size of the dataset's images, with the polarity of the dataset where it has one."""
    background = conventions.background
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if background is None:
        return fit_whole(pixels, height, width, background=float(np.median(border)))
    is_plain = float(np.percentile(border, 90) - np.percentile(border, 10)) < 2 * NEAR_BACKGROUND
    if is_plain and pixels.shape != (height, width) and abs(float(np.median(border)) - background) > 170:
        pixels = 255 - pixels
    return fit_whole(pixels, height, width, background=background)
