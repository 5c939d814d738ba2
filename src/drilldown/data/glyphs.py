"""`glyphs`: digits drawn from fonts and distorted, for tests and for trials without any download.

The digits are printed, so they are easier than MNIST's, and there are ten times fewer. The images have the same shape,
so everything that runs on MNIST runs on glyphs.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import torch
from PIL import Image, ImageDraw, ImageFont

from drilldown.data.augmentation import augment_images, draw_augmentation
from drilldown.data.transforms import Affine, Augmentation, Jitter
from drilldown.randomness import stream

SIDE = 28
"""The side of an image in pixels."""
TRAIN, TEST = 6_000, 1_000
"""The numbers of training and test images."""
FONTS = (
    "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSans-Oblique.ttf", "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf", "DejaVuSerif-Italic.ttf", "DejaVuSansMono.ttf",
)  # fmt: skip
"""Fonts that are part of matplotlib, so they are the same on every machine."""
DISTORTION = Augmentation(
    affine=Affine(rotate=20, translate=0.08, scale=(0.8, 1.15), shear=15),
    jitter=Jitter(brightness=0.3),
)
"""The random changes of each drawn digit."""
NOISE = 12.0
"""The standard deviation of the noise that is added to each pixel (0…255)."""
Images = tuple[torch.Tensor, torch.Tensor]


def draw_glyphs(train: int = TRAIN, test: int = TEST, seed: int = 0) -> tuple[Images, Images]:
    """Draws training and test images with their labels.

    *Arguments*: `train`, `test`: the numbers of images. `seed`: the seed of all random numbers.

    *Returns* two pairs of images, uint8 (N, 28, 28), and labels, int64 (N); the classes have equal shares.

    >>> (images, labels), _ = draw_glyphs(train=20, test=10)
    >>> tuple(images.shape), labels.bincount().tolist()
    ((20, 28, 28), [2, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    """
    templates = torch.stack([_template(digit, font) for digit in range(10) for font in FONTS])
    templates = templates.view(10, len(FONTS), SIDE, SIDE)
    return _split("train", train, templates, seed), _split("test", test, templates, seed)


def _split(part: str, count: int, templates: torch.Tensor, seed: int) -> Images:
    generator = stream(seed, f"glyphs {part}")
    labels = (torch.arange(count) % 10)[torch.randperm(count, generator=generator)]
    fonts = torch.randint(len(FONTS), (count,), generator=generator)
    draws = draw_augmentation(DISTORTION, count, generator, SIDE, SIDE)
    images = augment_images(templates[labels, fonts][:, None], draws)[:, 0]
    images += NOISE * torch.randn(images.shape, generator=generator)
    return images.clamp(0, 255).round().to(torch.uint8), labels


def _template(digit: int, font: str) -> torch.Tensor:
    """Draws one digit in white on black, with its ink in the centre: (28, 28), uint8."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    canvas = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(canvas).text(
        (SIDE / 2, SIDE / 2), str(digit), fill=255, font=ImageFont.truetype(folder / font, 22), anchor="mm"
    )
    return torch.tensor(list(canvas.tobytes()), dtype=torch.uint8).view(SIDE, SIDE)
