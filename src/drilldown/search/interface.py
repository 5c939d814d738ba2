"""A search as a Python function, and its result as an object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drilldown.errors import check_argument
from drilldown.experiment.experiment import Experiment
from drilldown.search.callback import SearchCallback
from drilldown.search.reading import SearchFile, read_search
from drilldown.search.running import check_validation, run_search, search_folder
from drilldown.search.state import Candidate, SearchState
from drilldown.settings import Compute, Folders
from drilldown.shown import Shown
from drilldown.workers.opening import open_pool


@dataclass(frozen=True, slots=True)
class SearchResult(Shown):
    """What a search has found so far."""

    search: SearchFile
    state: SearchState
    folder: Path
    """The folder with its journal and its report."""

    @property
    def winner(self) -> Experiment | None:
        """The network that was confirmed, or else the best of the race; None before the first result."""
        winner = self.state.winner
        return None if winner is None else self.search.space.experiment(winner.values, winner.number)

    @property
    def confirmed(self) -> bool:
        """Whether the winner met the budget on fresh seeds often enough, see `drilldown.search.confirmation`."""
        return self.state.confirmed is not None

    @property
    def front(self) -> list[Candidate]:
        """The candidates of which none is both smaller and better; the smallest first."""
        return self.state.front()

    def __repr__(self) -> str:
        return f"<SearchResult of {self.search.name}: {len(self.state.candidates)} candidates>"


def find_network(
    reference: str | Path,
    overrides: Sequence[str] = (),
    *,
    candidates: int | None = None,
    hours: float | None = None,
    workers: int = 1,
    crew: Path | str | None = None,
    compute: Compute = Compute(),  # noqa: B008 - frozen
    folders: Folders = Folders(),  # noqa: B008 - frozen
    deterministic: bool = False,
    on_test: bool = False,
    callback: SearchCallback | None = None,
) -> SearchResult:
    """Searches for the best or the smallest network, as `drilldown search` does; the same call resumes.

    With several workers, a script must call it below `if __name__ == "__main__":`, since workers import the script.

    *Arguments*: `reference`, `overrides`: a search file or any experiment, and settings as in `--set`. `candidates`,
    `hours`: the extent of the search. `workers`: their number on this machine; 0: as many as fit. `crew`: the file of a
    crew, to train on other machines. `deterministic`: propose the same candidates for any number of workers. `on_test`:
    choose on the test images where the recipe has no validation images.

    *Raises* DrilldownError with all errors of the file, or where the search is refused.

    >>> tiny = ["recipe.dataset=glyphs", "recipe.epochs=1", "recipe.holdout=1000", "budget.accuracy=10"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = find_network("under-8k", tiny, candidates=1, folders=drilldown.Folders(runs=folder))
    >>> found, found.winner.model_summary.parameters <= 8_000
    (<SearchResult of under-8k/01-flagship: 1 candidates>, True)
    """
    check_argument("reference", reference, (str, Path), "the path or name of a search or an experiment")
    limits = {"candidates": candidates, "hours": hours}
    extent = [f"search.{name}={value}" for name, value in limits.items() if value is not None]
    search = read_search(reference, [*overrides, *extent])
    check_validation(search, on_test=on_test)
    callback = callback or SearchCallback()
    file = None if crew is None else Path(crew)
    with open_pool(compute, folders, callback, workers=workers, crew=file) as pool:
        state = run_search(search, pool, callback, folders=folders, deterministic=deterministic, on_test=on_test)
    return SearchResult(search, state, search_folder(search, folders.runs))
