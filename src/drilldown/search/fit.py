"""The parameter limit by construction: the widest network of a shape that keeps the limit."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drilldown.errors import DrilldownError
from drilldown.network.blocks import map_texts
from drilldown.network.layers import NotationError
from drilldown.network.layout import lay_out
from drilldown.search.names import replace_names
from drilldown.search.space import Space, Values
from drilldown.search.tables import Dimension, IntDimension, Value

Widths = tuple[int, ...]
"""A number for each width of a candidate, from the image to the logits."""
NEAREST = 64
"""The number of other widths that are tried where some make no network, for instance since `groups` does not divide
them."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A candidate that keeps a limit of parameters."""

    values: dict[str, Value]
    """The values of all dimensions; only widths differ from the given ones."""
    parameters: int
    """The number of trainable parameters, counted exactly."""


def fit(space: Space, values: Values, limit: int) -> Fitted | None:
    """Makes a candidate as wide as a limit of parameters allows.

    The given widths are a *shape*: only their ratios count. All widths are multiplied by one factor, rounded to their
    steps, and kept in their ranges. The largest factor is taken whose network has at most `limit` parameters. Then
    single widths are raised by one step while the network keeps the limit: first the width that is smallest in
    comparison with its shape, and of equal ones the last in the network. In the result no width can be raised.

    The search for the factor expects that wider networks have more parameters. If a width is the `groups` of a layer
    whose input does not follow it, this can be wrong; the result keeps the limit, but a larger factor may exist.

    *Returns* None where the network has more parameters even with its lowest widths, or where there is no network.

    >>> from drilldown.search.reading import read_search
    >>> space = read_search("under-8k").space
    >>> fitted = fit(space, space.original, 4_000)
    >>> 3_950 < fitted.parameters <= 4_000
    True
    """
    names = space.widths_of(values)
    network = _Network(space, values, names)
    ranges = [_Range.of(space.dimensions[name], limit) for name in names]
    shape = tuple(max(1, _whole(values[name])) for name in names)
    widths = _widest(network, ranges, shape, limit)
    if widths is None:
        return None
    widths = _raise_single_widths(network, ranges, shape, widths, limit)
    count = network.count(widths)
    assert count is not None
    return Fitted({**values, **dict(zip(names, widths, strict=True))}, count)


@dataclass(frozen=True, slots=True)
class _Range:
    """The numbers of one width that can keep the limit: low, low + step, …, high; none where high is below low."""

    low: int
    high: int
    step: int

    @classmethod
    def of(cls, dimension: Dimension, limit: int) -> _Range:
        assert isinstance(dimension, IntDimension)
        low, step = dimension.low, dimension.step
        low += max(0, -(-(1 - low) // step)) * step  # a layer has at least one output
        # A layer has at least one parameter for each output. Without this bound, the list of factors could be long.
        return cls(low, min(dimension.high, low + (limit - low) // step * step), step)

    def factors(self, own: int) -> Iterator[float]:
        """Yields the factors of `own` at which the rounded width is raised by one step."""
        return ((low + self.step / 2) / own for low in range(self.low, self.high, self.step))

    def rounded(self, factor: float, own: int) -> int:
        """Returns the width at a factor."""
        steps = range(self.low, self.high, self.step)
        return self.low + self.step * bisect_right(steps, factor, key=lambda low: (low + self.step / 2) / own)


class _Network:
    """The network of a candidate, as a function of its widths."""

    def __init__(self, space: Space, values: Values, names: Sequence[str]) -> None:
        self.names = names
        self.blocks = space.layers({name: value for name, value in values.items() if name not in names})
        self.image = space.image(values)
        self.counts: dict[Widths, int | None] = {}
        if space.template is None:
            self.counts[()] = space.base.model_summary.parameters  # a module does not depend on the recipe

    def count(self, widths: Widths) -> int | None:
        """Counts the parameters; None where there is no network with these widths."""
        if widths not in self.counts:
            texts = dict(zip(self.names, map(str, widths), strict=True))
            try:
                placed = lay_out(map_texts(self.blocks, lambda text: replace_names(text, texts)), *self.image)
                self.counts[widths] = sum(item.parameters for item in placed)
            except (DrilldownError, NotationError):
                self.counts[widths] = None
        return self.counts[widths]

    def fits(self, widths: Widths, limit: int) -> bool:
        """Whether there is a network with these widths, and it keeps the limit."""
        count = self.count(widths)
        return count is not None and count <= limit


def _widest(network: _Network, ranges: Sequence[_Range], shape: Widths, limit: int) -> Widths | None:
    """Returns the widths at the largest factor that keeps the limit, by bisection; None where there is none."""
    if any(each.high < each.low for each in ranges):
        return None
    changes = (each.factors(own) for each, own in zip(ranges, shape, strict=True))
    factors = sorted({0.0, *itertools.chain.from_iterable(changes)})

    def at(index: int) -> Widths:
        return tuple(each.rounded(factors[index], own) for each, own in zip(ranges, shape, strict=True))

    fitting, too_wide = -1, len(factors)
    while too_wide - fitting > 1:
        middle = (fitting + too_wide) // 2
        nearest = itertools.chain(range(middle, fitting, -1), range(middle + 1, too_wide))
        index = next((i for i in itertools.islice(nearest, NEAREST) if network.count(at(i)) is not None), None)
        if index is None:
            break
        if network.fits(at(index), limit):
            fitting = index
        else:
            too_wide = index
    return at(fitting) if fitting >= 0 else None


def _raise_single_widths(
    network: _Network, ranges: Sequence[_Range], shape: Widths, widths: Widths, limit: int
) -> Widths:
    """Raises single widths by one step until none can be raised."""
    changed = True
    while changed:
        changed, untried = False, set(range(len(widths)))
        while untried:
            index = min(untried, key=lambda i: (widths[i] / shape[i], -i))
            wider = (*widths[:index], widths[index] + ranges[index].step, *widths[index + 1 :])
            if wider[index] <= ranges[index].high and network.fits(wider, limit):
                widths, changed = wider, True
            else:
                untried.remove(index)  # the others only grow, so it hardly fits later: the next round makes sure
    return widths


def _whole(value: Value) -> int:
    assert isinstance(value, int)
    return value
