"""The answer of a search: its winner on fresh seeds, beside the figures on the seeds that chose it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from drilldown.evaluation.intervals import PassRate, Spread, measure_spread
from drilldown.search.confirmation import ALPHA, Shrinkage, measure_shrinkage
from drilldown.search.race import RUNGS
from drilldown.search.reading import SearchFile
from drilldown.search.state import Candidate, SearchState, Trial
from drilldown.wording import count_text, difference_text, percent_text

ACCURACY_DIGITS, LOSS_DIGITS = 3, 4
STAMP = "Chosen on the test images"
STAMP_REASON = (
    "The recipe holds out no validation images. So the test images chose the winner, and every accuracy here flatters "
    "itself: it says too little about new images."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The results of one candidate over some seeds; seeds that diverged are in no mean, and did not meet the budget."""

    rate: PassRate
    """The seeds that met the budget, of all seeds with a result."""
    accuracy: Spread | None
    """Percent, mean of the judged epochs; None where every seed diverged."""
    loss: Spread | None
    diverged: int
    """The number of seeds that diverged."""

    @property
    def seeds(self) -> str:
        """The number of seeds in words.

        >>> Figures(rate=PassRate(0, 2), accuracy=None, loss=None, diverged=1).seeds
        '2 seeds, 1 diverged'
        """
        return count_text(self.rate.n, "seed") + (f", {self.diverged} diverged" if self.diverged else "")

    @property
    def accuracy_text(self) -> str:
        """The mean accuracy with half of its interval, in percent; a dash without one."""
        return self.accuracy.text(ACCURACY_DIGITS) if self.accuracy else "–"

    @property
    def loss_text(self) -> str:
        """The mean loss with half of its interval; a dash without one."""
        return self.loss.text(LOSS_DIGITS) if self.loss else "–"


def measure(candidate: Candidate, seeds: Iterable[int]) -> Figures | None:
    """The results of a candidate over those of the seeds that have one; None where none has."""
    done = [seed for seed in seeds if seed in candidate.losses]
    if not done:
        return None
    accuracies = [candidate.accuracy[seed] for seed in done if seed in candidate.accuracy]
    losses = [loss for seed in done if math.isfinite(loss := candidate.losses[seed])]
    return Figures(
        rate=PassRate(sum(candidate.passed[seed] for seed in done), len(done)),
        accuracy=measure_spread(accuracies) if accuracies else None,
        loss=measure_spread(losses) if losses else None,
        diverged=len(done) - len(losses),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The winner of a search, or the best candidate so far.

    - *confirmed*: enough fresh seeds met the budget.
    - *measured*: it was measured on fresh seeds; the budget has no accuracy that could be confirmed.
    - *leading*: the best so far, without such a confirmation. Another candidate may be closer to the bar.
    """

    kind: Literal["confirmed", "measured", "leading"]
    candidate: Candidate
    trial: Trial | None
    """Its confirmation, which may be open or without success."""
    race: Figures
    fresh: Figures | None
    test: Spread | None
    """Test accuracy of the final models of its fresh seeds, in percent, where validation images chose it."""
    bar: float | None
    """The accuracy that the budget asks for, in percent."""
    hold: int
    """The number of last epochs that must reach it."""
    headline: str
    detail: str
    """The rest of the headline: the fresh seeds in short."""

    @property
    def accuracy_shrinkage(self) -> Shrinkage | None:
        """The accuracy on fresh seeds against that of the race, in points; None without both."""
        return _shrinkage(self.candidate.accuracy, self.trial)

    @property
    def loss_shrinkage(self) -> Shrinkage | None:
        """The loss on fresh seeds against that of the race; None without both."""
        return _shrinkage(self.candidate.losses, self.trial)

    @property
    def rows(self) -> list[tuple[str, Figures]]:
        """The figures with their names, the fresh seeds first."""
        fresh = [("on fresh seeds", self.fresh)] if self.fresh else []
        return [*fresh, ("in its race", self.race)]

    @property
    def differences(self) -> tuple[str, str] | None:
        """The difference of accuracy, in points, and of loss: fresh seeds minus race; None without both."""
        if self.accuracy_shrinkage is None or self.loss_shrinkage is None:
            return None
        return _difference(self.accuracy_shrinkage, ACCURACY_DIGITS), _difference(self.loss_shrinkage, LOSS_DIGITS)


def find_answer(search: SearchFile, state: SearchState) -> Answer | None:
    """The answer of a search so far; None where no candidate has a result."""
    winner = state.winner
    race = measure(winner, range(RUNGS[-1])) if winner else None
    if winner is None or race is None:
        return None
    trial = state.trial_of(winner.number)
    fresh = measure(winner, trial.seeds) if trial else None
    decision = trial.decision if trial else None
    kind: Literal["confirmed", "measured", "leading"] = "leading"
    if fresh and decision in ("accepted", "measured"):
        kind = "confirmed" if decision == "accepted" else "measured"
    tested = [100 * correct / total for correct, total in winner.test.values() if total]
    budget = search.base.budget
    return Answer(
        kind=kind, candidate=winner, trial=trial, race=race, fresh=fresh,
        test=measure_spread(tested) if tested and not is_on_test(search) else None,
        bar=budget.accuracy, hold=budget.hold,
        headline=_headline(state, winner, kind), detail=_detail(kind, race, fresh, trial),
    )  # fmt: skip


def is_on_test(search: SearchFile) -> bool:
    """Whether the test images choose the winner, because the recipe holds out no validation images."""
    return search.base.recipe.holdout is None


def search_split(search: SearchFile) -> str:
    """The images that accuracies and losses are measured on: `test` or `validation`."""
    return "test" if is_on_test(search) else "validation"


def answer_sentences(answer: Answer, state: SearchState) -> list[str]:
    """The meaning of the answer, as sentences; the command prints them too."""
    return [*_distance_sentences(answer, state), *_shrinkage_sentences(answer, state), *_confidence_sentences(answer)]


def test_sentence(answer: Answer) -> str | None:
    """The remark about the test images, which no decision used; None where there is nothing to say."""
    if answer.test is None:
        return None
    over = "of its fresh seed" if answer.test.n == 1 else f"of its {answer.test.n} fresh seeds"
    return (
        f"Test accuracy of the final models {over}: {answer.test.text(ACCURACY_DIGITS)} %. No decision of the search "
        "used it."
    )


def _headline(state: SearchState, winner: Candidate, kind: str) -> str:
    named = f"candidate {winner.number}, {count_text(winner.parameters, 'parameter')}"
    if kind == "leading":
        open_ = state.open_trial is not None or not state.trials
        return f"No candidate is confirmed{' yet' if open_ else ''}; the best so far is {named}"
    if state.settings.goal == "smallest":
        return f"The smallest confirmed network{'' if state.ended else ' so far'}: {named}"
    return f"The winner: {named}"


def _detail(kind: str, race: Figures, fresh: Figures | None, trial: Trial | None) -> str:
    if fresh is None or trial is None:
        return f"{race.rate.passed} of {count_text(race.rate.n, 'seed')} of its race met the budget"
    met = f"{fresh.rate.passed} of {count_text(fresh.rate.n, 'fresh seed')} met the budget"
    if kind == "measured":
        return f"measured on {count_text(fresh.rate.n, 'fresh seed')}"
    words = {"rejected": ": not confirmed", "undecided": ": too few to confirm it", None: " so far"}
    return met + words.get(trial.decision, "")


def _shrinkage(figures: dict[int, float], trial: Trial | None) -> Shrinkage | None:
    if trial is None:
        return None
    finite = {seed: figure for seed, figure in figures.items() if math.isfinite(figure)}
    race = [finite[seed] for seed in range(RUNGS[-1]) if seed in finite]
    fresh = [finite[seed] for seed in trial.seeds if seed in finite]
    return measure_shrinkage(race, fresh) if race and fresh else None


def _difference(shrinkage: Shrinkage, digits: int) -> str:
    low, high = difference_text(shrinkage.low, digits), difference_text(shrinkage.high, digits)
    ends = "" if math.isnan(shrinkage.low) else f" [{low}, {high}]"
    return f"{difference_text(shrinkage.difference, digits)}{ends}"


def _distance_sentences(answer: Answer, state: SearchState) -> Iterator[str]:
    """How far a candidate without a confirmation is from the bar."""
    figures = answer.fresh or answer.race
    if answer.kind != "leading" or answer.bar is None or figures.accuracy is None:
        return
    distance = figures.accuracy.mean - answer.bar
    where = "on fresh seeds" if answer.fresh else "in its race"
    side = f"{abs(distance):.{ACCURACY_DIGITS}f} points {'below' if distance < 0 else 'above'}"
    yield (
        f"Its mean accuracy {where} is {figures.accuracy.mean:.{ACCURACY_DIGITS}f} %, "
        f"{side if distance else 'exactly'} the bar of {percent_text(answer.bar)}."
    )
    if distance >= 0 and figures.rate.passed < figures.rate.n:
        epochs = "its last epoch reaches" if answer.hold == 1 else f"each of its last {answer.hold} epochs reaches"
        yield f"A mean at or above the bar is not enough: a seed meets the budget only if {epochs} the bar."
    if state.settings.goal == "smallest" and answer.trial is None:
        yield (
            f"{answer.race.rate.passed} of {count_text(answer.race.rate.n, 'seed')} of its race met the budget; "
            f"{state.passes_needed} of {RUNGS[-1]} must, before it is measured on fresh seeds."
        )


def _shrinkage_sentences(answer: Answer, state: SearchState) -> Iterator[str]:
    """A race of one candidate chose nothing, and does not flatter it."""
    raced = sum(bool(candidate.losses) for candidate in state.candidates.values())
    flattered = "on average over many searches, such figures are too good"
    if answer.differences is not None:
        accuracy, loss = answer.differences
        chosen = f"The race chose this candidate by the figures on its own seeds; {flattered}. " if raced > 1 else ""
        yield (
            f"Fresh seeds minus race: accuracy {accuracy} points, loss {loss}. {chosen}The figures on fresh seeds are "
            "the answer."
        )
    elif answer.kind == "leading" and answer.fresh is None:
        chosen = f"It was chosen by the figures on the seeds of its race; {flattered}. " if raced > 1 else ""
        yield f"{chosen}It was not measured on fresh seeds."


def _confidence_sentences(answer: Answer) -> Iterator[str]:
    if answer.kind == "confirmed" and answer.trial is not None and answer.trial.test is not None:
        test = answer.trial.test
        yield (
            f"Confirmed means: a search confirms any candidate that meets the budget with {100 * test.too_low:.0f} % "
            f"of its seeds or fewer with a probability of at most {100 * ALPHA:.0f} %."
        )
