"""The conventions of a dataset are recognised: polarity, framing, box, and whether an image shows one object."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from drilldown.data.conventions import Conventions
from drilldown.data.dataset import Dataset, Split
from drilldown.data.framing import centre_object
from drilldown.data.glyphs import draw_glyphs
from drilldown.data.recognition import conventions_of, find_conventions
from support.datasets import random_images
from support.pictures import draw_parts, draw_strokes


def digits(count: int = 40) -> torch.Tensor:
    """Digits in MNIST's box, without noise."""
    (images, _), _ = draw_glyphs(train=count, test=10)
    return torch.stack(
        [centre_object(np.where(image > 80, image, 0).astype(np.float32))[None] for image in images.numpy()]
    )


def test_digits_like_those_of_mnist_are_recognised() -> None:
    found = find_conventions(digits())
    assert (found.polarity, found.framing, found.centre, found.single) == ("light-on-dark", "box", "mass", True)
    assert found.box == pytest.approx(20 / 28, abs=0.02)
    assert found.offset < 0.05


def test_dark_digits_on_light_paper_are_recognised() -> None:
    light = find_conventions(digits())
    assert find_conventions(255 - digits()) == Conventions(**{**light.to_json(), "polarity": "dark-on-light"})


@pytest.mark.parametrize("shift", [0, 40])
def test_photographs_are_whole_pictures(shift: int) -> None:
    images = torch.from_numpy(draw_parts(40, 0)[0])[:, None]
    assert find_conventions(images.clamp(max=215) + shift).framing == "whole"


def test_noise_has_neither_polarity_nor_box() -> None:
    found = find_conventions(torch.from_numpy(random_images(12)).byte()[:, None])
    assert (found.polarity, found.framing) == (None, "whole")


def test_images_with_several_digits_are_recognised() -> None:
    pairs = torch.cat([digits(20), digits(20)], dim=3)
    assert not find_conventions(pairs).single


def test_blank_images_are_part_of_the_sizes() -> None:
    images = torch.from_numpy(draw_strokes(20, 0)[0])[:, None]
    images[0] = 0
    assert find_conventions(images).sizes[0] == 0


def test_what_is_stated_is_kept() -> None:
    assert find_conventions(digits(), framing="whole").framing == "whole"
    assert find_conventions(255 - digits(), polarity="light-on-dark").polarity == "light-on-dark"
    assert find_conventions(torch.from_numpy(draw_parts(20, 0)[0])[:, None], framing="box").framing == "box"


def test_the_same_files_turned_have_conventions_of_their_own() -> None:
    images = torch.zeros(20, 1, 28, 28, dtype=torch.uint8)
    images[:, :, 4:24, 12:16] = 255

    def widest(images: torch.Tensor) -> float:
        split = Split(images, torch.arange(20) % 2)
        return conventions_of(Dataset("own", split, split, 2, (0.1,), (0.3,), "sha256:same", None, ())).widest

    assert widest(images) == pytest.approx(4 / 20, abs=1e-3)
    assert widest(images.transpose(2, 3)) == pytest.approx(20 / 4, abs=1e-3)
