"""Removes ruled lines, squares and frames from a picture: lines that run from edge to edge."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Pixels = npt.NDArray[np.float32]

MOST_TURNED = 0.06
"""The steepest line that is removed: its rise per pixel, about 3.5 degrees."""
COVERED = 25
"""A line covers a row if this percentile of the row's pixels has ink: three quarters of its length."""
END = 0.08
"""A line also covers this share of a row at both ends; a digit's stroke ends before."""
THICKNESS = 0.045
"""The thickest line, as a share of the picture's side; a stroke of a digit that fills the picture is thicker."""


def remove_lines(rise: Pixels) -> Pixels:
    """Subtracts lines that run across a picture, in both directions.

    *Arguments*: `rise`: how far each pixel differs from its background, (rows, columns).

    >>> sheet = np.zeros((40, 60), np.float32)
    >>> sheet[20], sheet[5:35, 30] = 0.5, 1
    >>> cleaned = remove_lines(sheet)
    >>> float(cleaned[20, :30].max()), float(cleaned[20, 30]), float(cleaned[10, 30])
    (0.0, 0.5, 1.0)
    """
    return _remove_rows(_remove_rows(rise).T).T


def _remove_rows(rise: Pixels) -> Pixels:
    turned = _steepness(rise)
    rows, columns = np.ogrid[: rise.shape[0], : rise.shape[1]]
    shifts = np.round(turned * (columns - rise.shape[1] / 2)).astype(int)
    straight = rise[np.clip(rows + shifts, 0, rise.shape[0] - 1), columns]
    end = max(1, round(END * rise.shape[1]))
    parts = (straight, straight[:, :end], straight[:, -end:])
    profile = np.min([np.percentile(part, COVERED, axis=1) for part in parts], axis=0)
    profile -= ndimage.grey_opening(profile, max(2, round(THICKNESS * rise.shape[0])) + 1)
    if not profile.any():
        return rise
    cleaned: Pixels = np.clip(rise - profile[np.clip(rows - shifts, 0, rise.shape[0] - 1)], 0, None).astype(np.float32)
    return cleaned


def _steepness(rise: Pixels) -> float:
    """The rise per pixel of the picture's lines: with it, the sums of rows differ most."""
    height, width = rise.shape
    columns = np.linspace(0, width - 1, min(width, 48)).astype(int)
    limited = np.minimum(rise[:, columns], np.percentile(rise, 99) / 2 + 1e-6)
    best, reach = 0.0, MOST_TURNED
    while reach * width > 1:
        candidates = best + reach * np.linspace(-1, 1, 13)
        shifts = np.round(candidates[:, None, None] * (columns - width / 2)).astype(int)
        rows = np.clip(np.arange(height)[:, None] + shifts, 0, height - 1)
        sums = limited[rows, np.arange(len(columns))].sum(2)
        contrast = (sums**2).sum(1) - (sums.sum(1) ** 2) / height
        best = float(candidates[contrast.argmax()])
        reach /= 6
    return best
