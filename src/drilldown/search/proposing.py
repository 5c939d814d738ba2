"""Proposes candidates: the original, the best so far made smaller, its neighbours, and the sampler's proposals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from drilldown.errors import DrilldownError
from drilldown.evaluation.chips import ChipFigures
from drilldown.evaluation.verdict import chip_lines
from drilldown.experiment.budget import Budget
from drilldown.experiment.experiment import Experiment
from drilldown.randomness import stream_seed
from drilldown.runs.chips import figures_untrained
from drilldown.search.fit import fit
from drilldown.search.reading import SearchFile
from drilldown.search.sampler import Told, propose
from drilldown.search.state import Candidate, SearchState
from drilldown.search.tables import Value

ORIGINAL = "the original"
NEIGHBOURS_EVERY = 3
"""Every third candidate is a neighbour of the best so far: TPE treats widths and depths as if they were independent."""
NEIGHBOURS = 3
"""The number of neighbours that are tried, before the sampler is asked."""
ATTEMPTS = 64
"""The proposals of the sampler that are known already, or above the limit, before the space counts as exhausted. All
differ, so a space with fewer combinations is always tried as a whole."""
CHIP_ATTEMPTS = 6
"""The number of widths that are compiled to find some whose code keeps the limits on a chip."""
CHIP_CANDIDATES = 8
"""The number of proposals without such widths before the space counts as exhausted."""


def propose_candidate(search: SearchFile, state: SearchState) -> tuple[Candidate, Experiment] | None:
    """Proposes the next candidate; None where the space has no further one within the limit.

    It depends only on the search and on the events that the state was made of.
    """
    number = len(state.candidates)
    known = {candidate.fingerprint for candidate in state.candidates.values()}
    too_large = 0
    for values, origin in _proposals(search, state, number):
        try:
            used, experiment = _within_limits(search, state.limit, values, number, as_it_is=origin == ORIGINAL)
        except _TooLargeForChipError:
            too_large += 1
            if too_large == CHIP_CANDIDATES:
                return None
            continue
        except DrilldownError:  # values that make no network
            continue
        parameters = experiment.model_summary.parameters
        if parameters > state.limit or experiment.fingerprint in known:
            continue
        candidate = Candidate(
            number=number, values=dict(used), origin=origin, generation=state.generation, limit=state.limit,
            parameters=parameters, fingerprint=experiment.fingerprint,
        )  # fmt: skip
        return candidate, experiment
    return None


class _TooLargeForChipError(DrilldownError):
    """No widths were found whose code keeps the limits on a chip."""


def _within_limits(
    search: SearchFile, limit: int, values: Mapping[str, Value], number: int, *, as_it_is: bool
) -> tuple[Mapping[str, Value], Experiment]:
    """The experiment of some values, made as wide as all limits allow; `as_it_is`: with the given widths.

    *Raises* DrilldownError where the values make no network, or its code exceeds a limit on a chip.
    """
    for _ in range(CHIP_ATTEMPTS):
        fitted = None if as_it_is else fit(search.space, values, limit)
        used = values if fitted is None else fitted.values
        experiment = search.space.experiment(used, number)
        parameters, figures = experiment.model_summary.parameters, None
        if parameters <= limit:
            figures = figures_untrained(experiment)
        if figures is None or all(line.met for line in chip_lines(experiment.budget, figures)):
            return used, experiment
        limit = _smaller_limit(experiment.budget, figures, parameters)
        if as_it_is or limit < 1:
            break
    raise _TooLargeForChipError("its code exceeds a limit on the chip")


def _smaller_limit(budget: Budget, figures: ChipFigures, parameters: int) -> int:
    """A number of parameters whose code probably keeps the limits; 0 where it is not known.

    A parameter needs about one byte of flash, and the RAM grows with the widths, so about with the root of the
    parameters.
    """
    if figures.flash is None or figures.ram_with_stack is None:
        return 0
    smaller = parameters - 1
    if budget.flash is not None:
        smaller = min(smaller, parameters - (figures.flash - budget.flash))
    if budget.ram is not None:
        smaller = min(smaller, int(parameters * (budget.ram / figures.ram_with_stack) ** 2))
    return smaller


def _proposals(search: SearchFile, state: SearchState, number: int) -> Iterator[tuple[Mapping[str, Value], str]]:
    """Values in the order in which they are tried, each with its origin in words."""
    space, seed = search.space, search.settings.seed
    if number == 0 and space.original is not None:
        yield space.original, ORIGINAL
        yield space.original, "the original, fitted to the limit"
    best = state.winner
    if best is not None and best.parameters > state.limit:
        yield best.values, f"candidate {best.number}, fitted to the smaller limit"
    incumbent = state.incumbent
    if incumbent is not None and number % NEIGHBOURS_EVERY == NEIGHBOURS_EVERY - 1:
        random = Random(stream_seed(seed, "neighbour", number))
        for _ in range(NEIGHBOURS):
            near = space.neighbours(state.candidates[incumbent].values, random)
            yield near, f"a neighbour of candidate {incumbent}"
    ranges = {name: dimension.range for name, dimension in space.dimensions.items()}
    told = state.told()
    for attempt in range(ATTEMPTS):
        # Where the limit makes a known candidate of a proposal, or nothing, another seed gives another one.
        sampler_seed = stream_seed(seed, "sampler", attempt) if attempt else seed
        values: dict[str, Any] | None = propose(ranges, told, seed=sampler_seed, number=number)
        if values is None:
            return
        yield values, "the sampler"
        told.append(Told(number=number + attempt, values=values, loss=None, generation=state.generation))
