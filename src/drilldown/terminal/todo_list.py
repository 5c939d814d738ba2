"""The experiments that a command is about to train, as a short list."""

from __future__ import annotations

from collections.abc import Sequence

from drilldown.runs.worklist import WorkPlan

MOST_LINES = 12
"""A longer list is folded."""


def todo_lines(plan: WorkPlan) -> list[str]:
    """A line for each experiment with runs that are left: its name, and their seeds; none for a single experiment.

    After `MOST_LINES` lines, the last one has the number of the others.
    """
    if len({task.run.path.parent for task in plan.tasks}) < 2:
        return []
    seeds: dict[str, list[int]] = {}
    for task in plan.todo:
        seeds.setdefault(task.experiment.name.partition("/")[2], []).append(task.seed)
    width = max(map(len, seeds), default=0)
    lines = [f"  {name:<{width}}  {seeds_text(each)}" for name, each in seeds.items()]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"  … and {len(lines) - MOST_LINES + 1} more experiments"]
    return lines


def seeds_text(seeds: Sequence[int]) -> str:
    """Seeds in words.

    >>> seeds_text([3]), seeds_text([0, 1, 2, 3, 4]), seeds_text([0, 2, 5])
    ('seed 3', 'seeds 0 to 4', 'seeds 0, 2, 5')
    """
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seeds {', '.join(map(str, seeds))}"
