"""The analysis of a search, in sentences: each sentence contains the numbers that support it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from drilldown.report.search.answer import answer_sentences, test_sentence
from drilldown.report.search.evidence import SearchEvidence
from drilldown.report.search.winner import WINNER
from drilldown.search.race import RUNGS
from drilldown.wording import count_text, duration_text, has_or_have

FINAL_SEEDS = 10
"""The number of seeds of the command that judges the winner on the test images: as many as a claim needs."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command to copy, with its effect in words."""

    text: str
    effect: str


def search_sentences(evidence: SearchEvidence) -> list[str]:
    """The analysis of a search, as sentences; text between backticks is code."""
    answer = evidence.answer
    return [
        *(answer_sentences(answer, evidence.state) if answer else ()),
        *filter(None, [test_sentence(answer) if answer else None]),
        *_trainings_sentences(evidence),
        *_noise_sentences(evidence),
        *_front_sentences(evidence),
        *_diverged_sentences(evidence),
        *_end_sentences(evidence),
    ]


def extent_text(evidence: SearchEvidence) -> str:
    """The extent of the search so far, in words."""
    tried = f"{len(evidence.state.candidates):,} of {count_text(evidence.state.settings.candidates, 'candidate')}"
    return f"{tried} · {count_text(evidence.trainings, 'training')} · {duration_text(evidence.state.seconds)}"


def further_commands(evidence: SearchEvidence, command: str, *, has_winner: bool) -> list[Command]:
    """The commands that continue from here.

    *Arguments*: `command`: the command of the search. `has_winner`: whether there is a `winner.toml`.
    """
    settings = evidence.state.settings
    commands = [
        Command(
            with_option(command, "candidates", f"{2 * settings.candidates}"),
            "Resume the search with more candidates. Finished trainings are not repeated.",
        )
    ]
    if settings.hours is not None:
        commands[0] = Command(
            with_option(commands[0].text, "hours", f"{2 * settings.hours:g}"),
            "Resume the search with more candidates and more time. Finished trainings are not repeated.",
        )
    if has_winner:
        winner = shlex.quote(str(evidence.folder / WINNER))
        on_all = "" if evidence.on_test else " on all training images, also those that were held out,"
        commands += [
            Command(
                f"drilldown run {winner} --seeds {FINAL_SEEDS}",
                f"Train the winner{on_all} and judge it on the test images.",
            ),
            Command(
                f"drilldown ablate {winner}",
                "Ablation: remove one component of the winner at a time and measure the effect.",
            ),
            Command(f"drilldown new mine.toml --from {winner}", "Copy the winner, to change it by hand."),
        ]
    commands.append(
        Command(
            with_option(command, "export", "study.db"),
            "Write all candidates as an Optuna study, for example for optuna-dashboard.",
        )
    )
    return commands


def with_option(command: str, option: str, value: str) -> str:
    """A command with another value of an option.

    >>> with_option("drilldown search a.toml --candidates 25 --workers 2", "candidates", "50")
    'drilldown search a.toml --candidates 50 --workers 2'
    >>> with_option("drilldown search a.toml", "hours", "2")
    'drilldown search a.toml --hours 2'
    """
    words, name = shlex.split(command), f"--{option}"
    if name in words[:-1]:
        words[words.index(name) + 1] = value
    else:
        words += [name, value]
    return shlex.join(words)


def _trainings_sentences(evidence: SearchEvidence) -> Iterator[str]:
    raced = sum(row.race is not None for row in evidence.rows)
    if raced:
        trainings = evidence.race_trainings
        fresh = evidence.trainings - trainings
        yield (
            f"The race of {count_text(raced, 'candidate')} took {count_text(trainings, 'training')}, "
            f"{trainings / raced:.1f} per candidate; with {RUNGS[-1]} seeds for each candidate it would have been "
            f"{raced * RUNGS[-1]:,}." + (f" Fresh seeds took {fresh:,} more." if fresh else "")
        )


def _noise_sentences(evidence: SearchEvidence) -> Iterator[str]:
    if sum(row.race is not None and row.race.rate.n > 1 for row in evidence.rows) > 1:
        yield (
            "The race expects the loss difference of two candidates on one seed to vary with a standard deviation of "
            f"{100 * evidence.state.race.deviation:.0f} % of the loss: a smaller difference on a single seed shows "
            "nothing."
        )


def _front_sentences(evidence: SearchEvidence) -> Iterator[str]:
    front = evidence.front
    if len(front) > 1:
        numbers = ", ".join(str(row.number) for row in front)
        few = sum(row.race is not None and row.race.rate.n < RUNGS[-1] for row in front)
        yield (
            f"{len(front)} candidates are on the front (no other candidate is both smaller and better): {numbers}."
            + (
                f" {few} of them {has_or_have(few)} fewer than {RUNGS[-1]} seeds and may be there by luck."
                if few
                else ""
            )
        )


def _diverged_sentences(evidence: SearchEvidence) -> Iterator[str]:
    diverged = [row for row in evidence.rows for figures in (row.race, row.fresh) if figures and figures.diverged]
    if diverged:
        numbers = ", ".join(dict.fromkeys(str(row.number) for row in diverged))
        yield f"Trainings of these candidates diverged, or could not be trained, and count as failed: {numbers}."


def _end_sentences(evidence: SearchEvidence) -> Iterator[str]:
    state = evidence.state
    waiting = sum(not candidate.losses for candidate in state.candidates.values())
    if state.ended:
        yield "The search has ended: no smaller limit is worth a try."
    elif state.open_trial is not None:
        yield f"The measurement of candidate {state.open_trial.candidate} on fresh seeds is not finished."
    elif waiting:
        yield f"{count_text(waiting, 'candidate')} {has_or_have(waiting)} no result yet."
    elif state.exhausted:
        yield "The space has no further candidate within the limit."
    elif len(state.candidates) >= state.settings.candidates:
        yield f"The search tried its {count_text(len(state.candidates), 'candidate')}."
