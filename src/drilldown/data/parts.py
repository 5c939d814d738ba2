"""Counts the objects in a drawing: several digits side by side are not one digit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

STROKE = 0.4
"""A pixel with more than this fraction of full ink belongs to a part."""
APART = 0.15
"""Parts belong to one object if the rectangles around them are nearer than this share of the largest part's side."""
LARGE = 0.45
"""A part whose longer side has less than this share of the largest part's is a dot or a spot, and no object."""
COUNTED_SIDE = 140
"""Parts are counted in a drawing that is reduced to at most this longer side."""


def count_objects(ink: npt.NDArray[np.float32]) -> int:
    """Counts the objects in a drawing: groups of parts that are far from each other and of similar size.

    *Arguments*: `ink`: (rows, columns), 0…255, light on dark.

    >>> drawing = np.zeros((40, 60), np.float32)
    >>> drawing[5:35, 10:14] = drawing[5:35, 40:44] = 255
    >>> count_objects(drawing), count_objects(drawing[:, :30])
    (2, 1)
    """
    step = -(-max(ink.shape) // COUNTED_SIDE)
    height, width = (-(-side // step) for side in ink.shape)
    padded = np.pad(ink, [(0, height * step - ink.shape[0]), (0, width * step - ink.shape[1])])
    strokes = padded.reshape(height, step, width, step).max((1, 3)) > STROKE * 255
    labels, _ = ndimage.label(strokes, np.ones((3, 3)))
    boxes = [(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in ndimage.find_objects(labels)]
    groups = _join(boxes)
    sides = [_longest_side(group) for group in groups]
    return sum(side >= LARGE * max(sides) for side in sides)


Box = tuple[int, int, int, int]
"""A rectangle: top, left, bottom, right; the last two are not part of it."""


def _join(boxes: list[Box]) -> list[Box]:
    """Joins rectangles that are near each other until all that remain are far apart."""
    groups: list[Box] = []
    distance = APART * max(map(_longest_side, boxes), default=0)
    for box in boxes:
        joined = box
        while near := [group for group in groups if _gap(group, joined) < distance]:
            groups = [group for group in groups if group not in near]
            tops, lefts, bottoms, rights = zip(joined, *near, strict=True)
            joined = min(tops), min(lefts), max(bottoms), max(rights)
        groups.append(joined)
    return groups


def _longest_side(box: Box) -> int:
    return max(box[2] - box[0], box[3] - box[1])


def _gap(first: Box, second: Box) -> int:
    """The gap between two rectangles, down or to the side; negative where they overlap."""
    return max(max(first[at], second[at]) - min(first[at + 2], second[at + 2]) for at in (0, 1))
