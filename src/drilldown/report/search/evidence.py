"""Everything that the report of a search shows, from its file and its journal; no run folder is needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from drilldown.experiment.problems import toml_literal
from drilldown.report.search.answer import Answer, Figures, find_answer, is_on_test, measure, search_split
from drilldown.runs.folder import REPORT_FILES
from drilldown.search.dimensions import json_text
from drilldown.search.importance import measure_importance
from drilldown.search.journal import Event
from drilldown.search.race import RUNGS, Standing
from drilldown.search.reading import SearchFile
from drilldown.search.sampler import Told, ranks_of
from drilldown.search.state import Candidate, SearchState, Trial
from drilldown.search.tables import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One candidate, as the report shows it."""

    candidate: Candidate
    changes: tuple[tuple[str, str], ...]
    """Name and value of each dimension that differs from the original, in words."""
    race: Figures | None
    """Its results in the race; None where it has none."""
    fresh: Figures | None
    """Its results on fresh seeds; None where it was not confirmed."""
    standing: Standing
    on_front: bool
    """Whether no other candidate is both smaller and better."""
    link: str | None
    """The address of the report of one of its runs, relative to the folder of the search."""

    @property
    def number(self) -> int:
        """The candidate's number."""
        return self.candidate.number


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedLimit:
    """One parameter limit of a search for the smallest network."""

    limit: int
    reason: str
    """The reason for this limit."""
    tried: int
    """The number of candidates that were proposed for it and have a result."""
    outcome: str


@dataclass(frozen=True)
class SearchEvidence:
    """A search, as its report shows it."""

    search: SearchFile
    state: SearchState
    events: Sequence[Event]
    """The journal, whose order is that of the race."""
    folder: Path
    """The folder of the search; those of its candidates lie beside it."""

    @cached_property
    def answer(self) -> Answer | None:
        """The winner, or the best candidate so far."""
        return find_answer(self.search, self.state)

    @property
    def on_test(self) -> bool:
        """Whether the test images choose the winner."""
        return is_on_test(self.search)

    @property
    def split(self) -> str:
        """The images that accuracies and losses were measured on: `test` or `validation`."""
        return search_split(self.search)

    @property
    def images(self) -> int | None:
        """The number of validation images; None where the test images are used, whose number no file says."""
        holdout = self.search.base.recipe.holdout
        return None if holdout is None else holdout.images

    @cached_property
    def original(self) -> dict[str, Value]:
        """The values that candidates are compared with: the first candidate's, or else the middle of the space."""
        return self.search.space.original or self.search.space.centre

    @property
    def has_original(self) -> bool:
        """Whether the search began with an experiment of its own."""
        return self.search.space.original is not None

    @cached_property
    def rows(self) -> list[Row]:
        """All candidates, in the order of their numbers."""
        front = {candidate.number for candidate in self.state.front()}
        return [self._row(candidate, candidate.number in front) for candidate in self.state.candidates.values()]

    @property
    def front(self) -> list[Row]:
        """The candidates of which none is both smaller and better, the smallest first."""
        rows = {row.number: row for row in self.rows}
        return [rows[candidate.number] for candidate in self.state.front()]

    @property
    def limits(self) -> list[TriedLimit]:
        """The limits of a search for the smallest network; empty with the other goal."""
        if self.state.settings.goal == "best":
            return []
        reasons = [reason for _, reason in self.state.limits[1:]]
        last = "no smaller limit is worth a try: the search has ended" if self.state.ended else "still open"
        return [
            TriedLimit(limit=limit, reason=reason, tried=self.state.tried(generation), outcome=outcome)
            for generation, ((limit, reason), outcome) in enumerate(
                zip(self.state.limits, [*reasons, last], strict=True)
            )
        ]

    @property
    def trials(self) -> list[tuple[Trial, Figures | None]]:
        """The confirmations in their order, each with its results."""
        return [(trial, measure(self.state.candidates[trial.candidate], trial.seeds)) for trial in self.state.trials]

    @property
    def trainings(self) -> int:
        """The number of trainings that have ended."""
        return sum(len(candidate.losses) for candidate in self.state.candidates.values())

    @property
    def race_trainings(self) -> int:
        """The number of trainings of the race, without those on fresh seeds."""
        return sum(row.race.rate.n for row in self.rows if row.race)

    @property
    def failures(self) -> list[tuple[int, int, str]]:
        """Candidate, seed and reason of each training that no worker could finish; it counts as diverged."""
        return [(row.number, seed, reason) for row in self.rows for seed, reason in row.candidate.failed.items()]

    @cached_property
    def told(self) -> list[Told]:
        """The candidates with results, as the sampler knows them."""
        return [one for one in self.state.told() if one.loss is not None]

    @cached_property
    def ranks(self) -> dict[int, float]:
        """The rank of each candidate's loss among those for the same limit: 0 is the best, 1 the worst."""
        return ranks_of(self.told)

    @cached_property
    def importance(self) -> dict[str, float] | None:
        """The share of each dimension in the difference between good candidates and all; None with too few."""
        ranges = {name: dimension.range for name, dimension in self.search.space.dimensions.items()}
        return measure_importance(ranges, self.told)

    def _row(self, candidate: Candidate, on_front: bool) -> Row:
        trial = self.state.trial_of(candidate.number)
        return Row(
            candidate=candidate,
            changes=tuple(
                (name, value_text(candidate.values[name]))
                for name in self.search.space.dimensions
                if name in self.search.space.used(candidate.values)
                and json_text(candidate.values[name]) != json_text(self.original[name])
            ),
            race=measure(candidate, range(RUNGS[-1])),
            fresh=measure(candidate, trial.seeds) if trial else None,
            standing=self.state.race.standing(candidate.number),
            on_front=on_front,
            link=self._link(candidate),
        )

    def _link(self, candidate: Candidate) -> str | None:
        """The address of the first report among the candidate's runs; None where there is none."""
        step = self.search.name.partition("/")[2]
        folder = f"{step}-candidate-{candidate.number}-{candidate.fingerprint}"
        for seed in sorted(candidate.losses):
            parts = (folder, f"seed-{seed}", REPORT_FILES[0])
            if os.path.isfile(self.folder.parent.joinpath(*parts)):
                return quote("/".join(("..", *parts)))
        return None


def value_text(value: object) -> str:
    """The value of a dimension in words; a text stands in layers, so it has no quotation marks.

    >>> value_text(0.123456), value_text({"rotate": 10.0}), value_text("")
    ('0.1235', '{ rotate = 10.0 }', 'nothing')
    """
    if isinstance(value, str):
        return value or "nothing"
    return f"{value:.4g}" if isinstance(value, float) else toml_literal(value)
