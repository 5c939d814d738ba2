"""Draws digits as photographs: a sheet with its paper, ink, light, noise, lines and frame.

Every strength is drawn at random for each picture, so that a reader of pictures cannot be adjusted to one value.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Pixels = npt.NDArray[np.float32]
"""A picture, (rows, columns), 0 black to 255 white; or the amount of ink at each pixel, 0…1."""
Draw = np.random.Generator
Change = Callable[[Pixels, Draw], Pixels]
"""A change of a finished sheet."""


def lay_digit(digit: npt.NDArray[np.uint8], draw: Draw, *, small: bool = False) -> Pixels:
    """Draws a digit somewhere on a sheet, as ink from 0 to 1.

    *Arguments*: `digit`: (28, 28), light on dark. `small`: on a large sheet, of which it takes a small part.
    """
    height, width = (int(side) for side in (draw.integers(500, 1100, 2) if small else draw.integers(180, 480, 2)))
    share = draw.uniform(0.08, 0.25) if small else draw.uniform(0.5, 0.95)  # of the sheet; the digit has 20/28 of it
    side = int(share * min(height, width))
    enlarged = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    ink = np.asarray(enlarged, np.float32) / 255
    ink = ndimage.gaussian_filter(ink, side / 100)  # no staircase
    ink = np.clip((ink - 0.5) * draw.uniform(1.5, 4) + 0.5, 0, 1)
    sheet = np.zeros((height, width), np.float32)
    top, left = int(draw.integers(0, height - side + 1)), int(draw.integers(0, width - side + 1))
    sheet[top : top + side, left : left + side] = ink
    return sheet


def write_on_light(ink: Pixels, draw: Draw) -> Pixels:
    """Dark ink on light paper."""
    return np.float32(draw.uniform(195, 250)) * (1 - ink) + np.float32(draw.uniform(10, 80)) * ink


def write_on_mid_grey(ink: Pixels, draw: Draw) -> Pixels:
    """Dark ink on paper of mid-grey."""
    paper = draw.uniform(85, 160)
    return paper * (1 - ink) + paper * draw.uniform(0.15, 0.45) * ink


def write_with_pencil(ink: Pixels, draw: Draw) -> Pixels:
    """Grey strokes of uneven strength."""
    paper = draw.uniform(205, 245)
    pressure = ndimage.gaussian_filter(draw.standard_normal(ink.shape), 6)
    pressure = 1 + draw.uniform(0.1, 0.3) * pressure / pressure.std()
    grain = 1 + draw.uniform(0.1, 0.4) * draw.standard_normal(ink.shape)
    changed: Pixels = paper - draw.uniform(45, 110) * ink * np.clip(pressure * grain, 0.2, 1.6).astype(np.float32)
    return changed


def write_with_chalk(ink: Pixels, draw: Draw) -> Pixels:
    """Light, grainy strokes on a dark, cloudy board."""
    clouds = ndimage.gaussian_filter(draw.standard_normal(ink.shape), 20)
    board = draw.uniform(25, 75) + draw.uniform(2, 7) * clouds / clouds.std()
    grain = ndimage.gaussian_filter(draw.standard_normal(ink.shape), 0.8)
    covered = ink * (grain / grain.std() > draw.uniform(-1.6, -0.7))
    changed: Pixels = (board + (draw.uniform(150, 235) - board) * covered).astype(np.float32)
    return changed


def slope(share: float) -> Change:
    """Light that falls by a share across the sheet, in any direction."""

    def change(sheet: Pixels, draw: Draw) -> Pixels:
        rows, columns = np.mgrid[: sheet.shape[0], : sheet.shape[1]].astype(np.float32)
        angle = draw.uniform(0, 2 * np.pi)
        along = np.cos(angle) * columns + np.sin(angle) * rows
        changed: Pixels = sheet * (1 - share * (along - along.min()) / np.ptp(along))
        return changed

    return change


def slope_between(least: float, most: float) -> Change:
    """Light that falls by a random share."""
    return lambda sheet, draw: slope(draw.uniform(least, most))(sheet, draw)


def cast_shadow(sheet: Pixels, draw: Draw) -> Pixels:
    """A shadow over one corner, with an edge that is sharp or soft."""
    height, width = sheet.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    if draw.random() < 0.5:
        rows = height - 1 - rows
    if draw.random() < 0.5:
        columns = width - 1 - columns
    inside = 1 - rows / (draw.uniform(0.4, 1.1) * height) - columns / (draw.uniform(0.4, 1.1) * width)
    edge = draw.uniform(0.5, 20) / min(height, width)
    changed: Pixels = sheet * (1 - draw.uniform(0.2, 0.5) * np.clip(inside / edge + 0.5, 0, 1))
    return changed


def draw_frame(pixels: int) -> Change:
    """A frame at the picture's edge, as dark as ink or lighter."""

    def change(sheet: Pixels, draw: Draw) -> Pixels:
        return np.pad(sheet, pixels, constant_values=draw.uniform(0, 120))

    return change


def add_noise(sheet: Pixels, draw: Draw) -> Pixels:
    """A camera's noise, and the losses of JPEG."""
    noisy = sheet + draw.uniform(6, 32) * draw.standard_normal(sheet.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=int(draw.integers(40, 95)))
    return np.asarray(Image.open(file), np.float32)


def rule(sheet: Pixels, draw: Draw) -> Pixels:
    """Ruled or squared paper, slightly turned; its lines are paler than ink."""
    height, width = sheet.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    angle = np.deg2rad(draw.uniform(-1.5, 1.5))
    distance, thickness = draw.uniform(0.07, 0.2) * min(height, width), draw.uniform(1, 3)
    strength = draw.uniform(0.15, 0.55)
    paper = float(np.median(sheet))
    across = [np.cos(angle) * rows + np.sin(angle) * columns]
    if draw.random() < 0.4:
        across.append(np.cos(angle) * columns - np.sin(angle) * rows)
    line = np.zeros_like(sheet)
    for position in across:
        away = np.abs((position + draw.uniform(0, distance)) % distance - distance / 2)
        line = np.maximum(line, np.clip((thickness + 1) / 2 - away, 0, 1))
    changed: Pixels = np.minimum(sheet, paper - strength * (paper - 30) * line)
    return changed


Write = Callable[[Pixels, Draw], Pixels]
FAMILIES: dict[str, tuple[Write, bool, tuple[Change, ...]]] = {
    "evenly lit": (write_on_light, False, ()),
    "light falls by 20 %": (write_on_light, False, (slope(0.2),)),
    "light falls by 40 %": (write_on_light, False, (slope(0.4),)),
    "light falls by 60 %": (write_on_light, False, (slope(0.6),)),
    "shadow over a corner": (write_on_light, False, (cast_shadow,)),
    "frame of 1 pixel": (write_on_light, False, (draw_frame(1),)),
    "frame of 3 pixels": (write_on_light, False, (draw_frame(3),)),
    "paper of mid-grey": (write_on_mid_grey, False, ()),
    "camera noise": (write_on_light, False, (add_noise,)),
    "pencil": (write_with_pencil, False, ()),
    "chalk": (write_with_chalk, False, ()),
    "small digit on a large sheet": (write_on_light, True, ()),
    "ruled paper": (write_on_light, False, (rule,)),
    "slope and noise": (write_on_light, False, (slope_between(0.2, 0.5), add_noise)),
    "shadow and noise": (write_on_light, False, (cast_shadow, add_noise)),
    "pencil, slope": (write_with_pencil, False, (slope_between(0.2, 0.5),)),
    "pencil, shadow": (write_with_pencil, False, (cast_shadow,)),
    "chalk, slope": (write_with_chalk, False, (slope_between(0.2, 0.5),)),
    "mid-grey, frame, slope": (write_on_mid_grey, False, (slope_between(0.1, 0.4), draw_frame(2))),
    "ruled, slope": (write_on_light, False, (rule, slope_between(0.2, 0.5))),
    "small, noise": (write_on_light, True, (add_noise,)),
}
"""The families of pictures: how the digit is written, whether it is small, and the changes of the sheet."""


def photograph(family: str, digit: npt.NDArray[np.uint8], draw: Draw) -> Image.Image:
    """Draws a digit as a photograph of a family.

    *Arguments*: `digit`: (28, 28), light on dark.
    """
    write, small, changes = FAMILIES[family]
    sheet = write(lay_digit(digit, draw, small=small), draw)
    for change in changes:
        sheet = change(sheet, draw)
    return Image.fromarray(np.clip(sheet, 0, 255).round().astype(np.uint8))
