"""Worklists are trained seed by seed, resume after an interruption, and share their runs with other processes."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

from drilldown import Compute, DrilldownError, Folders, load
from drilldown.analysis.seeds import Seeds
from drilldown.analysis.study import gather_study
from drilldown.experiment.studies import Study
from drilldown.report.study.writing import write_study_report
from drilldown.runs.folder import FINISHED
from drilldown.runs.perform import perform
from drilldown.runs.pool import Task
from drilldown.runs.run import Run
from drilldown.runs.worklist import (
    Estimate,
    TimeEstimator,
    list_tasks,
    plan_work,
)
from support.cli import start
from support.study import STEPS, Witness, command, steps_of, train, write_study

SEEDS = 3


@pytest.fixture(scope="module")
def climb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study whose three steps have three seeds each."""
    folder = write_study(tmp_path_factory.mktemp("climb"))
    train(plan_work(list_tasks(steps_of(folder), range(SEEDS), folder.parent / "runs")))
    return folder


def test_runs_are_trained_seed_by_seed_so_that_an_interrupted_study_has_pairs(tmp_path: Path) -> None:
    experiments = steps_of(write_study(tmp_path))
    done = [(task.experiment.title, task.seed) for task in list_tasks(experiments, range(2), tmp_path)]
    titles = [experiment.title for experiment in experiments]
    assert done == [(title, seed) for seed in range(2) for title in titles]


def test_finished_runs_are_not_trained_again(climb: Path) -> None:
    plan = plan_work(list_tasks(steps_of(climb), range(SEEDS), climb.parent / "runs"))
    assert str(plan) == "9 of 9 runs finished, nothing left to train"
    assert train(plan).begun == []


def test_a_longer_list_trains_only_new_runs(climb: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(climb.parent / "runs", runs)
    plan = plan_work(list_tasks(steps_of(climb), range(SEEDS + 1), runs))
    assert str(plan).startswith("9 of 12 runs finished, 3 to train; about ")
    assert train(plan).begun == [(f"climb/{step}", SEEDS) for step in STEPS]


def test_the_estimate_comes_from_the_same_step_or_from_multiply_adds(tmp_path: Path) -> None:
    first, _, wider = steps_of(write_study(tmp_path))
    tasks = list_tasks([first, wider], range(3), tmp_path / "runs")
    unknown = TimeEstimator().estimate(tasks)
    assert unknown == Estimate(0.0, 6)
    assert "unknown until the first run" in str(unknown)
    run = perform(first, folders=Folders(runs=tmp_path / "runs"), compute=Compute(engine="torch"))
    seconds = run.read().summary.seconds
    plan = plan_work(tasks)
    work = wider.model_summary.multiply_adds / first.model_summary.multiply_adds
    assert plan.estimate.unknown == 0
    assert plan.estimate.seconds == pytest.approx(seconds * (2 + 3 * work))
    assert TimeEstimator(tasks, "native").estimate(plan.todo) == Estimate(0.0, 5)


def test_the_estimate_leaves_out_saved_epochs(tmp_path: Path) -> None:
    (first, *_) = steps_of(write_study(tmp_path))
    runs = tmp_path / "runs"
    done = perform(first, folders=Folders(runs=runs), compute=Compute(engine="torch"))
    shutil.copytree(done.path, Run.of(first, 1, runs).path)
    (Run.of(first, 1, runs).path / "summary.json").unlink()
    plan = plan_work(list_tasks([first], range(3), runs))
    assert len(plan.todo) == 2
    assert plan.estimate.seconds == pytest.approx(done.read().summary.seconds)


def test_a_run_that_another_process_trains_is_skipped_and_waited_for_at_the_end(tmp_path: Path) -> None:
    experiments = steps_of(write_study(tmp_path))
    tasks = list_tasks(experiments, range(1), tmp_path / "runs")
    held = contextlib.ExitStack()
    held.enter_context(tasks[0].run.lock())
    plan = plan_work(tasks)
    assert "1 running in another process" in str(plan)

    class ReleasingWitness(Witness):
        def on_wait(self, task: Task) -> None:
            super().on_wait(task)
            held.close()

    witness = ReleasingWitness()
    train(plan, witness)
    assert [name for name, _ in witness.begun] == ["climb/02-norm", "climb/03-wider", "climb/01-plain"]
    assert witness.waited == [tasks[0].run.path]
    assert all(task.run.status == FINISHED for task in tasks)


def test_a_run_that_another_process_finishes_is_not_trained_again(climb: Path, tmp_path: Path) -> None:
    experiments = steps_of(climb)
    tasks = list_tasks(experiments, range(1), tmp_path / "runs")
    plan = plan_work(tasks)
    shutil.copytree(climb.parent / "runs", tmp_path / "runs")
    assert train(plan).begun == []


def test_a_step_that_cannot_be_trained_fails_once_and_the_study_continues(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    (folder / "02-norm.toml").write_text(
        'title = "Huge batches"\nextends = "01-plain.toml"\n[recipe]\nbatch_size = 1000000\n'
    )
    plan = plan_work(list_tasks(steps_of(folder), range(2), tmp_path / "runs"))
    witness = Witness()
    with pytest.raises(DrilldownError, match=r"^climb/02-norm, seed 0: .*batches of 1,000,000"):
        train(plan, witness)
    assert witness.failed == [("climb/02-norm", 0)]
    assert len(witness.begun) == 5  # its second seed is not tried
    assert [task.experiment.name for task in plan_work(plan.tasks).todo] == ["climb/02-norm"] * 2


def test_a_run_that_diverges_counts_as_failed_and_the_study_continues(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    (folder / "02-norm.toml").write_text(
        'title = "Hasty"\nextends = "01-plain.toml"\n[recipe]\noptimizer = { name = "sgd", lr = 1e30 }\n'
    )
    plan = plan_work(list_tasks(steps_of(folder), range(2), tmp_path / "runs"))
    witness = train(plan)
    assert len(witness.begun) == 6
    assert witness.failed == [("climb/02-norm", 0), ("climb/02-norm", 1)]
    assert plan_work(plan.tasks).todo == ()
    evidence = gather_study(Study(folder), tmp_path / "runs")
    written = write_study_report(evidence).markdown
    text = written.read_text("utf-8")
    assert "| 2 | `02-norm` |" in text
    assert "0 of 2 (0–66 %)" in text
    assert "`02-norm` (2 of 2 seeds)" in text
    assert "no seeds in common" in text
    documents = [json.loads(line) for line in (written.parent / "summaries.jsonl").read_text().splitlines()]
    assert [document["status"] for document in documents].count("diverged") == 2
    assert len(documents) == 6


def test_an_interrupted_study_resumes(tmp_path: Path) -> None:
    write_study(tmp_path, epochs=24, steps=2)
    arguments = ("study", "climb", "--seeds", "1", "--engine", "torch")
    process = start(*arguments, cwd=tmp_path)
    assert process.stdout is not None
    shown = ""
    for line in process.stdout:
        shown += line
        if shown.count("epoch") == 2 and line.strip().startswith("2 "):  # of the second run
            break
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=30)
    assert process.returncode == 130, shown + rest
    assert rest.startswith("climb: 0 of 2 runs finished, 2 to train; time unknown until")
    assert "1 of 2 runs finished" in rest
    assert "resume with: drilldown study climb --seeds 1" in rest
    (first,) = (tmp_path / "runs").glob("climb/*/seed-0/summary.json")
    written = first.stat().st_mtime_ns
    out, err = command(*arguments, cwd=tmp_path)
    assert err.startswith("climb: 1 of 2 runs finished, 1 to train; about ")
    assert "resumed after epoch" in out
    assert first.stat().st_mtime_ns == written
    assert out.splitlines()[-1].split() == ["report", "runs/climb/report.html"]
    assert max(map(len, out[out.index("Study climb") :].splitlines())) <= 80
    assert "\x1b" not in out + err


def test_two_processes_share_a_study_and_train_each_run_once(tmp_path: Path) -> None:
    write_study(tmp_path, epochs=8)
    arguments = ("study", "climb", "--seeds", "2", "--engine", "torch")
    both = [start(*arguments, cwd=tmp_path) for _ in range(2)]
    ended = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    trained = Counter(re.findall(r"climb/\S+ · seed \d", "".join(out for out, _ in ended)))
    assert sorted(trained) == [f"climb/{step} · seed {seed}" for step in STEPS for seed in range(2)]
    assert set(trained.values()) == {1}
    assert len(list((tmp_path / "runs").glob("climb/*/seed-*/summary.json"))) == 6


def test_seeds_list_unfinished_runs(climb: Path, tmp_path: Path) -> None:
    experiment = load(climb / "01-plain.toml")
    runs_dir = tmp_path / "runs"
    shutil.copytree(climb.parent / "runs", runs_dir)
    (Run.of(experiment, 1, runs_dir).path / "summary.json").unlink()
    seeds = Seeds.of(experiment, runs_dir)
    assert [run.seed for run in seeds.finished] == [0, 2]
    assert [run.seed for run in seeds.unfinished] == [1]
    assert seeds.n == 2
