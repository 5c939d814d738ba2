"""The table of workers: it fits into 80 columns, and other outputs get plain lines."""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Iterator

import pytest
from rich.console import Console

from drilldown import Compute, Folders, load, perform
from drilldown.runs.pool import Outcome, Task, WorkerStatus
from drilldown.runs.run import Run
from drilldown.runs.worklist import list_tasks, plan_work
from drilldown.terminal.console import make_plain_console
from drilldown.terminal.workers import WorkersDisplay, print_members
from drilldown.workers.cluster import Member
from support.cli import world

WIDTH = 80
LONG = "a-study-with-a-name-that-is-much-longer-than-any-column-of-a-table/and-a-step-with-another-long-name"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("lab")
    experiment = load(world(folder, epochs=2))
    return perform(experiment, compute=Compute(threads=1), folders=Folders(runs=folder / "runs"))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Console(file=io.StringIO(), force_terminal=True, width=WIDTH, color_system=None, legacy_windows=False)


@pytest.fixture
def plain() -> Console:
    return make_plain_console(io.StringIO())


@pytest.fixture
def display() -> Iterator[WorkersDisplay]:
    live = WorkersDisplay("climb")
    yield live
    live.stop()


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def long_task(run: Run, seed: int) -> Task:
    """A task whose experiment has a long name."""
    study, _, step = LONG.partition("/")
    return Task(run.experiment.located(name=f"{study}/{step}"), seed, run)


def statuses(run: Run, host: str = "127.0.0.1") -> tuple[WorkerStatus, ...]:
    """A worker that waits, one that has begun, and one after its first epoch."""
    (epoch, *_) = run.epochs
    names = [f"node-{number}.some-department.example.org-{12345 + number}-c0de-0" for number in range(3)]
    begun = time.monotonic() - 100_000
    return (
        WorkerStatus(name=names[0], host=host),
        WorkerStatus(name=names[1], host=host, task=long_task(run, 1), started=begun),
        WorkerStatus(name=names[2], host=host, task=long_task(run, 123), epoch=epoch, started=begun),
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "10.20.30.40", "2001:db8:1234:5678:9abc:def0:1234:5678"])
def test_the_table_fits_into_80_columns(host: str, finished: Run, terminal: Console, display: WorkersDisplay) -> None:
    display.console, display.count, display.left = terminal, 1000, "about 3 days and 7 runs of unknown length"
    display.workers = statuses(finished, host)
    terminal.print(display._table())
    lines = text(terminal).splitlines()
    assert max(map(len, lines)) <= WIDTH
    shown = "\n".join(lines)
    (epoch, *_) = finished.epochs
    assert f"{float(epoch.test.accuracy):.2f}" in shown
    assert "1/2" in shown
    assert "0/2" in shown
    assert "27:46:4" in shown
    assert " 123 " in shown, "the seed is never cut off"
    assert "waits" in shown
    assert len(lines) == 5, "a worker takes one line"
    assert "0 of 1000 runs ended; left: about 3 days" in shown


def test_a_terminal_gets_a_live_table_that_goes_away(finished: Run, terminal: Console, display: WorkersDisplay) -> None:
    display.console = terminal
    display.on_workers(statuses(finished))
    assert display.live is not None
    display.live.refresh()
    display.on_notice("a notice above the table")
    display.stop()
    assert display.live is None
    assert "waits" in text(terminal)
    assert "\x1b[2K" in text(terminal), "the lines of the table are erased"
    assert "\x1b[?25h" in text(terminal), "the cursor is there again"


def test_other_outputs_get_plain_lines(finished: Run, plain: Console, display: WorkersDisplay) -> None:
    display.console = plain
    tasks = list_tasks([finished.experiment], range(3), finished.path.parents[2])
    plan = plan_work(tasks, again=True)
    display.on_plan(plan)
    for _ in range(3):
        display.on_workers(statuses(finished))
    done = Task(finished.experiment, 0, finished)
    display.on_task_start(done, tasks, plan.estimate)
    display.on_task_end(Outcome(done, "finished"))
    display.on_task_end(Outcome(tasks[1], "diverged", "the loss is nan in epoch 1"))
    display.on_task_end(Outcome(tasks[2], "failed", "3 workers died while they trained it"))
    display.stop()
    head, count, first, second, third = text(plain).splitlines()
    assert head.startswith("climb: 0 of 3 runs finished, 3 to train; about ")
    assert count == "training with 3 workers"
    name = finished.experiment.name
    accuracy = finished.read().accuracy(2)
    assert first.startswith(f"1/3  {name}, seed 0  ✓ budget met · {accuracy:.2f} % · ")
    assert second == f"2/3  {name}, seed 1: diverged and counts as failed: the loss is nan in epoch 1"
    assert third == f"3/3  {name}, seed 2: failed: 3 workers died while they trained it"
    assert "\x1b" not in text(plain)


def test_the_table_shows_the_last_epoch_of_each_worker(finished: Run, plain: Console, display: WorkersDisplay) -> None:
    first, last = finished.epochs
    display.console = plain
    status = statuses(finished)[2]
    for epoch in (first, last):
        display.workers = (dataclasses.replace(status, epoch=epoch),)
        before = len(text(plain))
        plain.print(display._table())
        assert f"{epoch.epoch}/2" in text(plain)[before:]
        assert f"{float(epoch.test.accuracy):.2f}" in text(plain)[before:]


def test_the_members_of_a_crew_are_a_table(plain: Console) -> None:
    print_members(plain, [])
    assert text(plain) == "0 workers\n"
    members = [
        Member("node-1", "tls://10.0.0.1:4000", ("drilldown 1, torch 2", "native")),
        Member("node-2", "tls://[fd93::2]:4000", ("drilldown 1, torch 2",), busy="0a1b2c3d-7-beef"),
    ]
    print_members(plain, members)
    _, count, head, first, second = text(plain).splitlines()
    assert count == "2 workers"
    assert head.split() == ["worker", "address", "trains", "has"]
    assert first.split() == ["node-1", "10.0.0.1", "waits", "drilldown", "1,", "torch", "2,", "native"]
    assert second.split() == ["node-2", "fd93::2", "0a1b2c3d-7-beef", "drilldown", "1,", "torch", "2"]
    assert first.index("drilldown") == second.index("drilldown")


def test_names_of_workers_cannot_control_the_terminal(plain: Console) -> None:
    """A worker chooses its name itself."""
    print_members(plain, [Member("a\x1b]0;owned\x07", "tls://10.0.0.1:4000", ("x\n\x1b[2J",))])
    assert "\x1b" not in text(plain)
    assert "\x07" not in text(plain)
