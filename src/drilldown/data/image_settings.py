"""The setting `image` of a recipe: the size of the images of an own dataset, and how others are brought to it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from drilldown.table import Table

LARGEST_SIZE = 1024
"""The largest side of an image in pixels."""

Fit = Literal["pad", "crop", "stretch"]
"""The way in which a picture of other proportions is brought to the size of the images."""


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
