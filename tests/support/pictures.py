"""Datasets of strokes and of photographs, made by code, and their images as picture files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from support.datasets import write_dataset

STROKES = """\
title = "Strokes"
[network]
layers = ["conv 3x3 8, bn, relu", "maxpool 2", "conv 3x3 8, bn, relu", "maxpool 2", "flatten", "linear 3"]
[recipe]
dataset = "./data"
epochs = 3
batch_size = 25
optimizer = { name = "sgd", lr = 0.05, momentum = 0.9 }
"""
"""An experiment on a dataset with three classes in the folder `data`."""


def draw_strokes(count: int, seed: int, height: int = 28, width: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """Strokes that lie flat, stand, or form an L; returns images, light on dark, and classes."""
    draw = np.random.default_rng(seed)
    images, labels = np.zeros((count, height, width), np.uint8), np.arange(count) % 3
    for image, label in zip(images, labels, strict=True):
        top, left = draw.integers(2, height - 19), draw.integers(2, width - 19)
        if label != 0:
            image[top : top + 17, left : left + 3] = 255
        if label != 1:
            image[top + 14 : top + 17, left : left + 17] = 255
    return images, labels


def draw_parts(count: int, seed: int, height: int = 32, width: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Photographs of discs, rings and plates of any size on a grey bench; returns images and classes."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    images, labels = [], np.arange(count) % 3
    for label in labels:
        radius = draw.uniform(0.2, 0.45) * height
        away = np.hypot(rows - draw.uniform(0.4, 0.6) * height, columns - draw.uniform(0.4, 0.6) * width)
        shape = [away < radius, (away < radius) & (away > radius / 2), abs(rows - height / 2) < radius / 2][label]
        images.append(
            np.where(shape, draw.uniform(150, 230), 60) + draw.uniform(2, 8) * draw.standard_normal(away.shape)
        )
    return np.clip(images, 0, 255).astype(np.uint8), labels


def write_strokes(folder: Path, *, dark: bool = False, transposed: bool = False, parts: bool = False) -> Path:
    """Writes a dataset into the folder `data`, and an experiment beside it; returns the experiment's file.

    *Arguments*: `dark`: the strokes are dark on light. `transposed`: the images lie in the files as EMNIST's do.
    `parts`: photographs of parts in place of strokes.
    """
    draw = draw_parts if parts else draw_strokes
    arrays: dict[str, Any] = {}
    for part, (images, labels) in {"train": draw(150, 1), "test": draw(30, 2)}.items():
        kept = images.transpose(0, 2, 1) if transposed else images
        arrays |= {f"{part}_images": 255 - kept if dark else kept, f"{part}_labels": labels}
    write_dataset(folder / "data", **arrays)
    file = folder / "strokes.toml"
    file.write_text(STROKES + 'orientation = "transposed"\n' * transposed)
    return file


def write_pictures(images: torch.Tensor, folder: Path, enlarged: int = 1) -> list[Path]:
    """Writes grey images as PNG files, each pixel as a square; returns the files in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, image in enumerate(images.view(-1, *images.shape[-2:]).numpy()):
        files.append(folder / f"{number:03}.png")
        Image.fromarray(image.repeat(enlarged, 0).repeat(enlarged, 1)).save(files[-1])
    return files
