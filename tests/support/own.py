"""Small datasets of colour or grey pictures, as files of every kind that people have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("circle", "cross", "square")


def shapes(count: int, side: int = 12, seed: int = 0, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Draws circles, crosses and squares at random places: images (N, side, side, channels), and labels (N)."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 60, (count, side, side, channels), dtype=np.uint8)
    labels = np.arange(count) % len(CLASSES)
    rows, columns = np.mgrid[:side, :side]
    for image, label in zip(images, labels, strict=True):
        y, x = generator.integers(side // 3, side - side // 3, 2)
        colour = generator.integers(150, 256, channels)
        distance = np.hypot(rows - y, columns - x)
        mask = (
            (distance < side / 4, (rows == y) | (columns == x), np.maximum(abs(rows - y), abs(columns - x)) <= side / 5)
        )[label]
        image[mask] = colour
    return images, labels


def save(image: np.ndarray, file: Path) -> None:
    """Saves an image (height, width, channels) as a picture file of the kind that its name says."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(file)


def write_pictures(
    folder: Path, train: int = 30, test: int = 12, *, side: int = 12, channels: int = 3, ending: str = "png"
) -> Path:
    """Writes pictures into `train/CLASS/` and `test/CLASS/`, or without test pictures into `CLASS/`."""
    for part, count, seed in (("train", train, 0), ("test", test, 1)):
        images, labels = shapes(count, side, seed, channels)
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            above = folder / part if test else folder
            save(image, above / CLASSES[label] / f"{number}.{ending}")
    return folder


def experiment_text(dataset: str, *, classes: int = 3, more: str = "", epochs: int = 2) -> str:
    """An experiment that trains in a second."""
    return f"""\
title = "Shapes"

[network]
layers = ["conv 3x3 6, bn, relu", "maxpool 2", "conv 3x3 8, relu", "gap", "linear {classes}"]

[recipe]
dataset = "{dataset}"
epochs = {epochs}
batch_size = 8
optimizer = {{ name = "sgd", lr = 0.05, momentum = 0.9 }}
augment = {{ rotate = 10 }}
{more}
"""
