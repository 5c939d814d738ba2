"""The recipe's augmentation for one PIL image at a time, as the usual pipelines make it, at its full strength.

There are two: one with torchvision's classes, one with the PIL calls that torchvision makes. Smooth displacements and
erased rectangles are the same in both, because torchvision's classes for them do not take PIL images.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import scipy.ndimage
from PIL import Image, ImageEnhance, ImageOps

from drilldown.data.ranges import fraction_of, spread
from drilldown.data.transforms import Affine, Augmentation, Crop, Elastic, Erase, Perspective

Transform = Callable[[Image.Image], Image.Image]
Size = tuple[int, int]
"""Width and height."""


def make_torchvision_transform(augment: Augmentation, size: Size) -> Transform:
    """Makes the augmentation from torchvision's own classes."""
    from torchvision import transforms
    from torchvision.transforms import InterpolationMode

    mode = InterpolationMode(augment.interpolation)
    chain: dict[str, list[Transform]] = {}
    if augment.crop:
        chain["crop"] = [
            transforms.CenterCrop(_crop_size(augment.crop, size)[::-1]),
            transforms.Resize(size[::-1], mode),
        ]
    if augment.flip:
        flips = {"horizontal": transforms.RandomHorizontalFlip, "vertical": transforms.RandomVerticalFlip}
        chain["flip"] = [flip(1) for name, flip in flips.items() if augment.flip.direction in (name, "both")]
    chain["rotate"] = [transforms.RandomRotation(spread(augment.rotate.degrees), interpolation=mode)]
    if augment.affine:
        affine = augment.affine
        chain["affine"] = [
            transforms.RandomAffine(
                spread(affine.rotate),
                translate=_largest_shifts(affine, size),
                scale=affine.scale,
                shear=spread(affine.shear),
                interpolation=mode,
            )
        ]
    if augment.perspective:
        chain["perspective"] = [transforms.RandomPerspective(augment.perspective.distortion, 1, mode)]
    if augment.jitter:
        jitter = augment.jitter
        chain["jitter"] = [transforms.ColorJitter(brightness=jitter.brightness, contrast=jitter.contrast)]
    return _in_turn(augment, chain)


def make_pil_transform(augment: Augmentation) -> Transform:
    """Makes the same augmentation from the PIL calls that torchvision makes for PIL images."""
    mode = Image.Resampling.BILINEAR if augment.interpolation == "bilinear" else Image.Resampling.NEAREST
    warp = Image.Transform
    chain: dict[str, list[Transform]] = {}
    if augment.crop:
        crop = augment.crop
        chain["crop"] = [lambda image: image.crop(_box(crop, image.size)).resize(image.size, mode)]
    if augment.flip:
        flips: dict[str, Transform] = {"horizontal": ImageOps.mirror, "vertical": ImageOps.flip}
        chain["flip"] = [flip for name, flip in flips.items() if augment.flip.direction in (name, "both")]
    angles = spread(augment.rotate.degrees)
    chain["rotate"] = [lambda image: image.rotate(random.uniform(*angles), mode)]
    if augment.affine:
        affine = augment.affine
        chain["affine"] = [lambda image: image.transform(image.size, warp.AFFINE, _inverse(affine, image.size), mode)]
    if augment.perspective:
        view = augment.perspective
        chain["perspective"] = [
            lambda image: image.transform(image.size, warp.PERSPECTIVE, _corners(view, image.size), mode)
        ]
    if augment.jitter:
        jitter = augment.jitter
        chain["jitter"] = [
            lambda image: ImageEnhance.Brightness(image).enhance(random.uniform(*spread(jitter.brightness, 1))),
            lambda image: ImageEnhance.Contrast(image).enhance(random.uniform(*spread(jitter.contrast, 1))),
        ]
    return _in_turn(augment, chain)


def _in_turn(augment: Augmentation, chain: dict[str, list[Transform]]) -> Transform:
    """Applies the transforms that change anything, each with its probability; in the order of the experiment's keys."""
    active = augment.active()
    if augment.elastic:
        elastic = augment.elastic
        chain["elastic"] = [lambda image: _displace(image, elastic, 1 if augment.interpolation == "bilinear" else 0)]
    if augment.erase:
        erase = augment.erase
        chain["erase"] = [lambda image: _erase(image, erase)]

    def transform(image: Image.Image) -> Image.Image:
        for name, table in active.items():
            chosen = random.random() < table.p
            for number, part in enumerate(chain[name]):
                if name == "flip" and number:  # each direction has its own probability
                    chosen = random.random() < table.p
                image = part(image) if chosen else image
        return image

    return transform


def _crop_size(crop: Crop, size: Size) -> Size:
    width, height = (round(fraction_of(crop.size, side) * side) for side in size)
    return width, height


def _box(crop: Crop, size: Size) -> tuple[int, int, int, int]:
    """The left, upper, right and lower border of a cut of the centre."""
    width, height = _crop_size(crop, size)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return left, top, left + width, top + height


def _largest_shifts(affine: Affine, size: Size) -> tuple[float, float]:
    """The largest shifts as fractions of width and height."""
    lengths = affine.translate if isinstance(affine.translate, tuple) else (affine.translate,) * 2
    return fraction_of(lengths[0], size[0]), fraction_of(lengths[1], size[1])


def _inverse(affine: Affine, size: Size) -> tuple[float, ...]:
    """Returns PIL's six numbers of a random affine map from output to input pixels, about the image's centre."""
    angle = math.radians(random.uniform(*spread(affine.rotate)))
    skew = math.tan(math.radians(random.uniform(*spread(affine.shear))))
    scale = random.uniform(*affine.scale)
    shifts = _largest_shifts(affine, size)
    dx, dy = (random.uniform(-share, share) * side for share, side in zip(shifts, size, strict=True))
    cos, sin, cx, cy = math.cos(angle), math.sin(angle), size[0] / 2, size[1] / 2
    # (rotation · shear · scale)⁻¹, written out.
    a, b = (cos - skew * sin) / scale, (sin + skew * cos) / scale
    d, e = -sin / scale, cos / scale
    x, y = cx + dx, cy + dy
    return a, b, cx - a * x - b * y, d, e, cy - d * x - e * y


def _corners(perspective: Perspective, size: Size) -> tuple[float, ...]:
    """Returns PIL's eight numbers of a random perspective from output to input pixels."""
    corners = ((0, 0), (size[0], 0), size, (0, size[1]))
    reach = [perspective.distortion * side / 2 for side in size]
    rows, values = [], []
    for u, v in corners:
        x = u + random.uniform(0, reach[0]) * (1 if u == 0 else -1)
        y = v + random.uniform(0, reach[1]) * (1 if v == 0 else -1)
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return tuple(np.linalg.solve(np.array(rows), np.array(values)))


def _displace(image: Image.Image, elastic: Elastic, order: int) -> Image.Image:
    pixels = np.asarray(image, dtype=float)
    noise = np.random.default_rng(random.getrandbits(32)).uniform(-1, 1, (2, *pixels.shape))
    down, across = (
        elastic.alpha * scipy.ndimage.gaussian_filter(part, elastic.sigma, mode="constant") for part in noise
    )
    rows, columns = np.indices(pixels.shape)
    moved = scipy.ndimage.map_coordinates(pixels, [rows + down, columns + across], order=order, mode="grid-constant")
    return Image.fromarray(moved.round().astype(np.uint8), mode="L")


def _erase(image: Image.Image, erase: Erase) -> Image.Image:
    width, height = image.size
    area = random.uniform(*erase.area) * width * height
    ratio = math.exp(random.uniform(*map(math.log, erase.ratio)))
    rows, columns = min(round(math.sqrt(area * ratio)), height), min(round(math.sqrt(area / ratio)), width)
    left, top = random.randint(0, width - columns), random.randint(0, height - rows)
    image = image.copy()
    image.paste(0, (left, top, left + columns, top + rows))
    return image
