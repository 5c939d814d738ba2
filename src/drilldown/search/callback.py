"""What a search tells while it runs."""

from __future__ import annotations

from drilldown.runs.pool import PoolCallback, Task
from drilldown.search.reading import SearchFile
from drilldown.search.state import Candidate, SearchState, Trial


class SearchCallback(PoolCallback):
    """Is called while a search runs, beside the events of its runs."""

    def on_search(self, search: SearchFile, state: SearchState) -> None:
        """Called before anything is trained, with the state of the commands before this one."""

    def on_candidate(self, candidate: Candidate) -> None:
        """Called when a candidate was proposed."""

    def on_result(self, candidate: Candidate, seed: int) -> None:
        """Called when a training of a candidate has ended."""

    def on_trial(self, trial: Trial) -> None:
        """Called when a confirmation begins, and when it has a decision."""

    def on_limit(self, limit: int, reason: str) -> None:
        """Called when the parameter limit changes."""

    def on_wait(self, task: Task) -> None:
        """Called when another process trains what this search needs next."""
