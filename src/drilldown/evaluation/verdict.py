"""The verdict: the budget, line by line, compared with a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from drilldown.evaluation.chips import ChipFigures
from drilldown.evaluation.records import EpochRecord
from drilldown.experiment.budget import Budget
from drilldown.shown import Shown
from drilldown.wording import count_text


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictLine:
    """One line of a budget, compared with the run."""

    name: str
    limit: str
    """The limit that the budget sets, in words."""
    found: str
    """The run's value, in words."""
    met: bool
    by: str
    """The distance to the limit, in words."""

    @property
    def text(self) -> str:
        """All of it in short, for one line of a terminal of 80 columns.

        >>> for line in judge(Budget(parameters=8_000, epochs=15), 7_662, []).lines:
        ...     print(line.text)
        7,662 (limit 8,000), 338 to spare
        0 (limit 15), 15 to spare
        """
        limit, _, epochs = self.limit.removeprefix("at most ").partition(" in ")
        found = self.found.removeprefix("at least ").partition(" (")[0]
        if not limit[:1].isdigit():
            return f"{self.found}; {self.by}"
        if not epochs:
            return f"{found} (limit {limit}), {self.by}"
        if "%" not in found:
            return f"{found}, {self.by} (limit {limit})"
        judged = epochs.replace("each of the", "worst of").removeprefix("the ").removesuffix(" epochs")
        return f"{judged}: {found} (limit {limit}), {self.by.partition(', ')[0]}"


@dataclass(frozen=True, slots=True)
class Verdict(Shown):
    """A budget, compared with a finished run."""

    lines: tuple[VerdictLine, ...]
    split: str
    """The images that accuracy was measured on: `test` or `validation`."""

    @property
    def passed(self) -> bool:
        """Whether every line is met."""
        return all(line.met for line in self.lines)

    @property
    def is_dead(self) -> bool:
        """Whether the network gives all images the same logits."""
        return any(line.name == _DEAD.name for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        """The document in `summary.json`: each line by its name."""
        lines = {
            line.name: {"limit": line.limit, "found": line.found, "met": line.met, "by": line.by} for line in self.lines
        }
        return {**lines, "passed": self.passed, "split": self.split}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Verdict:
        """Reads the document that `to_json` wrote."""
        lines = [VerdictLine(name=name, **value) for name, value in document.items() if isinstance(value, dict)]
        return cls(tuple(lines), document["split"])


def judge(
    budget: Budget,
    parameters: int,
    epochs: Sequence[EpochRecord],
    *,
    dead: bool = False,
    chip: ChipFigures | None = None,
) -> Verdict:
    """Judges a run whose epochs are all finished.

    Accuracy is compared as counts, exactly: 9,940 of 10,000 meets 99.4 %, 9,939 does not.

    *Arguments*: `dead`: whether the network gives all images the same logits; such a network meets no budget.
    `chip`: the figures on the budget's chip. A limit whose figure is missing is not met.
    """
    lines = []
    if budget.parameters is not None:
        lines.append(_limit_line("parameters", budget.parameters, parameters))
    if budget.epochs is not None:
        lines.append(_limit_line("epochs", budget.epochs, len(epochs)))
    if budget.accuracy is not None:
        lines.append(_accuracy_line(Decimal(str(budget.accuracy)), budget.hold, epochs))
    lines += chip_lines(budget, chip)
    if dead:
        lines.append(_DEAD)
    return Verdict(tuple(lines), "validation" if epochs and epochs[0].held_out else "test")


def chip_lines(budget: Budget, chip: ChipFigures | None) -> list[VerdictLine]:
    """The lines about the limits on a chip.

    >>> figures = ChipFigures(chip="cortex-m4", flash=9_516, ram=2_120, stack=216)
    >>> for line in chip_lines(Budget(flash="16k", ram="2k", chip="cortex-m4"), figures):
    ...     print(line.name, line.text)
    flash 9,516 B (limit 16,384 B on cortex-m4), 6,868 B to spare
    ram 2,336 B (limit 2,048 B on cortex-m4), 288 B too much
    """
    lines = []
    for name, limit in (("flash", budget.flash), ("ram", budget.ram)):
        if limit is None:
            continue
        found = None if chip is None else chip.flash if name == "flash" else chip.ram_with_stack
        words, by, met = "not measured", "its figure is missing" if chip is None else chip.missing, False
        if chip is not None and found is not None:
            words = f"{found:,} B" if name == "flash" else f"{found:,} B ({chip.stack:,} B of them for the stack)"
            by = f"{limit - found:,} B to spare" if found <= limit else f"{found - limit:,} B too much"
            met = found <= limit
        lines.append(VerdictLine(name=name, limit=f"at most {limit:,} B on {budget.chip}", found=words, met=met, by=by))
    return lines


def meets_bar(epoch: EpochRecord, bar: float | None) -> bool:
    """Whether one epoch's accuracy reaches a bar in percent; without a bar, every epoch does."""
    return bar is None or epoch.test.accuracy >= Fraction(Decimal(str(bar)))


_DEAD = VerdictLine(
    name="network",
    limit="predictions that depend on the image",
    found="dead, the same logits for all test images",
    met=False,
    by="a smaller learning rate or a warm-up may help",
)


def _limit_line(name: str, limit: int, found: int) -> VerdictLine:
    met = found <= limit
    return VerdictLine(
        name=name,
        limit=f"at most {limit:,}",
        found=f"{found:,}",
        met=met,
        by=f"{limit - found:,} to spare" if met else f"{found - limit:,} too many",
    )


def _accuracy_line(bar: Decimal, hold: int, epochs: Sequence[EpochRecord]) -> VerdictLine:
    limit = f"{bar} % in each of the last {hold} epochs" if hold > 1 else f"{bar} % in the last epoch"
    last = epochs[-hold:]
    if len(last) < hold:
        found = f"{len(last)} of {count_text(hold, 'epoch')}"
        return VerdictLine(name="accuracy", limit=limit, found=found, met=False, by="too few to judge")
    worst = min((epoch.test for epoch in last), key=lambda tally: tally.accuracy)
    needed = math.ceil(Fraction(bar) * worst.total / 100)
    spare = worst.correct - needed
    below = sum(epoch.test.accuracy < Fraction(bar) for epoch in last)
    images = f"{count_text(abs(spare), 'image')} {'to spare' if spare >= 0 else 'short'}"
    by = images if spare >= 0 else f"{images}, {below} of {count_text(hold, 'epoch')} below"
    rounded_down = math.floor(100 * worst.accuracy) / 100  # a count below the bar must not read as if it met it
    found = f"at least {rounded_down:.2f} % ({worst.correct:,} of {worst.total:,})"
    return VerdictLine(name="accuracy", limit=limit, found=found, met=below == 0, by=by)


def is_judged(budget: Budget) -> bool:
    """Whether a budget sets any limit; every run meets one that sets none.

    >>> is_judged(Budget()), is_judged(Budget(epochs=15))
    (False, True)
    """
    return any(limit is not None for limit in (budget.parameters, budget.epochs, budget.accuracy, budget.chip))
