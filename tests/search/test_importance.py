"""The importance of dimensions, on losses whose causes are known."""

from __future__ import annotations

from random import Random

import pytest

from drilldown.search.dimensions import Choice, Dimension, FloatRange, IntRange
from drilldown.search.importance import LEAST_CANDIDATES, measure_importance
from drilldown.search.sampler import Told

SPACE: dict[str, Dimension] = {
    "lr": FloatRange(0.01, 1.0, log=True),
    "width": IntRange(4, 16, step=4),
    "augment": Choice(({}, {"rotate": 10.0}, {"rotate": 5.0})),
    "rest": FloatRange(0.0, 1.0),
}


def told(count: int, cause: str, *, seed: int = 0) -> list[Told]:
    """Random candidates whose loss depends on one dimension, and a little on chance."""
    rng = Random(seed)
    candidates = []
    for number in range(count):
        lr, width = 10 ** rng.uniform(-2, 0), rng.choice((4, 8, 12, 16))
        augment: dict[str, float] = rng.choice(({}, {"rotate": 10.0}, {"rotate": 5.0}))
        values = {"lr": lr, "width": width, "augment": augment, "rest": rng.random()}
        losses = {"lr": lr, "width": width / 16, "augment": float(len(augment))}
        candidates.append(Told(number=number, values=values, loss=1 + losses[cause] + 0.01 * rng.random()))
    return candidates


@pytest.mark.parametrize("cause", ["lr", "width", "augment"])
def test_the_dimension_that_causes_the_loss_is_the_most_important(cause: str) -> None:
    for seed in range(3):
        shares = measure_importance(SPACE, told(60, cause, seed=seed))
        assert shares is not None
        assert next(iter(shares)) == cause
        assert shares.keys() == SPACE.keys()
        assert sum(shares.values()) == pytest.approx(1)
        assert shares[cause] > 0.4


def test_too_few_or_equal_candidates_have_no_importance() -> None:
    assert measure_importance(SPACE, told(LEAST_CANDIDATES - 1, "lr")) is None
    assert measure_importance(SPACE, told(LEAST_CANDIDATES, "lr")) is not None
    equal = [Told(number=one.number, values=one.values, loss=1.0) for one in told(30, "lr")]
    assert measure_importance(SPACE, equal) is None
    running = [Told(number=one.number, values=one.values, loss=None) for one in told(30, "lr")]
    assert measure_importance(SPACE, running) is None


def test_candidates_that_diverged_count_as_the_worst() -> None:
    found = [
        Told(number=one.number, values=one.values, loss=float("inf") if one.values["lr"] > 0.1 else 1.0)
        for one in told(60, "width")
    ]
    shares = measure_importance(SPACE, found)
    assert shares is not None
    assert next(iter(shares)) == "lr"


def test_losses_are_compared_within_a_generation_only() -> None:
    """Later generations have higher losses and, by chance, larger widths: that is no effect of the width."""
    candidates = told(40, "lr") + [
        Told(number=40 + one.number, values={**one.values, "width": 16}, loss=(one.loss or 0) + 100, generation=1)
        for one in told(40, "lr", seed=1)
    ]
    shares = measure_importance(SPACE, candidates)
    assert shares is not None
    assert next(iter(shares)) == "lr"
