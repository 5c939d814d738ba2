"""A search as an Optuna study: read back by Optuna, it is the journal's."""

from __future__ import annotations

import math
from pathlib import Path

import optuna
import pytest

from drilldown import DrilldownError
from drilldown.runs.pool import Task
from drilldown.search.export import export_study
from drilldown.search.reading import SearchFile, read_search
from drilldown.search.state import SearchState
from support.cli import drilldown, world
from support.stand_in import SPACE, Result, StandInPool, learning_curve, search_with, write_search

CHOICES = (
    'head = { one_of = ["gap, linear 10", "conv 1x1 10, gap"] }\n'
    '"recipe.augment" = { one_of = [{}, { rotate = 10.0 }] }\n"recipe.batch_size" = { one_of = [32, 64] }\n'
)


def first_diverges(task: Task) -> Result:
    return Result(ending="diverged") if "candidate-0" in task.experiment.name else learning_curve(task)


@pytest.fixture
def found(tmp_path: Path) -> tuple[SearchFile, SearchState]:
    file = write_search(tmp_path / "a % ? folder", candidates=7, space=SPACE + CHOICES)
    file.write_text(file.read_text().replace('"gap, linear 10"]', '"{head}"]'))
    state, _ = search_with(file, StandInPool(first_diverges))
    return read_search(file), state


def test_optuna_reads_all_candidates(found: tuple[SearchFile, SearchState], tmp_path: Path) -> None:
    search, state = found
    assert export_study(search, state, search.path.parent / "study.db") == 7
    (search.path.parent / "study.db").rename(tmp_path / "study.db")
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    study = optuna.load_study(study_name=search.name, storage=storage)
    for trial, candidate in zip(study.trials, state.candidates.values(), strict=True):
        losses = [loss for seed, loss in candidate.losses.items() if seed < 100]
        assert trial.user_attrs["candidate"] == candidate.number
        assert trial.user_attrs["parameters"] == candidate.parameters
        assert trial.user_attrs["seeds"] == len(losses)
        assert trial.state.is_finished()
        if math.inf in losses:
            assert (candidate.number, trial.state) == (0, optuna.trial.TrialState.FAIL)
        else:
            assert trial.value == pytest.approx(sum(losses) / len(losses))
        for name in ("w1", "w2", "recipe.optimizer.lr", "head", "recipe.batch_size"):
            assert trial.params[name] == candidate.values[name]
        assert trial.params["recipe.augment"] in ("{}", "{ rotate = 10.0 }")
    best = min(
        (one for one in state.candidates.values() if one.number),
        key=lambda one: state.race.mean_loss(one.number) or 0.0,
    )
    assert study.best_trial.user_attrs["candidate"] == best.number
    storage.remove_session()
    storage.engine.dispose()


def test_a_file_is_never_overwritten(found: tuple[SearchFile, SearchState], tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("mine")
    with pytest.raises(DrilldownError, match=r"study\.db: already exists; expected a new file"):
        export_study(*found, tmp_path / "study.db")
    assert (tmp_path / "study.db").read_text() == "mine"
    with pytest.raises(DrilldownError, match="no such folder"):
        export_study(*found, tmp_path / "nowhere" / "study.db")


def test_the_command_exports_and_refuses_before_it_trains(tmp_path: Path) -> None:
    world(tmp_path, epochs=1)
    (tmp_path / "old.db").write_text("mine")
    base = ("search", "tiny.toml", "--set", "recipe.holdout=60", "--candidates", "1")
    refused = drilldown(*base, "--export", "old.db", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.strip() == "drilldown: old.db: already exists; expected a new file; choose another name"
    assert not (tmp_path / "runs").exists()
    done = drilldown(*base, "--export", "new.db", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "new.db, 1 trial" in done.stdout
    assert (tmp_path / "new.db").read_bytes().startswith(b"SQLite format 3")
    folder = next((tmp_path / "runs").glob("*/tiny-search-*"))
    resumed = drilldown("search", str(folder.relative_to(tmp_path)), "--candidates", "2", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert [path.name for path in (tmp_path / "runs").glob("*/tiny-search-*")] == [folder.name], "the same search"
