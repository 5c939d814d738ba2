"""Writes a search as an Optuna study in an SQLite file, for people who use Optuna's tools."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drilldown.errors import DrilldownError, Problem
from drilldown.experiment.problems import toml_literal
from drilldown.files import explain_file_errors
from drilldown.search.dimensions import Choice, Dimension, FloatRange
from drilldown.search.race import RUNGS
from drilldown.search.reading import SearchFile
from drilldown.search.sampler import optuna_distribution, quiet_optuna
from drilldown.search.state import Candidate, SearchState

if TYPE_CHECKING:  # Optuna takes a third of a second to import
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


def check_export(file: Path) -> None:
    """Raises DrilldownError where the file exists, or cannot be made: better before a search than after it."""
    if os.path.lexists(file):
        raise DrilldownError(
            Problem(file=file, found="already exists", expected="a new file", suggestion="choose another name")
        )
    if not os.path.isdir(file.parent):
        raise DrilldownError(Problem(file=file.parent, found="no such folder", expected="the folder of the new file"))


def export_study(search: SearchFile, state: SearchState, file: Path) -> int:
    """Writes all candidates with results as finished trials of an Optuna study; returns their number.

    The value of a trial is the mean validation loss of its seeds in the race. A candidate that diverged is a failed
    trial. Everything else that is known about a candidate is among the trial's user attributes. A value that Optuna
    does not know, such as a table, becomes its text in TOML.

    *Raises* DrilldownError where the file exists or cannot be written.
    """
    check_export(file)
    import optuna

    trials = [
        _trial(search, state, candidate)
        for candidate in state.candidates.values()
        if state.race.mean_loss(candidate.number) is not None
    ]
    # Made elsewhere and copied as a whole: a path can have characters that the address of a database cannot.
    with tempfile.TemporaryDirectory() as scratch, quiet_optuna():
        database = Path(scratch) / "study.db"
        storage = optuna.storages.RDBStorage(f"sqlite:///{database.as_posix()}")
        try:
            study = optuna.create_study(storage=storage, study_name=search.name, direction="minimize")
            study.set_user_attr("title", search.base.title)
            study.set_user_attr("search", search.to_toml())
            study.set_user_attr("fingerprint", search.fingerprint)
            study.add_trials(trials)
        finally:
            storage.remove_session()
            storage.engine.dispose()
        content = database.read_bytes()
    with explain_file_errors(file), file.open("xb") as opened:
        opened.write(content)
    return len(trials)


def _trial(search: SearchFile, state: SearchState, candidate: Candidate) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    loss = state.race.mean_loss(candidate.number)
    diverged = loss == float("inf")
    ranges = {name: dimension.range for name, dimension in search.space.dimensions.items()}
    standing = state.race.standing(candidate.number)
    raced = [seed for seed in range(RUNGS[-1]) if seed in candidate.losses]
    accuracies = [candidate.accuracy[seed] for seed in raced if seed in candidate.accuracy]
    attributes: dict[str, Any] = {
        "candidate": candidate.number,
        "parameters": candidate.parameters,
        "limit": candidate.limit,
        "generation": candidate.generation,
        "origin": candidate.origin,
        "fingerprint": candidate.fingerprint,
        "seeds": len(raced),
        "seeds that met the budget": sum(candidate.passed[seed] for seed in raced),
        "accuracy": sum(accuracies) / len(accuracies) if accuracies else None,
        "standing": f"{standing.state}: {standing.reason}",
    }
    return create_trial(
        state=TrialState.FAIL if diverged else TrialState.COMPLETE,
        value=None if diverged else loss,
        params={name: _parameter(one, candidate.values[name]) for name, one in ranges.items()},
        distributions={name: _readable(one) for name, one in ranges.items()},
        user_attrs=attributes,
    )


def _readable(dimension: Dimension) -> BaseDistribution:
    """The distribution of a dimension; that of a choice holds its values, not their indices."""
    if not isinstance(dimension, Choice):
        return optuna_distribution(dimension)
    from optuna.distributions import CategoricalDistribution

    return CategoricalDistribution([_parameter(dimension, value) for value in dimension.values])


def _parameter(dimension: Dimension, value: Any) -> Any:
    """A value as Optuna stores it."""
    if isinstance(dimension, Choice):
        return value if _is_plain(dimension) else toml_literal(value)
    return float(value) if isinstance(dimension, FloatRange) else value


def _is_plain(choice: Choice) -> bool:
    """Whether Optuna can tell the values of a choice apart: all are texts, or all are different numbers."""
    if all(isinstance(value, str) for value in choice.values):
        return True
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in choice.values)
    return numbers and len(set(choice.values)) == len(choice.values)
