"""Augmentation: the random changes of training images, in batches, on the device that trains.

The random draws of all geometric transforms are multiplied into one matrix per image, so every image is resampled only
once. Augmentation works on raw pixels (0…255), before normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from drilldown.data.ranges import fraction_of, spread
from drilldown.data.transforms import (
    Affine,
    Augmentation,
    Crop,
    Elastic,
    Erase,
    Flip,
    Jitter,
    Perspective,
    Rotate,
    Transform,
)
from drilldown.data.warping import perspective_matrices, rotation_matrices, smooth_noise, warp_images
from drilldown.randomness import stream


@dataclass(frozen=True, slots=True)
class AugmentationDraws:
    """The random numbers of an epoch, one row per image."""

    inverse: torch.Tensor | None
    """The maps from output pixel to input pixel, in pixels from the centre: (N, 2, 3), or (N, 3, 3) with a perspective;
    None without a warp."""
    brightness_contrast: torch.Tensor | None
    """The factors of brightness and contrast, (N, 2); None where neither changes."""
    elastic_seeds: torch.Tensor | None = None
    """The seeds of the displacements, (N), int64; None without them."""
    elastic_alphas: torch.Tensor | None = None
    """The factors of the displacements, in pixels, (N)."""
    elastic_sigma: float = 0.0
    """The smoothness of the displacements, in pixels."""
    erased: torch.Tensor | None = None
    """The erased rectangles, (N, 4), int64: top, bottom, left, right, without the last row and column; None without
    them."""

    def slice(self, start: int, stop: int) -> AugmentationDraws:
        """Returns the draws of the images from `start` to `stop` − 1."""
        return self._each(lambda tensor: tensor[start:stop])

    def to(self, device: torch.device) -> AugmentationDraws:
        """Returns a copy on another device."""
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> AugmentationDraws:
        def changed(tensor: torch.Tensor | None) -> torch.Tensor | None:
            return None if tensor is None else change(tensor)

        return AugmentationDraws(
            changed(self.inverse), changed(self.brightness_contrast), changed(self.elastic_seeds),
            changed(self.elastic_alphas), self.elastic_sigma, changed(self.erased),
        )  # fmt: skip


def draw_augmentation(
    augment: Augmentation, count: int, generator: torch.Generator, height: int, width: int, done: float = 0.0
) -> AugmentationDraws:
    """Draws all random changes of `count` images.

    `rotate`, `affine` and `jitter` draw from `generator` itself; everything else draws from streams that are named by
    the generator's seed and the transform. So a new transform does not change the draws of the others.

    *Arguments*: `generator`: the source of all random numbers. `height`, `width`: the size of the images in pixels.
    `done`: the share of the training's epochs that is finished after this one; `fade` depends on it.

    >>> draws = draw_augmentation(Augmentation(rotate=10), 4, torch.Generator().manual_seed(0), 28, 28)
    >>> tuple(draws.inverse.shape), draws.brightness_contrast
    ((4, 2, 3), None)
    """
    return _Draw(augment, count, generator, height, width, done).all()


class _Draw:
    """Draws the changes of an epoch, transform by transform; the arguments are those of `draw_augmentation`."""

    def __init__(
        self, augment: Augmentation, count: int, generator: torch.Generator, height: int, width: int, done: float
    ) -> None:
        self.active, self.done = augment.active(done), done
        self.count, self.height, self.width = count, height, width
        self.generator = generator

    def all(self) -> AugmentationDraws:
        """All draws, in the order on which the numbers of `generator` depend."""
        inverse, brightness_contrast, elastic = self.inverse(), self.brightness_contrast(), self.active.get("elastic")
        if not isinstance(elastic, Elastic):
            return AugmentationDraws(inverse, brightness_contrast, erased=self.erased())
        seeds = torch.randint(2**31, (self.count,), generator=self.stream("elastic"))
        alphas = (elastic.alpha * torch.as_tensor(self.amounts("elastic", elastic))).expand(self.count).float()
        return AugmentationDraws(inverse, brightness_contrast, seeds, alphas, elastic.sigma, self.erased())

    def inverse(self) -> torch.Tensor | None:
        """The maps from output to input, without the displacements of `elastic`.

        p_out = P · T · R₂ · Shear · Scale · R₁ · Flip · Crop · p_in. The two transforms in the middle are those of
        torchvision. The inverse: p_in = Crop⁻¹ · Flip⁻¹ · R₁⁻¹ · (R₂ · Shear · Scale)⁻¹ · (P⁻¹ · p_out − t).
        """
        if not self.active.keys() & {"crop", "flip", "rotate", "affine", "perspective", "elastic"}:
            return None
        if self.active.keys() & {"rotate", "affine"}:
            linear, shift = self.rotations_and_affine()
            inverse = torch.cat([linear, -linear @ shift[:, :, None]], dim=2)
        else:
            inverse = torch.eye(2, 3, dtype=torch.float64).repeat(self.count, 1, 1)
        if self.active.keys() & {"crop", "flip"}:
            inverse = self.crops_and_flips()[:, :, None] * inverse
        perspective = self.active.get("perspective")
        if isinstance(perspective, Perspective):
            bottom = torch.tensor([0, 0, 1], dtype=torch.float64).expand(self.count, 1, 3)
            inverse = torch.cat([inverse, bottom], dim=1) @ torch.linalg.inv(self.perspectives(perspective))
        return inverse.float()

    def rotations_and_affine(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The linear maps from output to input, (N, 2, 2), and the shifts in the output, (N, 2)."""
        rotate, affine = self.active.get("rotate", Rotate()), self.active.get("affine", Affine())
        assert isinstance(rotate, Rotate)
        assert isinstance(affine, Affine)
        rotated, moved = self.amounts("rotate", rotate), self.amounts("affine", affine)
        first = rotation_matrices(_towards(0, self.uniform(*spread(rotate.degrees)), rotated))
        second = rotation_matrices(_towards(0, self.uniform(*spread(affine.rotate)), moved))
        shear = torch.eye(2, dtype=torch.float64).repeat(self.count, 1, 1)
        angles = _towards(0, self.uniform(*spread(affine.shear)), moved)
        shear[:, 0, 1] = -torch.tan(torch.deg2rad(angles))
        scale = _towards(1, self.uniform(*affine.scale), moved)[:, None, None]
        lengths = affine.translate if isinstance(affine.translate, tuple) else (affine.translate,) * 2
        across, down = (fraction_of(n, side) for n, side in zip(lengths, (self.width, self.height), strict=True))
        shift = torch.stack(
            [_towards(0, self.uniform(-across, across) * self.width, moved),
             _towards(0, self.uniform(-down, down) * self.height, moved)], dim=1
        )  # fmt: skip
        return torch.linalg.inv(second @ shear * scale @ first), shift

    def crops_and_flips(self) -> torch.Tensor:
        """The factors of x and y from output to input, (N, 2)."""
        factors = torch.ones(self.count, 2, dtype=torch.float64)
        crop, flip = self.active.get("crop"), self.active.get("flip")
        if isinstance(crop, Crop):
            sides = torch.tensor([self.width, self.height])
            fractions = torch.tensor([fraction_of(crop.size, int(side)) for side in sides], dtype=torch.float64)
            amounts = torch.as_tensor(self.amounts("crop", crop), dtype=torch.float64).expand(self.count)
            factors = _towards(1, fractions, amounts[:, None])
        if isinstance(flip, Flip):
            draws = torch.rand(self.count, 2, generator=self.stream("flip"), dtype=torch.float64)
            mirrored = draws < flip.p * flip.strength(self.done)
            mirrored &= torch.tensor([flip.direction != "vertical", flip.direction != "horizontal"])
            factors = torch.where(mirrored, -factors, factors)
        return factors

    def perspectives(self, perspective: Perspective) -> torch.Tensor:
        """The perspective maps from input to output, (N, 3, 3)."""
        corners = torch.tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64)
        corners = corners * torch.tensor([self.width / 2, self.height / 2], dtype=torch.float64)
        draws = torch.rand(self.count, 4, 2, generator=self.stream("perspective"), dtype=torch.float64)
        amounts = torch.as_tensor(self.amounts("perspective", perspective), dtype=torch.float64).expand(self.count)
        inward = perspective.distortion * amounts[:, None, None] * draws
        return perspective_matrices(corners * (1 - inward), self.height, self.width)

    def brightness_contrast(self) -> torch.Tensor | None:
        """The factors of brightness and contrast, (N, 2)."""
        jitter = self.active.get("jitter")
        if not isinstance(jitter, Jitter):
            return None
        amounts = self.amounts("jitter", jitter)
        return torch.stack(
            [_towards(1, self.uniform(*spread(jitter.brightness, 1)), amounts),
             _towards(1, self.uniform(*spread(jitter.contrast, 1)), amounts)], dim=1
        ).float()  # fmt: skip

    def erased(self) -> torch.Tensor | None:
        """The erased rectangles, (N, 4): top, bottom, left, right."""
        erase = self.active.get("erase")
        if not isinstance(erase, Erase):
            return None
        draws = torch.rand(4, self.count, generator=self.stream("erase"), dtype=torch.float64)
        low, high = erase.area
        area = (low + (high - low) * draws[0]) * self.amounts("erase", erase) * self.height * self.width
        flattest, steepest = map(math.log, erase.ratio)
        ratio = torch.exp(flattest + (steepest - flattest) * draws[1])
        rows, columns = ((area * ratio).sqrt().round(), (area / ratio).sqrt().round())
        rows, columns = rows.clamp(max=self.height), columns.clamp(max=self.width)
        top = (draws[2] * (self.height - rows + 1)).floor()
        left = (draws[3] * (self.width - columns + 1)).floor()
        return torch.stack([top, top + rows, left, left + columns], dim=1).long()

    def amounts(self, name: str, transform: Transform) -> torch.Tensor | float:
        """The strength of a transform for each image, (N); one number where all have the same."""
        strength = transform.strength(self.done)
        if transform.p == 1:
            return strength
        chosen = torch.rand(self.count, generator=self.stream(f"{name} p"), dtype=torch.float64) < transform.p
        return strength * chosen.double()

    def uniform(self, low: float, high: float) -> torch.Tensor:
        """Uniform numbers, (N)."""
        return low + (high - low) * torch.rand(self.count, generator=self.generator, dtype=torch.float64)

    def stream(self, purpose: str) -> torch.Generator:
        """The random numbers of one transform."""
        return stream(self.generator.initial_seed(), purpose)


def _towards(neutral: float, values: torch.Tensor, amounts: torch.Tensor | float) -> torch.Tensor:
    """Reduces the distance of values from a neutral one."""
    # Without `p` and `fade` the values stay as they are, to the last bit.
    if isinstance(amounts, float) and amounts == 1:
        return values
    return neutral + amounts * (values - neutral)


def augment_images(images: torch.Tensor, draws: AugmentationDraws, interpolation: str = "bilinear") -> torch.Tensor:
    """Warps a batch, changes its brightness and contrast, and erases rectangles.

    *Arguments*: `images`: (N, channels, height, width), uint8; all channels of an image change in the same way.
    `draws`: the draws of these N images, on the same device.

    *Returns* images of the same shape, float32, 0…255.
    """
    pixels = images.float()
    height, width = pixels.shape[2:]
    if draws.inverse is not None:
        shifts = None
        if draws.elastic_seeds is not None and draws.elastic_alphas is not None:
            noise = smooth_noise(draws.elastic_seeds, draws.elastic_sigma, height, width)
            shifts = draws.elastic_alphas[:, None, None, None] * noise
        pixels = warp_images(pixels, draws.inverse, interpolation, shifts)
    if draws.brightness_contrast is not None:
        brightness, contrast = draws.brightness_contrast[:, :, None, None, None].unbind(1)
        mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
        pixels = (brightness * (mean + contrast * (pixels - mean))).clamp(0, 255)
    if draws.erased is not None:
        top, bottom, left, right = draws.erased[:, :, None, None].unbind(1)
        row, column = torch.arange(height, device=pixels.device)[:, None], torch.arange(width, device=pixels.device)
        inside = (row >= top) & (row < bottom) & (column >= left) & (column < right)
        pixels = pixels.masked_fill(inside[:, None], 0)
    return pixels
