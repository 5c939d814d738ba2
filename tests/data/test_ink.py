"""Ink is found in any light, on any paper, with lines, frames and noise; what cannot be read is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from drilldown.data.conventions import Conventions
from drilldown.data.framing import centre_object
from drilldown.data.glyphs import draw_glyphs
from drilldown.data.ink import find_ink
from drilldown.data.preparation import prepare_pixels
from drilldown.errors import DrilldownError
from drilldown.resources import resource_folder
from support.scripts import load_script

PHOTOGRAPHS = load_script(resource_folder("benchmarks") / "photographs.py")
LIKE_MNIST = Conventions()


def digits(count: int) -> list[np.ndarray]:
    """Digits with strokes as bold as MNIST's and in its box, (28, 28)."""
    (images, _), _ = draw_glyphs(train=10 * count, test=10)
    clean = [np.where(image > 80, image, 0).astype(np.float32) for image in images.numpy()]
    return [centre_object(digit).numpy() for digit in sorted(clean, key=np.sum)[-count:]]


@pytest.mark.parametrize("family", PHOTOGRAPHS.FAMILIES)
def test_a_photograph_gives_the_digit_that_was_drawn(family: str) -> None:
    draw = np.random.default_rng(sum(family.encode()))
    for digit in digits(4):
        picture = np.asarray(PHOTOGRAPHS.photograph(family, digit, draw), np.float32)
        prepared = prepare_pixels(picture, 28, 28, LIKE_MNIST).numpy()
        assert np.corrcoef(prepared.ravel(), digit.ravel())[0, 1] > 0.8


def seven(paper: float, ink: float, side: int = 200) -> np.ndarray:
    """A seven on a sheet, (side, side)."""
    rows, columns = np.mgrid[:side, :side] / side
    bar = (abs(rows - 0.28) < 0.03) & (columns > 0.3) & (columns < 0.7)
    leg = (abs(columns - (0.7 - 0.5 * (rows - 0.28))) < 0.035) & (rows > 0.28) & (rows < 0.75)
    return np.where(bar | leg, ink, paper).astype(np.float32)


ROWS, COLUMNS = np.mgrid[:200, :200].astype(np.float32)
LIKE_EVEN: dict[str, Callable[[], np.ndarray]] = {
    "slope": lambda: seven(235, 45) * (1 - 0.4 * COLUMNS / 199),
    "steep slope": lambda: seven(235, 45) * (1 - 0.6 * (COLUMNS + ROWS) / 398),
    "shadow over a corner": lambda: seven(235, 45) * np.where(ROWS + COLUMNS > 260, 0.65, 1),
    "dark paper": lambda: seven(90, 30),
    "mid-grey paper": lambda: seven(128, 40),
    "chalk": lambda: seven(40, 220),
    "faint": lambda: seven(200, 170),
    "thin frame": lambda: np.pad(seven(255, 0), 1),
    "thick frame": lambda: np.pad(seven(255, 0), 8),
    "frame around, inside the sheet": lambda: np.pad(np.pad(seven(255, 0), 3), 6, constant_values=255),
    "one ruled line": lambda: np.where(abs(ROWS - 156) < 1, 120, seven(235, 45)),
    "scanned with dark edge": lambda: np.where(ROWS < 12, 20, seven(235, 45)),
}


@pytest.mark.parametrize("kind", LIKE_EVEN)
def test_light_paper_and_frames_change_nothing(kind: str) -> None:
    even = prepare_pixels(seven(235, 45), 28, 28, LIKE_MNIST).numpy()
    found = prepare_pixels(LIKE_EVEN[kind]().astype(np.float32), 28, 28, LIKE_MNIST).numpy()
    assert np.corrcoef(found.ravel(), even.ravel())[0, 1] > 0.97


def test_a_digit_that_fills_the_picture_keeps_its_straight_strokes() -> None:
    cropped = seven(235, 45)[50:151, 60:141]  # the bar runs from edge to edge
    even = prepare_pixels(seven(235, 45), 28, 28, LIKE_MNIST).numpy()
    found = prepare_pixels(cropped, 28, 28, LIKE_MNIST).numpy()
    assert np.corrcoef(found.ravel(), even.ravel())[0, 1] > 0.95


def noise(scale: float) -> np.ndarray:
    """Clouds of this size in pixels, with a standard deviation of 1."""
    clouds = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((200, 200)), scale)
    return clouds / clouds.std()


UNREADABLE: dict[str, tuple[Callable[[], np.ndarray], str]] = {
    "blank": (lambda: np.full((200, 200), 230), "nothing stands out"),
    "blank with noise": (lambda: 230 + 4 * noise(0), "nothing stands out|uneven"),
    "only light": (lambda: 240 - 0.7 * ROWS, "nothing stands out"),
    "only lines": (lambda: np.where(ROWS % 25 < 2, 120, 230), "nothing stands out"),
    "only a frame": (lambda: np.pad(np.full((194, 194), 230), 3), "nothing stands out"),
    "only a shadow": (lambda: np.where(ROWS + COLUMNS > 220, 120, 230), "uneven|nothing stands out"),
    "a reflection": (lambda: 120 + 110 * np.exp(-((ROWS - 90) ** 2 + (COLUMNS - 90) ** 2) / 1500), "uneven"),
    "clouds": (lambda: 130 + 40 * noise(12), "uneven"),
    "texture": (lambda: 130 + 50 * noise(2), "uneven|nothing stands out"),
    "strong noise": (lambda: 128 + 60 * noise(0), "uneven|nothing stands out"),
    "two sevens": (lambda: np.hstack([seven(235, 45), seven(235, 45)]), "2 objects side by side"),
    "three sevens": (lambda: np.hstack([seven(235, 45)[:, 45:155]] * 3), "3 objects side by side"),
    "one above the other": (lambda: np.vstack([seven(235, 45), seven(235, 45)]), "2 objects"),
    "a line": (lambda: np.where((abs(ROWS - 100) < 4) & (abs(COLUMNS - 100) < 70), 40, 230), "times as wide as high"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_picture_that_cannot_be_read_is_refused_with_the_reason(kind: str) -> None:
    make, reason = UNREADABLE[kind]
    with pytest.raises(DrilldownError, match=reason):
        prepare_pixels(np.clip(make(), 0, 255).astype(np.float32), 28, 28, LIKE_MNIST)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 3), (7, 5), (3, 400)])
def test_tiny_pictures_give_an_image_or_a_message(shape: tuple[int, int]) -> None:
    for value in np.random.default_rng(0).uniform(0, 255, (5, *shape)).astype(np.float32):
        with contextlib.suppress(DrilldownError):
            assert find_ink(value).max() <= 255
