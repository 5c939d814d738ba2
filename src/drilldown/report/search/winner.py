"""`winner.toml`: the winner of a search as an experiment of its own, which is judged on the test images."""

from __future__ import annotations

import contextlib
from pathlib import Path

from drilldown.errors import DrilldownError
from drilldown.experiment.experiment import Experiment
from drilldown.files import write_atomically, write_below
from drilldown.search.reading import SearchFile
from drilldown.search.state import Candidate

WINNER = "winner.toml"


def winner_experiment(search: SearchFile, candidate: Candidate) -> Experiment | None:
    """The candidate without its validation split: it trains on all training images.

    *Returns* None where the candidate is another experiment today than when it was trained: the dataset, the network's
    code or drilldown has changed.
    """
    with contextlib.suppress(DrilldownError):
        experiment = search.space.experiment(candidate.values, candidate.number)
        if experiment.fingerprint == candidate.fingerprint:
            if experiment.recipe.holdout is None:
                return experiment
            changed = {
                "title": f"{experiment.title}, on all training images",
                "recipe": experiment.recipe.model_copy(update={"holdout": None}),
            }
            return experiment.model_copy(update=changed)
    return None


def write_winner(search: SearchFile, candidate: Candidate | None, folder: Path) -> bool:
    """Writes `winner.toml` into a folder whose lock the caller holds, and the code of a network in Python beside it.

    *Returns* whether it was written; an old file is removed where it was not.

    *Raises* OSError where a file cannot be written.
    """
    experiment = winner_experiment(search, candidate) if candidate else None
    if experiment is None or candidate is None:
        (folder / WINNER).unlink(missing_ok=True)
        return False
    for name, content in experiment.code_files.items():
        write_below(folder, name, content)
    split = "" if search.base.recipe.holdout is None else ", without the validation split"
    head = f"# Candidate {candidate.number} of the search {search.name}{split}.\n"
    write_atomically(folder / WINNER, (_one_line(head) + experiment.to_toml()).encode())
    return True


def _one_line(comment: str) -> str:
    """A comment whose line nothing ends early."""
    return "".join(char for char in comment.rstrip("\n") if char.isprintable()) + "\n"
