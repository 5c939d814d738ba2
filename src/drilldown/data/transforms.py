"""The random changes of training images that a recipe can name, as tables of an experiment file.

Each table has `p`, the probability that an image is changed, and `fade`, the end of the training in which the change
becomes weaker. Ranges can be written as PyTorch writes them. `augmentation.py` draws and applies the changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from drilldown.data.ranges import (
    Area,
    Change,
    Degrees,
    Number,
    Shear,
    Size,
    Translate,
    spread,
    times,
    times_around_one,
)
from drilldown.errors import Problem
from drilldown.table import Positive, Table

Probability = Annotated[float, Field(ge=0, le=1)]


class Transform(Table):
    """A random change of a training image. A value alone, in place of a table, is its main setting."""

    p: Probability = 1.0
    """The probability that an image is changed."""
    fade: Probability = 0.0
    """The last part of the training, as a fraction of the epochs, in which the strength falls to 0 in equal steps; the
    last epoch has none."""
    main: ClassVar[str | None] = None
    """The setting that a value in place of the table stands for."""

    @model_validator(mode="wrap")
    @classmethod
    def _from_value(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if cls.main is None or isinstance(value, dict | Transform):
            return handler(value)
        try:
            return handler({cls.main: value})
        except ValidationError as error:  # its place is the key that the user wrote, without the main setting
            detail = error.errors()[0]
            if "error" in detail.get("ctx", {}):
                raise detail["ctx"]["error"] from None
            raise PydanticCustomError("main_setting", "{message}", {"message": detail["msg"]}) from None

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        # Files and fingerprints of earlier versions hold the number of `rotate` alone, and no `p` and `fade`.
        document = handler(self)
        for key in ("p", "fade"):
            if getattr(self, key) == type(self).model_fields[key].default:
                document.pop(key, None)
        return document[self.main] if set(document) == {self.main} else document

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Adds the main setting, which the reference shows as another way to write the table."""
        schema = handler(core_schema)
        if cls.main is not None:
            handler.resolve_ref_schema(schema)["main"] = cls.main
        return schema

    @property
    def is_neutral(self) -> bool:
        """Whether it changes no image."""
        return not self.p or (self.main is not None and not getattr(self, self.main))

    def strength(self, done: float) -> float:
        """The factor of all changes in an epoch after which the share `done` of the epochs is finished.

        >>> [round(Rotate(degrees=5, fade=0.4).strength(epoch / 5), 6) for epoch in (1, 2, 3, 4, 5)]
        [1.0, 1.0, 1.0, 0.5, 0.0]
        """
        return min(1.0, max(0.0, 1 - done) / self.fade) if self.fade else 1.0

    def scaled(self, factor: float) -> Self:  # noqa: ARG002
        """Returns the transform with its largest changes multiplied by a factor, as far as an image can be changed."""
        return self

    def with_settings(self, **settings: Any) -> Self:
        """Returns a copy with other settings, checked and spelt like those of a file."""
        return type(self).model_validate(dict(self) | settings)


class Rotate(Transform):
    """One rotation about the image's centre, before `affine`. `rotate = 7` is short for `rotate = { degrees = 7 }`.

    >>> drilldown.load("under-8k", ["recipe.augment={ rotate = [-7, 7] }"]).recipe.augment.rotate.degrees
    7.0
    """

    degrees: Degrees = 0.0
    """The largest rotation, in degrees; the angle is uniform between −degrees and degrees, or between two numbers."""
    main = "degrees"

    def scaled(self, factor: float) -> Self:  # noqa: D102
        return self.with_settings(degrees=times(self.degrees, factor, 180))


class Affine(Transform):
    """One random affine map about the image's centre: scale, shear along x, rotate, then shift."""

    rotate: Degrees = 0.0
    """The largest rotation, in degrees; the angle is uniform between −rotate and rotate, or between two numbers."""
    translate: Translate = 0.0
    """The largest shift, uniform in both directions: a fraction of the image's width and height if it is below 1, else
    whole pixels; two numbers are for width and height."""
    scale: tuple[Annotated[float, Field(gt=0, le=10)], Annotated[float, Field(gt=0, le=10)]] = Field(
        default=(1.0, 1.0), strict=False
    )
    """The smallest and the largest scale factor; the factor is uniform between them."""
    shear: Shear = 0.0
    """The largest shear, in degrees; the angle is uniform between −shear and shear, or between two numbers."""

    @field_validator("scale")
    @classmethod
    def _smallest_first(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] > scale[1]:
            raise ValueError(f"found {list(scale)}, expected the smallest factor first")
        return scale

    @property
    def is_neutral(self) -> bool:  # noqa: D102
        return not self.p or (self.rotate, self.translate, self.scale, self.shear) == (0, 0, (1, 1), 0)

    def scaled(self, factor: float) -> Self:  # noqa: D102
        def shift(length: float) -> float:
            return max(1.0, round(length * factor)) if length >= 1 else round(min(length * factor, 0.9), 6)

        lengths = self.translate
        return self.with_settings(
            rotate=times(self.rotate, factor, 180),
            translate=tuple(map(shift, lengths)) if isinstance(lengths, tuple) else shift(lengths),
            scale=times_around_one(self.scale, factor, 0.1, 10.0),
            shear=times(self.shear, factor, 80),
        )


class Crop(Transform):
    """A cut of the image's centre that is enlarged to the size of the image. `crop = 22` is short for `{ size = 22 }`.

    PyTorch's `CenterCrop` and `Resize`; with `p`, inside of `RandomApply`.
    """

    size: Size
    """The side of the cut: a fraction of the image's sides if it is below 1, else whole pixels."""
    main = "size"


class Flip(Transform):
    """A mirror image. `flip = "horizontal"` is short for `flip = { direction = "horizontal" }`.

    PyTorch's `RandomHorizontalFlip` and `RandomVerticalFlip`. Mirrored digits and letters are other signs, or none.
    """

    p: Probability = 0.5
    """The probability that an image is mirrored; with `both`, for each direction. `fade` reduces it."""
    direction: Literal["horizontal", "vertical", "both"] = "horizontal"
    """`horizontal` exchanges left and right, `vertical` top and bottom, `both` is one after the other."""
    main = "direction"


class Perspective(Transform):
    """A view from an angle: each corner moves inward. `perspective = 0.3` is short for `{ distortion = 0.3 }`.

    PyTorch's `RandomPerspective`.
    """

    p: Probability = 0.5
    """The probability that an image is changed."""
    distortion: Annotated[float, Field(ge=0, le=0.6)] = 0.5
    """The largest movement of a corner in each direction, as a fraction of half a side (PyTorch's `distortion_scale`).
    Above 2/3 an image could fold."""
    main = "distortion"

    def scaled(self, factor: float) -> Self:  # noqa: D102
        return self.with_settings(distortion=times(self.distortion, factor, 0.6))


class Elastic(Transform):
    """A smooth random displacement of all pixels. `elastic = 30` is short for `elastic = { alpha = 30 }`.

    *Source*: Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to Visual Document
    Analysis", 2003, section 2.
    """

    alpha: Annotated[float, Field(ge=0, le=10_000)] = 34.0
    """The factor, in pixels, of uniform noise between −1 and 1 after smoothing; with the defaults, a pixel moves by 1.4
    pixels in each direction (root mean square)."""
    sigma: Annotated[float, Field(gt=0, le=100)] = 4.0
    """The standard deviation, in pixels, of the Gaussian that smooths the noise."""
    main = "alpha"

    def scaled(self, factor: float) -> Self:  # noqa: D102
        return self.with_settings(alpha=times(self.alpha, factor, 10_000))


class Erase(Transform):
    """A random rectangle that becomes background (0). `erase = [0.02, 0.33]` is short for `{ area = [0.02, 0.33] }`.

    PyTorch's `RandomErasing`. Source: Zhong et al., "Random Erasing Data Augmentation", 2020.
    """

    p: Probability = 0.5
    """The probability that an image loses a rectangle."""
    area: Area = (0.02, 0.33)
    """The smallest and the largest area, as a fraction of the image's area; the area is uniform between them."""
    ratio: tuple[Positive, Positive] = Field(default=(0.3, 3.3), strict=False)
    """The smallest and the largest ratio of height to width; its logarithm is uniform. A side is never longer than the
    image's."""
    main = "area"

    @field_validator("ratio")
    @classmethod
    def _smallest_first(cls, ratio: tuple[float, float]) -> tuple[float, float]:
        if ratio[0] > ratio[1]:
            raise ValueError(f"found {list(ratio)}, expected the smallest ratio first")
        return ratio

    @property
    def is_neutral(self) -> bool:  # noqa: D102
        return not self.p or not self.area[1]

    def scaled(self, factor: float) -> Self:  # noqa: D102
        low, high = (round(min(end * factor, 0.9), 6) for end in self.area)
        return self.with_settings(area=(low, high))


class Jitter(Transform):
    """A random change of brightness and contrast."""

    brightness: Change = 0.0
    """The largest change of brightness, as a fraction; a uniform factor in 1 ± brightness, or between two numbers,
    multiplies all pixels."""
    contrast: Change = 0.0
    """The largest change of contrast, as a fraction; a uniform factor in 1 ± contrast, or between two numbers, scales
    distances to the mean."""

    @property
    def is_neutral(self) -> bool:  # noqa: D102
        return not self.p or {spread(self.brightness, 1), spread(self.contrast, 1)} == {(1, 1)}

    def scaled(self, factor: float) -> Self:  # noqa: D102
        def change(value: Number) -> Number:
            if isinstance(value, tuple):
                return times_around_one(value, factor, 0.0, 100.0)
            return times(value, factor, 0.9)

        return self.with_settings(brightness=change(self.brightness), contrast=change(self.contrast))


class Augmentation(Table):
    """The random changes of a training image, drawn again in every epoch, in the order of the keys."""

    crop: Crop | None = None
    """The cut of the centre; none by default."""
    flip: Flip | None = None
    """The mirror image; none by default."""
    rotate: Rotate = Rotate()
    """A separate rotation before `affine`; none by default."""
    affine: Affine | None = None
    """The random affine map; none by default."""
    perspective: Perspective | None = None
    """The view from an angle; none by default."""
    elastic: Elastic | None = None
    """The smooth displacement; none by default."""
    jitter: Jitter | None = None
    """The random change of brightness and contrast; none by default."""
    erase: Erase | None = None
    """The rectangle that becomes background; none by default."""
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    """The rule for a value between pixels: `bilinear` or `nearest`; outside the image is background."""

    def active(self, done: float = 0.0) -> dict[str, Transform]:
        """The transforms that change images, by their keys.

        *Arguments*: `done`: the share of the epochs that is finished after this epoch.

        >>> list(Augmentation(rotate=Rotate(degrees=5), jitter=Jitter()).active())
        ['rotate']
        """
        tables = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            name: table
            for name, table in tables.items()
            if isinstance(table, Transform) and not table.is_neutral and table.strength(done)
        }

    def scaled(self, factor: float) -> Self:
        """Returns the augmentation with the largest changes multiplied by a factor; 0 removes all transforms."""
        if not factor:
            return type(self)(interpolation=self.interpolation)
        tables = {name: getattr(self, name) for name in type(self).model_fields}
        return self.model_copy(
            update={name: table.scaled(factor) for name, table in tables.items() if isinstance(table, Transform)}
        )

    def check_pixels(self, height: int, width: int) -> Iterator[Problem]:
        """Finds lengths in pixels that are too long for the images."""
        lengths: list[tuple[str, float, int]] = []
        if self.affine is not None:
            shift = self.affine.translate
            across, down = shift if isinstance(shift, tuple) else (shift, shift)
            lengths += [("affine.translate", across, width), ("affine.translate", down, height)]
        if self.crop is not None:
            lengths += [("crop.size", self.crop.size, width), ("crop.size", self.crop.size, height)]
        for key, length, side in lengths:
            if length >= side:
                yield Problem(
                    place=f"recipe.augment.{key}",
                    found=f"found {length:g} pixels, and the images are {width}x{height} (width x height)",
                    expected="fewer pixels, or a fraction below 1",
                )
                return
