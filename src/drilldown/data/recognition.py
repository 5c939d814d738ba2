"""Recognises the conventions of a dataset from its training images."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt
import torch

from drilldown.data.catalogue import QMNIST
from drilldown.data.conventions import Centre, Conventions, Framing, Polarity
from drilldown.data.dataset import Dataset
from drilldown.data.framing import INK, layout_of
from drilldown.data.ink import find_ink
from drilldown.data.parts import count_objects
from drilldown.errors import DrilldownError

SAMPLES = 32
"""The number of training images that the conventions are recognised from."""
CLEAN = 0.9
"""This share of the samples has a background of one side, and of strokes that are found again."""
SAME = 0.7
"""Strokes are found again if their pixels agree by this share: those in both, divided by those in either."""
INK_LEVEL = 96
"""A pixel with more ink belongs to a stroke."""


_KNOWN_FRAMING: dict[str, Framing] = {"fashion-mnist": "whole", "kmnist": "box"}
"""The framing of published datasets, by identity; that of the others is recognised."""
_found: dict[tuple[bytes, torch.Size, Polarity | None, Framing | None], Conventions] = {}
"""The conventions that were recognised already, by the samples: the same files can be turned, or scaled."""


def conventions_of(dataset: Dataset, polarity: Polarity | None = None, framing: Framing | None = None) -> Conventions:
    """Returns the conventions of a dataset; they are recognised once.

    *Arguments*: `polarity`, `framing`: where the user stated them.

    >>> str(conventions_of(drilldown.load("under-8k", ["recipe.dataset=glyphs"]).recipe.load_dataset()))
    'light on dark, in a box of 57 % of the side, centred by their middle'
    """
    stated = polarity is not None or framing is not None
    if dataset.identity in ("mnist", QMNIST) and not stated:  # QMNIST's images were made in the same way
        return Conventions()
    framing = framing or _KNOWN_FRAMING.get(dataset.identity)
    samples = _samples(dataset.train.images)
    key = samples.numpy().tobytes(), samples.shape, polarity, framing
    if key not in _found:
        _found[key] = find_conventions(samples, polarity, framing)
    return _found[key]


def find_conventions(
    images: torch.Tensor, polarity: Polarity | None = None, framing: Framing | None = None
) -> Conventions:
    """Recognises the conventions of a dataset from its training images.

    *Arguments*: `images`: (N, channels, height, width), uint8; colour images are whole pictures. `polarity`, `framing`:
    where they are known.

    >>> images = torch.full((9, 1, 28, 28), 255, dtype=torch.uint8)
    >>> images[:, :, 5:23, 12:15] = 0
    >>> found = find_conventions(images)
    >>> found.polarity, found.framing, found.box
    ('dark-on-light', 'box', 0.643)
    """
    if images.shape[1] > 1:
        return Conventions(polarity=polarity, framing="whole")
    samples = _samples(images)[:, 0].numpy()
    polarity = polarity or _find_polarity(samples)
    if polarity is None or framing == "whole":
        return Conventions(polarity=polarity, framing="whole")
    inks = (samples if polarity == "light-on-dark" else 255 - samples).astype(np.float32)
    strokes = [_find_strokes(ink) for ink in inks]
    if framing is None and np.mean([found is not None for found in strokes]) < CLEAN:
        return Conventions(polarity=polarity, framing="whole")
    clean = [ink if found is None else found for ink, found in zip(inks, strokes, strict=True)]
    layouts = [layout for layout in map(layout_of, clean) if layout]
    if not layouts:
        return Conventions(polarity=polarity, framing="whole")
    offsets = {centre: np.abs([layout.offset(centre) for layout in layouts]).max(1) for centre in get_args(Centre)}
    centre = min(offsets, key=lambda centre: float(offsets[centre].mean()))
    sizes = [layout.size for layout in layouts]
    several = [count_objects(ink) > 1 for ink in clean]
    return Conventions(
        polarity=polarity,
        framing="box",
        box=round(float(np.median(sizes)), 3),
        sizes=(round(min(sizes), 3) if len(layouts) == len(clean) else 0.0, round(max(sizes), 3)),
        centre=centre,
        offset=round(float(offsets[centre].max()), 3),
        widest=round(max(layout.aspect for layout in layouts), 3),
        single=float(np.mean(several)) <= 0.02,
    )


def _samples(images: torch.Tensor) -> torch.Tensor:
    """At most SAMPLES of the images, evenly spread."""
    chosen = np.unique(np.linspace(0, len(images) - 1, SAMPLES).astype(int))
    return images[torch.from_numpy(chosen)]


def _find_polarity(samples: npt.NDArray[np.uint8]) -> Polarity | None:
    """The polarity by the borders; None where too many images differ."""
    borders = np.concatenate([samples[:, 0], samples[:, -1], samples[:, :, 0], samples[:, :, -1]], axis=1)
    middle = np.median(borders, axis=1)
    if np.mean(middle < 64) >= CLEAN:
        return "light-on-dark"
    return "dark-on-light" if np.mean(middle > 191) >= CLEAN else None


def _find_strokes(ink: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    """Returns the strokes of an image that shows strokes on a plain background; None for any other image.

    The search for ink then finds the same strokes, without the dirt.
    """
    if not ink.any():
        return ink
    known = ink > INK_LEVEL
    if np.percentile(ink[~known], 75) > INK * 255:  # paper that is not plain
        return None
    try:
        found = find_ink(255 - ink)
    except DrilldownError:
        return None
    is_same = (known & (found > INK_LEVEL)).sum() >= SAME * (known | (found > INK_LEVEL)).sum()
    return found if is_same else None
