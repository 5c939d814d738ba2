"""Augmentation: one warp and one change of brightness and contrast per image, in batches, on the device that trains.

The random draws of all geometric transforms are multiplied into one 2×3 matrix per image, so every image is resampled
only once. Augmentation works on raw pixels (0…255), before normalisation.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator

from drilldown.table import BelowOne, Table

Degrees = Annotated[float, Field(ge=0, le=180)]
Shear = Annotated[float, Field(ge=0, lt=90)]


class Affine(Table):
    """One random affine map about the image's centre: scale, shear along x, rotate, then shift."""

    rotate: Degrees = 0.0
    """The largest rotation, in degrees; the angle is uniform between −rotate and rotate."""
    translate: BelowOne = 0.0
    """The largest shift, as a fraction of the image's width and height; both shifts are uniform in both directions."""
    scale: tuple[Annotated[float, Field(gt=0, le=10)], Annotated[float, Field(gt=0, le=10)]] = Field(
        default=(1.0, 1.0), strict=False
    )
    """The smallest and the largest scale factor; the factor is uniform between them."""
    shear: Shear = 0.0
    """The largest shear, in degrees; the angle is uniform between −shear and shear."""

    @field_validator("scale")
    @classmethod
    def _smallest_first(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] > scale[1]:
            raise ValueError(f"found {list(scale)}, expected the smallest factor first")
        return scale


class Jitter(Table):
    """A random change of brightness and contrast."""

    brightness: BelowOne = 0.0
    """The largest change of brightness, as a fraction; a uniform factor in 1 ± brightness multiplies all pixels."""
    contrast: BelowOne = 0.0
    """The largest change of contrast, as a fraction; a uniform factor in 1 ± contrast scales distances to the mean."""


class Augmentation(Table):
    """The random changes of a training image, drawn again in every epoch."""

    rotate: Degrees = 0.0
    """The largest angle of a separate rotation before `affine`, in degrees; uniform between −rotate and rotate."""
    affine: Affine | None = None
    """The random affine map; none by default."""
    jitter: Jitter | None = None
    """The random change of brightness and contrast; none by default."""
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    """The rule for a value between pixels: `bilinear` or `nearest`; outside the image is background."""

    @property
    def warps(self) -> bool:
        """Whether images are resampled."""
        return bool(self.rotate) or self.affine not in (None, Affine())

    @property
    def jitters(self) -> bool:
        """Whether brightness or contrast changes."""
        return self.jitter not in (None, Jitter())


@dataclass(frozen=True, slots=True)
class AugmentationDraws:
    """The random numbers of an epoch, one row per image."""

    inverse: torch.Tensor | None
    """The maps from output pixel to input pixel, (N, 2, 3), in pixels from the centre; None without a warp."""
    brightness_contrast: torch.Tensor | None
    """The factors of brightness and contrast, (N, 2); None where neither changes."""

    def slice(self, start: int, stop: int) -> AugmentationDraws:
        """Returns the draws of the images from `start` to `stop` − 1."""
        return AugmentationDraws(
            None if self.inverse is None else self.inverse[start:stop],
            None if self.brightness_contrast is None else self.brightness_contrast[start:stop],
        )

    def to(self, device: torch.device) -> AugmentationDraws:
        """Returns a copy on another device."""
        return AugmentationDraws(
            None if self.inverse is None else self.inverse.to(device),
            None if self.brightness_contrast is None else self.brightness_contrast.to(device),
        )


def draw_augmentation(
    augment: Augmentation, count: int, generator: torch.Generator, height: int, width: int
) -> AugmentationDraws:
    """Draws warp, brightness and contrast for `count` images.

    *Arguments*: `generator`: the source of all random numbers. `height`, `width`: the size of the images in pixels.

    >>> draws = draw_augmentation(Augmentation(rotate=10), 4, torch.Generator().manual_seed(0), 28, 28)
    >>> tuple(draws.inverse.shape), draws.brightness_contrast
    ((4, 2, 3), None)
    """

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)

    inverse = brightness_contrast = None
    if augment.warps:
        # p_out = T · R₂ · Shear · Scale · R₁ · p_in: the two transforms of torchvision, one after the other.
        # The inverse: p_in = R₁⁻¹ · (R₂ · Shear · Scale)⁻¹ · (p_out − t).
        affine = augment.affine or Affine()
        first = _rotation(uniform(-augment.rotate, augment.rotate))
        second = _rotation(uniform(-affine.rotate, affine.rotate))
        shear = torch.eye(2, dtype=torch.float64).repeat(count, 1, 1)
        shear[:, 0, 1] = -torch.tan(torch.deg2rad(uniform(-affine.shear, affine.shear)))
        scale = uniform(*affine.scale)[:, None, None]
        shift = torch.stack(
            [uniform(-affine.translate, affine.translate) * width,
             uniform(-affine.translate, affine.translate) * height], dim=1
        )  # fmt: skip
        linear = torch.linalg.inv(second @ shear * scale @ first)
        inverse = torch.cat([linear, -linear @ shift[:, :, None]], dim=2).float()
    if augment.jitters:
        jitter = augment.jitter or Jitter()
        brightness_contrast = torch.stack(
            [uniform(1 - jitter.brightness, 1 + jitter.brightness),
             uniform(1 - jitter.contrast, 1 + jitter.contrast)], dim=1
        ).float()  # fmt: skip
    return AugmentationDraws(inverse, brightness_contrast)


def augment_images(images: torch.Tensor, draws: AugmentationDraws, interpolation: str = "bilinear") -> torch.Tensor:
    """Warps a batch and changes its brightness and contrast.

    *Arguments*: `images`: (N, channels, height, width), uint8; all channels of an image change in the same way.
    `draws`: the draws of these N images, on the same device.

    *Returns* images of the same shape, float32, 0…255.
    """
    pixels = images.float()
    if draws.inverse is not None:
        pixels = warp_images(pixels, draws.inverse, interpolation)
    if draws.brightness_contrast is not None:
        brightness, contrast = draws.brightness_contrast[:, :, None, None, None].unbind(1)
        mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
        pixels = (brightness * (mean + contrast * (pixels - mean))).clamp(0, 255)
    return pixels


def warp_images(pixels: torch.Tensor, inverse: torch.Tensor, interpolation: str) -> torch.Tensor:
    """Resamples images by affine maps.

    *Arguments*: `pixels`: (N, channels, height, width). `inverse`: the maps from output to input, (N, 2, 3), in pixels
    from the centre. `interpolation`: `bilinear` or `nearest`.

    *Returns* images of the same shape; pixels from outside the input are 0.
    """
    height, width = pixels.shape[2:]
    to_halves, positions = _grid(height, width, inverse.dtype, inverse.device)
    # `affine_grid` computes one small matrix product per image; one large product for all images is faster.
    grid = ((inverse * to_halves).view(-1, 3) @ positions).view(-1, 2, height, width).permute(0, 2, 3, 1)
    return F.grid_sample(pixels, grid, mode=interpolation, padding_mode="zeros", align_corners=False)


@functools.lru_cache
def _grid(height: int, width: int, dtype: torch.dtype, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Computes the constants of `warp_images`. PyTorch measures in half-images: u pixels from the centre are 2u/width.

    *Returns* the factors that convert the elements of a (2, 3) map from pixels to half-images, and the positions of
    all pixels in half-images, (3, height · width): column, row, and 1.
    """
    half = torch.tensor([width / 2, height / 2], dtype=dtype, device=device)
    ys, xs = ((2 * torch.arange(n, dtype=dtype, device=device) + 1) / n - 1 for n in (height, width))
    positions = torch.stack([xs.expand(height, width), ys[:, None].expand(height, width), xs.new_ones(height, width)])
    return torch.cat([half, half.new_ones(1)]) / half[:, None], positions.view(3, -1)


def _rotation(degrees: torch.Tensor) -> torch.Tensor:
    """Returns rotation matrices, (N, 2, 2), for angles in degrees, (N)."""
    angle = degrees * (math.pi / 180)
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
