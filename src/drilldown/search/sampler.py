"""The sampler: proposes the values of the next candidate from the results of those before it.

Only Optuna's sampler is used, the tree-structured Parzen estimator (TPE) over all dimensions together. There is no
Optuna study on disk: a study in memory is rebuilt from the known results at every call. A proposal is therefore a
pure function of the search's seed, the candidate's number and those results. A search that was killed proposes the
same candidates again.
"""

from __future__ import annotations

import math
import random
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drilldown.randomness import stream_seed
from drilldown.search.dimensions import Choice, Dimension, FloatRange, IntRange, json_text, space_size

if TYPE_CHECKING:  # Optuna takes a third of a second to import, and most commands do not need it
    from optuna.distributions import BaseDistribution
    from optuna.study import Study

RANDOM_FIRST = 10
"""The number of results that the sampler needs before it learns from them; until then it proposes at random."""
BEST_TOLD, MOST_TOLD = 25, 250
"""The finished candidates that TPE is told: the best, and the most recent of the others, up to `MOST_TOLD` in all.

TPE models the best tenth, at most 25, against all others, and gives older ones less weight. So a limit takes nothing
from the first model and little from the second. After 1,000 candidates, a proposal takes 0.07 s instead of 0.25 s."""
ATTEMPTS = 10
"""The number of proposals that may repeat a known candidate before an unknown one is taken at random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One candidate that the sampler knows about."""

    number: int
    """The candidate's number in the search; each candidate is told once."""
    values: Mapping[str, Any]
    """A value for each dimension."""
    loss: float | None
    """The mean validation loss, lower is better; infinite for a diverged or failed training, None while it runs."""
    generation: int = 0
    """The parameter limit it belongs to, counted from 0: losses are compared only within a generation."""

    def __post_init__(self) -> None:
        if self.loss is not None and math.isnan(self.loss):
            raise ValueError("found a loss that is no number, expected infinity for a diverged training")


def propose(
    dimensions: Mapping[str, Dimension], told: Sequence[Told], *, seed: int, number: int
) -> dict[str, Any] | None:
    """The values of candidate `number`, one for each dimension; None where every combination is known already.

    TPE uses only the order of the losses. It is told ranks within each generation, scaled to 0…1. So the best of each
    generation count as good, although losses rise when the parameter limit is lowered. A diverged candidate ranks last:
    as a failed trial it would be ignored, and the sampler would come back to the place where trainings diverge. A
    running candidate counts as a bad one ("constant liar"), so that workers do not all try the same place. Candidates
    that are not in this space are left out.

    *Arguments*: `told`: the candidates known now, in any order. `seed`: the search's seed. `number`: the candidate's.

    >>> space = {"width": IntRange(4, 16, step=4), "lr": FloatRange(0.05, 0.5, log=True)}
    >>> values = propose(space, [], seed=0, number=3)
    >>> values == propose(space, [], seed=0, number=3), values["width"] in space["width"], 0.05 <= values["lr"] <= 0.5
    (True, True, True)
    """
    dimensions = dict(sorted(dimensions.items()))  # the order of a file's lines changes no proposal
    inside = sorted((one for one in told if is_inside(dimensions, one.values)), key=lambda one: one.number)
    known = {_key(dimensions, one.values) for one in inside}
    if not dimensions:
        return None if known else {}
    sampler_seed = stream_seed(seed, "candidate", number) % 2**32  # NumPy takes no larger one
    with quiet_optuna():
        study, distributions = _rebuild(dimensions, inside, sampler_seed)
        for _ in range(ATTEMPTS):
            asked = study.ask(fixed_distributions=distributions).params  # it counts as running in the next attempt
            values = {name: _from_optuna(dimension, asked[name]) for name, dimension in dimensions.items()}
            if _key(dimensions, values) not in known:
                return values
    return _unknown_values(dimensions, known, sampler_seed)


def _rebuild(
    dimensions: Mapping[str, Dimension], told: Sequence[Told], sampler_seed: int
) -> tuple[Study, dict[str, BaseDistribution]]:
    import optuna
    from optuna.trial import TrialState, create_trial

    distributions = {name: optuna_distribution(dimension) for name, dimension in dimensions.items()}
    sampler = optuna.samplers.TPESampler(
        multivariate=True, constant_liar=True, n_startup_trials=RANDOM_FIRST, seed=sampler_seed
    )
    study = optuna.create_study(sampler=sampler)
    ranks = ranks_of(told)
    chosen = _chosen(ranks)
    study.add_trials(
        create_trial(
            params={name: to_optuna(dimension, one.values[name]) for name, dimension in dimensions.items()},
            distributions=distributions,
            state=TrialState.RUNNING if one.loss is None else TrialState.COMPLETE,
            value=ranks.get(one.number),
        )
        for one in told
        if one.loss is None or one.number in chosen
    )
    return study, distributions


def ranks_of(told: Sequence[Told]) -> dict[int, float]:
    """The rank of each finished candidate within its generation, from 0 (best) to 1; equal losses have equal ranks."""
    ranks = {}
    for generation in {one.generation for one in told}:
        finished = [(one.number, one.loss) for one in told if one.generation == generation and one.loss is not None]
        losses = sorted(loss for _, loss in finished)
        for number, loss in finished:
            ranks[number] = (bisect_left(losses, loss) + bisect_right(losses, loss)) / (2 * len(losses))
    return ranks


def _chosen(ranks: Mapping[int, float]) -> set[int]:
    best = sorted(ranks, key=lambda number: (ranks[number], number))[:BEST_TOLD]
    recent = sorted(ranks.keys() - set(best), reverse=True)[: MOST_TOLD - BEST_TOLD]
    return {*best, *recent}


def _unknown_values(dimensions: Mapping[str, Dimension], known: set[str], sampler_seed: int) -> dict[str, Any] | None:
    size = space_size(dimensions)
    if size is None:
        raise AssertionError("real numbers were proposed twice")
    start = random.Random(sampler_seed).randrange(size)
    for step in range(min(size, len(known) + 1)):  # of one more than all known ones, one is unknown
        index, values = (start + step) % size, {}
        for name, dimension in dimensions.items():
            index, digit = divmod(index, dimension.size or 1)
            values[name] = dimension.at(digit)
        if _key(dimensions, values) not in known:
            return values
    return None


def is_inside(dimensions: Mapping[str, Dimension], values: Mapping[str, Any]) -> bool:
    """Whether the values are those of a candidate of this space."""
    return values.keys() == dimensions.keys() and all(values[name] in dimensions[name] for name in dimensions)


def _key(dimensions: Mapping[str, Dimension], values: Mapping[str, Any]) -> str:
    """The text by which two equal combinations are recognised; a file may hold the real number 1.0 as 1."""
    return json_text(
        [float(values[name]) if isinstance(one, FloatRange) else values[name] for name, one in dimensions.items()]
    )


def optuna_distribution(dimension: Dimension) -> BaseDistribution:
    """The dimension as an Optuna distribution; that of a choice holds the indices of its values."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match dimension:
        case IntRange(low, high, step, log):
            if log and step > 1:  # Optuna has no such range: half a step around each end, so that all values are equal
                return FloatDistribution(max(low - step / 2, low / 2), high + step / 2, log=True)
            return IntDistribution(low, high, step=step, log=log)
        case FloatRange(low, high, log):
            return FloatDistribution(low, high, log=log)
        case Choice(values):
            return CategoricalDistribution(range(len(values)))  # Optuna accepts no tables as categories


def to_optuna(dimension: Dimension, value: Any) -> Any:
    """The value of a dimension as a parameter of `optuna_distribution`."""
    if isinstance(dimension, Choice):
        return dimension.index(value)
    return float(value) if isinstance(dimension, FloatRange) else value


def _from_optuna(dimension: Dimension, value: Any) -> Any:
    match dimension:
        case Choice():
            return dimension.at(value)
        case IntRange(low, _, step, _):
            index = math.floor((value - low) / step + 0.5)
            return dimension.at(min(max(index, 0), dimension.size - 1))
        case FloatRange():
            return float(value)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Hides Optuna's log lines inside the block, and its warnings that an option is experimental."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
