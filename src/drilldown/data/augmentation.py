"""Augmentation: one warp and one change of brightness and contrast per image, in batches, on the device that trains.

However many transforms a recipe names, their draws are multiplied into a single 2×3 matrix per image, so that
every image is resampled once. All of it happens on raw pixels (0…255), before they are normalised.
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
    """Degrees, uniform in ±."""
    translate: BelowOne = 0.0
    """Fraction of the image's width and height, each uniform in ±."""
    scale: tuple[Annotated[float, Field(gt=0, le=10)], Annotated[float, Field(gt=0, le=10)]] = Field(
        default=(1.0, 1.0), strict=False
    )
    """Smallest and largest factor, uniform between."""
    shear: Shear = 0.0
    """Degrees, uniform in ±."""

    @field_validator("scale")
    @classmethod
    def _smallest_first(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] > scale[1]:
            raise ValueError(f"found {list(scale)}, expected the smallest factor first")
        return scale


class Jitter(Table):
    """A random change of brightness and contrast."""

    brightness: BelowOne = 0.0
    """All pixels times a factor that is uniform in 1 ± this."""
    contrast: BelowOne = 0.0
    """Distances from the image's mean times a factor that is uniform in 1 ± this."""


class Augmentation(Table):
    """What is done to a training image before each look at it."""

    rotate: Degrees = 0.0
    """A rotation of its own, before `affine`: degrees, uniform in ±."""
    affine: Affine | None = None
    jitter: Jitter | None = None
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    """How pixels between pixels are read. Outside the image is background."""

    @property
    def warps(self) -> bool:
        """Whether images are resampled at all."""
        return bool(self.rotate) or self.affine not in (None, Affine())

    @property
    def jitters(self) -> bool:
        """Whether brightness or contrast change."""
        return self.jitter not in (None, Jitter())


@dataclass(frozen=True, slots=True)
class AugmentationDraws:
    """The random numbers of an epoch, image by image."""

    inverse: torch.Tensor | None
    """(N, 2, 3): output pixel → input pixel, in pixels from the centre; None where nothing is warped."""
    brightness_contrast: torch.Tensor | None
    """(N, 2): brightness and contrast factor; None where neither changes."""

    def slice(self, start: int, stop: int) -> AugmentationDraws:
        """The draws of images start … stop − 1."""
        return AugmentationDraws(
            None if self.inverse is None else self.inverse[start:stop],
            None if self.brightness_contrast is None else self.brightness_contrast[start:stop],
        )

    def to(self, device: torch.device) -> AugmentationDraws:
        """The same on another device."""
        return AugmentationDraws(
            None if self.inverse is None else self.inverse.to(device),
            None if self.brightness_contrast is None else self.brightness_contrast.to(device),
        )


def draw_augmentation(
    augment: Augmentation, count: int, generator: torch.Generator, height: int, width: int
) -> AugmentationDraws:
    """Draws warp, brightness and contrast for `count` images."""

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)

    inverse = brightness_contrast = None
    if augment.warps:
        # p_out = T · R₂ · Shear · Scale · R₁ · p_in, as the two transforms of torchvision compose.
        # Undone from left to right: p_in = R₁⁻¹ · (R₂ · Shear · Scale)⁻¹ · (p_out − t).
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

    *Arguments*: `images`: (N, height, width), uint8. `draws`: of the same N images, on the same device.

    *Returns* (N, 1, height, width), float32, 0…255.
    """
    pixels = images[:, None].float()
    if draws.inverse is not None:
        pixels = warp_images(pixels, draws.inverse, interpolation)
    if draws.brightness_contrast is not None:
        brightness, contrast = draws.brightness_contrast[:, :, None, None, None].unbind(1)
        mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
        pixels = (brightness * (mean + contrast * (pixels - mean))).clamp(0, 255)
    return pixels


def warp_images(pixels: torch.Tensor, inverse: torch.Tensor, interpolation: str) -> torch.Tensor:
    """Resamples images along affine maps.

    *Arguments*: `pixels`: (N, 1, height, width). `inverse`: (N, 2, 3), output → input, in pixels from the centre.

    *Returns* the images, of the same shape; what lies outside the input is 0.
    """
    height, width = pixels.shape[2:]
    to_halves, places = _grid(height, width, inverse.dtype, inverse.device)
    # The map of `affine_grid`, which takes a small product for each image: here it is a single one for all.
    grid = ((inverse * to_halves).view(-1, 3) @ places).view(-1, 2, height, width).permute(0, 2, 3, 1)
    return F.grid_sample(pixels, grid, mode=interpolation, padding_mode="zeros", align_corners=False)


@functools.lru_cache
def _grid(height: int, width: int, dtype: torch.dtype, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """PyTorch measures in half-images: column u pixels from the centre is 2u/width.

    *Returns* what turns (2, 3) maps in pixels into maps in half-images, by its elements, and the pixels' places in
    half-images, (3, height · width): column, row, and 1.
    """
    half = torch.tensor([width / 2, height / 2], dtype=dtype, device=device)
    ys, xs = ((2 * torch.arange(n, dtype=dtype, device=device) + 1) / n - 1 for n in (height, width))
    places = torch.stack([xs.expand(height, width), ys[:, None].expand(height, width), xs.new_ones(height, width)])
    return torch.cat([half, half.new_ones(1)]) / half[:, None], places.view(3, -1)


def _rotation(degrees: torch.Tensor) -> torch.Tensor:
    """(N, 2, 2) rotations by (N) degrees."""
    angle = degrees * (math.pi / 180)
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
