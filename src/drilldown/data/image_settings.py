"""The setting `image` of a recipe: the size of the images of an own dataset, and how others are brought to it."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from drilldown.errors import DrilldownError, Problem, quoted
from drilldown.table import Table

LARGEST_SIZE = 1024
"""The largest side of an image in pixels."""

Fit = Literal["pad", "crop", "stretch"]
"""The way in which a picture of other proportions is brought to the size of the images."""


def read_image_settings(size: int | None, fit: str) -> ImageSettings | None:
    """Makes the settings of two options; None without a size.

    *Raises* DrilldownError where a value is wrong.

    >>> read_image_settings(32, "crop"), read_image_settings(None, "pad")
    (ImageSettings(size=32, fit='crop'), None)
    """
    if fit not in get_args(Fit):
        raise DrilldownError(Problem(place="--fit", found=f'found "{fit}"', expected=quoted(get_args(Fit))))
    if size is None:
        return None
    if not 1 <= size <= LARGEST_SIZE:
        raise DrilldownError(Problem(place="--size", found=f"found {size}", expected=f"1 to {LARGEST_SIZE:,}"))
    return ImageSettings.model_validate({"size": size, "fit": fit})


class ImageSettings(Table):
    """The size of the images of an own dataset. Pictures of other sizes are scaled.

    >>> drilldown.data.image_settings.ImageSettings(size=32)
    ImageSettings(size=32, fit='pad')
    """

    size: Annotated[int, Field(ge=1, le=LARGEST_SIZE)]
    """The height and the width of the images in pixels."""
    fit: Fit = "pad"
    """The way in which a picture that is not square becomes square: `pad` adds background at two sides, `crop` cuts off
    two sides, `stretch` changes the proportions."""
