"""Runs a search: in its folder, as far as its candidates and hours allow."""

from __future__ import annotations

from pathlib import Path

from drilldown.data.catalogue import WRITERS
from drilldown.errors import DrilldownError, Problem
from drilldown.files import explain_write_errors, write_atomically
from drilldown.runs.chips import figures_untrained
from drilldown.runs.pool import Pool, work
from drilldown.runs.run import Run
from drilldown.search.callback import SearchCallback
from drilldown.search.journal import JOURNAL, Event, open_journal
from drilldown.search.queue import SearchQueue
from drilldown.search.reading import SearchFile
from drilldown.search.state import SearchState, rebuild
from drilldown.settings import Folders

SEARCH = "search.toml"
"""The file in a search's folder that describes the whole search; reading it gives the same search."""


def search_folder(search: SearchFile, runs_dir: Path) -> Path:
    """The folder of a search: `RUNS/study/step-search-fingerprint`, beside the folders of its candidates."""
    return Run.of(search.base.located(name=f"{search.name}-search"), 0, runs_dir).path.parent.with_name(
        f"{search.name.split('/', 1)[1]}-search-{search.fingerprint}"
    )


def check_validation(search: SearchFile, *, on_test: bool) -> None:
    """Refuses a search that would choose its winner on the test images.

    *Raises* DrilldownError where the recipe has no validation split, and `on_test` is false.
    """
    if search.base.recipe.holdout is None and not on_test:
        by_writer = search.base.recipe.dataset in WRITERS
        setting = "'recipe.holdout={ images = 10_000, by = \"writer\" }'" if by_writer else "recipe.holdout=1_000"
        raise DrilldownError(
            Problem(
                file=search.path,
                place="recipe.holdout",
                found="a search chooses among many networks, and this recipe has no validation images to choose on",
                expected="images held out of the training set",
                suggestion=f"add --set {setting}; or --on-test, which flatters the winner and is stamped on every page",
            )
        )


def check_chip(search: SearchFile) -> None:
    """Raises DrilldownError where the budget has limits on a chip that cannot be measured here."""
    figures = figures_untrained(search.base)
    if figures is not None and figures.missing:
        raise DrilldownError(
            Problem(
                file=search.path,
                place="budget.chip",
                found=f"flash and RAM on {figures.chip} cannot be measured: {figures.missing}",
            )
        )


def run_search(
    search: SearchFile,
    pool: Pool,
    callback: SearchCallback,
    *,
    folders: Folders,
    deterministic: bool = False,
    on_test: bool = False,
) -> SearchState:
    """Runs a search until it has ended, or its candidates or hours are used up.

    It can be stopped at any moment; the next call continues it.

    *Arguments*: `deterministic`: propose the same candidates for any number of workers. `on_test`: choose on the test
    images where the recipe has no validation images.

    *Raises* DrilldownError where the search is refused, where its folder cannot be written, or where another process
    works on it.
    """
    check_validation(search, on_test=on_test)
    check_chip(search)
    folder = search_folder(search, folders.runs)
    with open_journal(folder) as journal:
        with explain_write_errors(folder):
            write_atomically(folder / SEARCH, search.to_toml().encode())
        if not journal.events:
            journal.write({"kind": "search", "fingerprint": search.fingerprint, "name": search.name})
        state = load_state(search, journal.events)
        callback.on_search(search, state)
        work(SearchQueue(search, state, journal, pool, callback, folders, deterministic=deterministic), pool)
        return state


def first_limit(search: SearchFile) -> int:
    """The parameter limit of a search: the budget's, or else the parameters of the network that is varied."""
    return search.base.budget.parameters or search.base.model_summary.parameters


def load_state(search: SearchFile, events: list[Event]) -> SearchState:
    """The state of a search after the events of its journal; `events`: none for a search that has not begun.

    *Raises* DrilldownError where the events do not belong to this search.
    """
    try:
        if events and events[0]["fingerprint"] != search.fingerprint:
            raise ValueError(f"it belongs to search {events[0]['fingerprint']}")
        judged = search.base.budget.accuracy is not None
        return rebuild(events, search.settings, first_limit(search), judged=judged)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise DrilldownError(
            Problem(
                file=search.path,
                found=f"{JOURNAL} in the folder of this search was not written by it ({reason})",
                suggestion="move that file away to begin again; finished trainings are used again",
            )
        ) from None
