"""The conventions of a dataset: how its images show an object. A picture is prepared by them before it is classified.

MNIST's digits are light on dark, in a box of 20×20 pixels, with their centre of mass in the centre of the image. Other
datasets are dark on light, have other boxes, or show whole photographs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

Polarity = Literal["light-on-dark", "dark-on-light"]
Framing = Literal["box", "whole"]
Orientation = Literal["upright", "transposed"]
"""How images lie in the files of a dataset; a transposed image has its rows where its columns belong, as in EMNIST."""
Centre = Literal["mass", "middle"]
"""The point of an object that lies in the centre of its image: its centre of mass, or the middle of its rectangle."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How an object lies in an image."""

    size: float
    """The longer side of the object, as a share of the image's side."""
    mass: tuple[float, float]
    """The distance of its centre of mass from the image's centre, (down, right), as a share of the image's side."""
    middle: tuple[float, float]
    """The same of the middle of the rectangle around it."""
    aspect: float
    """The width of this rectangle divided by its height."""

    def offset(self, centre: Centre) -> tuple[float, float]:
        """The distance of its centre from the image's centre."""
        return self.mass if centre == "mass" else self.middle


@dataclass(frozen=True, slots=True, kw_only=True)
class Conventions:
    """How the images of a dataset show an object; the defaults are MNIST's.

    >>> str(Conventions())
    'light on dark, in a box of 71 % of the side, centred by mass'
    >>> str(Conventions(polarity="dark-on-light", framing="whole"))
    'dark on light, whole pictures'
    """

    __pydantic_config__: ClassVar = {"extra": "ignore"}  # a later version may record more

    polarity: Polarity | None = "light-on-dark"
    """The brightness of object and background; None if the images differ."""
    framing: Framing = "box"
    """`box`: strokes on a plain background, placed alike. `whole`: whole pictures, such as photographs."""
    box: float = 0.714
    """The longer side of the object, as a share of the image's side: the median."""
    sizes: tuple[float, float] = (0.679, 0.714)
    """The same, of the smallest and of the largest object."""
    centre: Centre = "mass"
    """The point that lies in the centre of the image."""
    offset: float = 0.04
    """The largest distance of this point from the centre, down or to the side, as a share of the image's side."""
    widest: float = 2.0
    """The width of the widest object, divided by its height."""
    single: bool = True
    """Whether an image shows one object; False if parts of an image look like several objects side by side."""

    @property
    def background(self) -> int | None:
        """The background's brightness, 0 or 255; None if the images differ."""
        return {None: None, "light-on-dark": 0, "dark-on-light": 255}[self.polarity]

    def __str__(self) -> str:
        polarity = self.polarity.replace("-", " ") if self.polarity else "light and dark backgrounds"
        if self.framing == "whole":
            return f"{polarity}, whole pictures"
        centred = "mass" if self.centre == "mass" else "their middle"
        return f"{polarity}, in a box of {100 * self.box:.0f} % of the side, centred by {centred}"

    def admits(self, layout: Layout, slack: float = 0.03) -> bool:
        """Whether an object lies in its image as those of the dataset do.

        *Arguments*: `slack`: how far it may be beyond the known sizes and distances, as a share of the image's side.
        """
        return (
            self.sizes[0] - slack <= layout.size <= self.sizes[1] + slack
            and max(map(abs, layout.offset(self.centre))) <= self.offset + slack
        )

    def to_json(self) -> dict[str, Any]:
        """The values by their names."""
        return asdict(self)
