"""Prints the result of a learning-rate range test."""

from __future__ import annotations

import math

from rich.console import Console
from rich.text import Text

from drilldown.terminal.console import print_rows
from drilldown.training.lr_range import RULE, SOURCE, STEPS, LrRange
from drilldown.wording import count_text, heading

ROWS_PER_DECADE = 3


def print_lr_range(target: Console, found: LrRange) -> None:
    """Prints the losses of some steps, the suggestion with its rule, and the option that sets it."""
    experiment, recipe = found.experiment, found.experiment.recipe
    where = f"cpu, {count_text(found.threads, 'thread')}" if found.device == "cpu" else found.device
    target.print(Text(heading(experiment.title, experiment.name, f"seed {found.seed}"), style="bold"))
    target.print(
        f"range test: {count_text(len(found.steps), 'step')} of {recipe.batch_size:,} images · "
        f"{found.engine} on {where}\n"
    )
    print_rows(target, [">lr", ">smoothed loss", "remark"], _rows(found))
    target.print()
    if found.diverged:
        last = f" after a learning rate of {found.steps[-1].lr:.2g}" if found.steps else " in the first step"
        target.print(f"the loss diverged{last}, and the test ended ({len(found.steps)} of {STEPS} steps)")
    if found.suggestion is None:
        target.print("no suggestion: the smoothed loss does not fall clearly at any learning rate")
        return
    target.print(f"suggested lr  {found.suggestion:g} (the experiment has {recipe.optimizer.lr:g})")
    target.print(f"rule          {RULE}")
    target.print(f"source        {SOURCE}")
    target.print(f"to use it     --set recipe.optimizer.lr={found.suggestion:g}")


def _rows(found: LrRange) -> list[list[str]]:
    """About three steps of each decade, and the step with the lowest loss."""
    lowest = found.lowest
    chosen, last = [], -math.inf
    for step in found.steps:
        place = math.floor(ROWS_PER_DECADE * math.log10(step.lr) + 1e-9)
        if place > last or step is lowest:
            chosen.append(step)
            last = place
    return [[f"{step.lr:.2g}", f"{step.smoothed:.3f}", "lowest" if step is lowest else ""] for step in chosen]
