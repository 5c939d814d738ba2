"""Some steps of an epoch: a range test and a dry run do not train whole ones."""

from __future__ import annotations

from dataclasses import replace

from drilldown.engines.engine import EpochPlan


def take_steps(plan: EpochPlan, first: int, stop: int, batch_size: int) -> EpochPlan:
    """The steps `first` to `stop` − 1 of an epoch, from 0, as a plan that every engine trains like a whole epoch.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs"])  # 6,000 images in batches of 64
    >>> plan = drilldown.Training(experiment).plan(1)
    >>> last = take_steps(plan, 92, 94, 64)
    >>> len(last.order), last.learning_rates == plan.learning_rates[92:]
    (112, True)
    """
    images = slice(first * batch_size, stop * batch_size)
    return replace(
        plan,
        order=plan.order[images],
        draws=plan.draws.slice(images.start, images.stop),
        learning_rates=plan.learning_rates[first:stop],
    )
