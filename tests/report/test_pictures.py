"""Images in pages: small enough to open, and the right pixels."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from drilldown import load
from drilldown.report.pictures import picture_address
from drilldown.report.run.embedded import why_not_embedded
from drilldown.report.run.evidence import gather_run
from drilldown.report.run.html import run_page
from drilldown.runs.perform import perform
from support.datasets import random_images, write_dataset

LARGE = """\
title = "Large images"
[network]
layers = ["conv 3x3 4 stride=4, relu", "gap", "linear 3"]
[recipe]
dataset = "./large"
batch_size = 4
epochs = 1
"""


def opened(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def test_a_small_image_keeps_its_pixels() -> None:
    image = torch.from_numpy(random_images(1, 28, 28).astype(np.uint8))
    assert np.array_equal(255 - np.asarray(opened(picture_address(image))), image[0].numpy())


def test_a_large_image_is_reduced_with_its_proportions() -> None:
    assert opened(picture_address(torch.zeros(1, 1_000, 500, dtype=torch.uint8))).size == (128, 256)
    assert opened(picture_address(torch.zeros(1, 1_000, 500, dtype=torch.uint8), largest=600)).size == (300, 600)


def test_the_page_of_a_run_on_photographs_is_small(tmp_path: Path) -> None:
    images = random_images(24, 800, 600)
    write_dataset(
        tmp_path / "large", train_images=images, train_labels=np.arange(24) % 3,
        test_images=images[::-1], test_labels=np.arange(24) % 3,
    )  # fmt: skip
    (tmp_path / "large.toml").write_text(LARGE)
    experiment = load(tmp_path / "large.toml")
    page = run_page(gather_run(perform(experiment, run_dir=tmp_path / "seed-0")))
    assert len(page) < 2_500_000  # the misclassified images alone have more pixels
    assert "Images of 800x600 are too large for a page" in (why_not_embedded(experiment) or "")
    assert "Images of 800x600 are too large for a page" in page
