"""Finds the ink in a picture of a digit or a character, whatever the light, the paper and the colour of the ink.

The background is estimated around each pixel, so light that falls across the sheet and shadows do not count as ink.
Ruled lines, frames and spots are removed.

*Source*: the closing that estimates the background is that of J. Serra, "Image Analysis and Mathematical Morphology",
1982.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from drilldown.data.lines import remove_lines
from drilldown.errors import DrilldownError, Problem

Pixels = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SEARCH_SIDE = 320
"""Ink is searched in a picture that is reduced to about this longer side, and then in the part that holds the ink."""
REACH = 0.33
"""The widest stroke that the first search finds, as a share of the picture's shorter side."""
MARGIN = 0.35
"""The paper around the ink in the second search, as a share of the ink's longer side."""
POLARITY_SIDE = 32
"""The polarity is judged in a picture of about this longer side."""
EDGE = 0.04
"""The share of the picture at each edge that does not count for the polarity: it can be a frame."""
SPECK = 0.04
"""A connected part with less than this share of the largest part's ink is dirt."""
FAINT = 0.03
"""Ink differs from its background by at least this share of the background."""
FULL = 0.9
"""A rise of this share of the ink's level is full ink."""
STRONGEST = 12
"""The strongest rise is that of the pixel of this rank, so that single pixels do not count."""
MOST_PARTS = 12
"""A picture with more connected parts of some size has texture, and no digit."""
CLUTTER = 0.45
"""Paper differs from its surroundings by less than this share of the ink's difference; ruled paper by up to 0.3."""
SOFT = 1.0
"""Strokes have fewer half-dark pixels than this share of their dark ones; a soft shadow has more."""
SPARSE = 0.06
"""Several parts fill at least this share of the rectangle around them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trace:
    """The result of one search."""

    rise: Pixels
    """How far each pixel differs from its background, as a share of the background's brightness."""
    mask: Mask
    """The pixels of the ink."""
    parts: int
    """The number of connected parts of some size."""
    low: float
    """The largest rise of paper."""
    level: float
    """The rise of ink."""
    stroke: float
    """The width of strokes in pixels."""


def find_ink(pixels: Pixels) -> Pixels:
    """Finds the ink in a picture.

    *Arguments*: `pixels`: (rows, columns), 0 black to 255 white.

    *Returns* the amount of ink at each pixel, 0 to 255, in the picture's proportions; a large picture is reduced.

    *Raises* DrilldownError where nothing stands out from the background, or where everything does.

    >>> paper = np.linspace(240, 120, 90, dtype=np.float32) * np.ones((120, 1), np.float32)
    >>> paper[20:100, 40:50] *= 0.3
    >>> ink = find_ink(paper)
    >>> rows, columns = np.nonzero(ink > 128)
    >>> int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())
    (20, 99, 40, 49)
    """
    step = -(-max(pixels.shape) // SEARCH_SIDE)
    coarse = _reduce(pixels, step)
    dark = _is_ink_dark(coarse)
    found = _trace(coarse, dark)
    if step == 1:
        _check_is_drawn(found)
        return _amounts(found)
    # The second search sees the part with the ink, in finer pixels.
    rows, columns = (np.flatnonzero(found.mask.any(axis)) * step for axis in (1, 0))
    margin = max(4 * step, round(MARGIN * max(np.ptp(rows), np.ptp(columns))))
    fine = -(-int(max(np.ptp(rows), np.ptp(columns)) + 2 * margin) // SEARCH_SIDE)
    top, left = (max(0, int(along[0]) - margin) // fine * fine for along in (rows, columns))
    bottom, right = int(rows[-1]) + step + margin, int(columns[-1]) + step + margin
    part = _reduce(pixels[top:bottom, left:right], fine)
    again = _trace(part, dark, near=_enlarge(found.mask, step, fine, (top, left), part.shape))
    _check_is_drawn(again)
    ink = np.zeros(tuple(-(-side // fine) for side in pixels.shape), np.float32)
    top, left = top // fine, left // fine
    ink[top : top + part.shape[0], left : left + part.shape[1]] = _amounts(again)
    return ink


def _reduce(pixels: Pixels, step: int) -> Pixels:
    """Averages squares of step×step pixels; the last rows and columns are repeated where they do not fill a square."""
    if step == 1:
        return pixels
    height, width = (-(-side // step) for side in pixels.shape)
    padded = np.pad(pixels, [(0, height * step - pixels.shape[0]), (0, width * step - pixels.shape[1])], mode="edge")
    reduced: Pixels = padded.reshape(height, step, width, step).mean((1, 3), dtype=np.float32)
    return reduced


def _enlarge(mask: Mask, step: int, fine: int, start: tuple[int, int], shape: tuple[int, ...]) -> Mask:
    """A mask of the first search, widened by two of its pixels, in the pixels of the second one."""
    wide = ndimage.binary_dilation(mask, np.ones((3, 3)), iterations=2)
    rows, columns = (
        np.minimum((first + fine * np.arange(count)) // step, side - 1)
        for first, count, side in zip(start, shape, mask.shape, strict=True)
    )
    enlarged: Mask = wide[np.ix_(rows, columns)]
    return enlarged


def _is_ink_dark(pixels: Pixels) -> bool:
    """Whether ink is darker than paper: whether the largest deviations from the local median are dark.

    The median is the paper, because ink covers less than half of the surroundings of each pixel.
    """
    margins = [round(EDGE * side) for side in pixels.shape]
    inner = pixels[margins[0] : pixels.shape[0] - margins[0], margins[1] : pixels.shape[1] - margins[1]]
    small = _reduce(inner, -(-max(inner.shape) // POLARITY_SIDE))
    window = [max(3, round(0.6 * side)) | 1 for side in small.shape]
    deviations = np.sort((small - ndimage.median_filter(small, window, mode="mirror")).ravel())
    count = max(1, len(deviations) // 200)
    return bool(-deviations[:count].mean() >= deviations[-count:].mean())


def _trace(pixels: Pixels, dark: bool, near: Mask | None = None) -> _Trace:
    """Searches ink twice: the strokes of the first search say how narrow the second one may look.

    *Arguments*: `near`: where ink can be; everywhere if it is None.
    """
    smooth = _without_noise(pixels)
    grey = smooth if dark else 255 - smooth
    reach = max(3, round(min(grey.shape) * REACH)) | 1
    found = _separate(_rise(grey, reach, dark), near)
    narrow = max(3, round(3 * found.stroke)) | 1
    return _separate(_rise(grey, narrow, dark), near) if narrow < reach else found


def _without_noise(pixels: Pixels) -> Pixels:
    """Blurs a picture as much as its noise needs; a clean picture stays as it is.

    *Source*: J. Immerkær, "Fast Noise Variance Estimation", 1996; the median makes it ignore edges.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    noise = float(np.median(np.abs(ndimage.convolve(pixels, kernel)))) / 0.6745 / 6
    if noise < 0.5:
        return pixels
    blurred: Pixels = ndimage.gaussian_filter(pixels, min(min(pixels.shape) / 100, 0.4 + noise / 8))
    return blurred


def _rise(grey: Pixels, reach: int, dark: bool) -> Pixels:
    """How far each pixel differs from its background, as a share of the background's brightness."""
    # Beyond its edges the picture continues as it ends: light that falls across the sheet falls there, too.
    pad = reach // 2 + 1
    wide = np.pad(grey, pad, mode="reflect", reflect_type="odd")
    background = ndimage.grey_closing(wide, size=(reach, reach))[pad:-pad, pad:-pad]
    light = background if dark else 255 - background
    rise: Pixels = (background - grey) / (light + 8)
    return rise


def _separate(rise: Pixels, near: Mask | None) -> _Trace:
    """Separates ink from background; raises DrilldownError where that is impossible."""
    rise = remove_lines(rise)
    if near is not None:
        rise = np.where(near, rise, 0)
    rise = _without_border(rise)
    floor = 4 * float(np.median(rise)) / 0.6745
    threshold = max(floor, _threshold(rise))
    labels, count = ndimage.label(rise > 0.6 * threshold, np.ones((3, 3)))
    amounts = ndimage.sum_labels(np.where(rise > threshold, rise, 0), labels, np.arange(1, count + 1))
    if not count or not amounts.max():
        raise _empty()
    framed = _frame_around(labels, amounts)
    if framed is not None:
        around = ndimage.binary_dilation(labels == framed, np.ones((3, 3)), iterations=2)
        return _separate(np.where(around, 0, rise), near)
    mask = np.concatenate([[False], amounts > SPECK * amounts.max()])[labels]
    level = float(np.median(rise[mask & (rise > threshold)]))
    if level < FAINT:
        raise _empty()
    depth = ndimage.distance_transform_cdt(mask)
    return _Trace(
        rise=rise,
        mask=mask,
        parts=int((amounts > 0.15 * amounts.max()).sum()),
        low=max(floor, 0.25 * level),
        level=level,
        stroke=2 * float(np.percentile(depth[mask], 95)),
    )


def _check_is_drawn(found: _Trace) -> None:
    """Raises DrilldownError where the ink looks like light, shadow or texture."""
    if found.parts > MOST_PARTS:
        raise _uneven("too many parts look like ink")
    around = ndimage.binary_dilation(found.mask, np.ones((3, 3)), iterations=max(2, round(found.stroke / 2)))
    shares = found.rise / found.level
    if not around.all() and np.percentile(shares[~around], 98) > CLUTTER:
        raise _uneven("the paper is nearly as uneven as the ink")
    strokes = shares[around]
    if ((strokes > 0.3) & (strokes < 0.7)).sum() > SOFT * (strokes >= 0.7).sum():
        raise _uneven("no strokes with clear edges")
    height, width = (np.ptp(np.flatnonzero(found.mask.any(axis))) + 1 for axis in (1, 0))
    if found.parts > 2 and found.mask.sum() < SPARSE * height * width:
        raise _uneven("only separate spots look like ink")


def _frame_around(labels: npt.NDArray[np.int32], amounts: npt.NDArray[np.float64]) -> int | None:
    """Returns the label of a rectangle that is drawn around another part; None where there is none."""
    boxes = ndimage.find_objects(labels)
    sides = np.array([max(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in boxes])
    largest = int(sides.argmax())
    part = labels[boxes[largest]] == largest + 1
    margins = [max(2, round(0.1 * side)) for side in part.shape]
    inside = part[margins[0] : -margins[0], margins[1] : -margins[1]]
    if not inside.size or inside.sum() > 0.02 * part.sum() or not (part[0].mean() > 0.5 and part[:, 0].mean() > 0.5):
        return None
    within = np.unique(labels[boxes[largest]])
    others = [label for label in within if label not in (0, largest + 1) and sides[label - 1] > 0.2 * sides[largest]]
    return largest + 1 if any(amounts[label - 1] > 0 for label in others) else None


def _strongest(rise: Pixels) -> float:
    rank = min(STRONGEST, rise.size)
    return float(np.partition(rise.ravel(), -rank)[-rank])


def _threshold(rise: Pixels) -> float:
    """The rise that separates ink from paper: half of the strong rises."""
    peak = _strongest(rise)
    values = rise[rise > 0.1 * peak]
    if peak < FAINT:
        raise _empty()
    return 0.5 * float(np.percentile(values, 90))


def _without_border(rise: Pixels) -> Pixels:
    """Removes the parts that touch the picture's edge, such as shadows and frames, where there are others.

    *Raises* DrilldownError where several parts touch the edge, and nothing else is there.
    """
    peak = _strongest(rise)
    labels, count = ndimage.label(rise > 0.3 * peak, np.ones((3, 3)))
    if peak < FAINT or count < 2:
        return rise
    amounts = ndimage.sum_labels(rise, labels, np.arange(count + 1))
    outside = np.zeros(count + 1, bool)
    outside[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    outside[0] = False
    inner, outer = amounts[~outside][1:].max(initial=0), amounts[outside].max(initial=0)
    if inner < 0.1 * outer:
        if (amounts[outside] > 0.3 * outer).sum() > 1:
            raise _uneven("all that looks like ink touches the picture's edge")
        return rise
    return np.where(ndimage.binary_dilation(outside[labels], np.ones((3, 3)), iterations=2), 0, rise)


def _amounts(found: _Trace) -> Pixels:
    """The amount of ink at each pixel, 0 to 255.

    Faint pixels count only beside full ink: far from it, they are the rest of a ruled line.
    """
    ink = np.clip((found.rise - found.low) / max(FULL * found.level - found.low, 1e-6), 0, 1)
    reach = max(1, round(found.stroke / 4))
    near = ndimage.binary_dilation(found.mask, iterations=reach)
    beside = ndimage.binary_dilation(found.mask & (ink > 0.6), np.ones((3, 3)), iterations=reach + 1)
    return np.where(near & (beside | (ink > 0.3)), 255 * ink, 0).astype(np.float32)


def _empty() -> DrilldownError:
    return DrilldownError(Problem(found="nothing stands out from the background", expected="a digit"))


def _uneven(reason: str) -> DrilldownError:
    return DrilldownError(
        Problem(
            found=f"the background is too uneven: {reason}",
            expected="one digit on plain paper",
            suggestion="take the picture from nearer, in even light",
        )
    )
