"""Shared by the commands that train: a list of runs with its display, and the result of a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drilldown.cli.options import command_text, print_json, print_notice, track_options, workers_options
from drilldown.settings import Compute, Folders

if TYPE_CHECKING:
    from drilldown.runs.pool import Task
    from drilldown.runs.run import Run


def train_all(
    tasks: list[Task],
    name: str,
    command: list[str],
    compute: Compute,
    folders: Folders,
    *,
    workers: int,
    crew: Path | None,
    again: bool = False,
    keep_going: bool = False,
    as_json: bool = False,
    track: Sequence[str] = (),
    on_run: Callable[[Run], None] = lambda _: None,
) -> None:
    """Trains the remaining runs of a list.

    *Arguments*: `name`: of the list. `command`: resumes the list after an interruption. `keep_going`: an experiment
    that fails does not end the others. `as_json`: standard output is kept for a document.
    `track`: trackers that mirror the runs. `on_run`: called with each run that has finished: at once where this process
    trains it, and at the end where workers do.
    """
    from drilldown.runs import worklist
    from drilldown.runs.folder import FINISHED
    from drilldown.terminal.live import WorklistDisplay
    from drilldown.terminal.todo_list import todo_lines
    from drilldown.terminal.workers import WorkersDisplay
    from drilldown.tracking.callback import WorklistTracking
    from drilldown.workers.opening import open_pool

    class Display(WorklistDisplay):
        def on_finish(self, run: Run) -> None:
            super().on_finish(run)
            on_run(run)

    if crew is not None:
        from drilldown.workers.crew import read_crew  # imports Dask, which takes half a second

        read_crew(crew)  # before anything is printed
    display = Display if workers == 1 and crew is None else WorkersDisplay
    live = display(name, as_json=as_json)
    plan, started = worklist.plan_work(tasks, compute.engine, again=again), time.time()
    tracking = WorklistTracking(*track, callback=live)
    tracking.on_plan(plan)
    for line in todo_lines(plan):
        live.console.print(line)
    try:
        if plan.todo:
            with open_pool(
                compute, folders, tracking, workers=workers, crew=crew, again=again, keep_going=keep_going
            ) as pool:
                worklist.train_all(plan, tracking, pool)
    except KeyboardInterrupt:
        live.stop()
        finished = sum(task.ended for task in tasks)
        print_notice(f"interrupted: {finished} of {len(tasks)} runs finished, and every finished epoch is saved")
        options = [*workers_options(workers, crew), *track_options(track)]
        print_notice(f"resume with: {command_text([*command, *options], compute, folders)}")
        old = [str(task.seed) for task in tasks if task.ended and task.run.modified < started] if again else []
        if old:
            print_notice(f"not repeated yet: seed {', '.join(old)}; repeat each with --again --seed N")
        tracking.close(hurry=True)
        raise
    finally:
        live.stop()
        tracking.close()
    if isinstance(live, WorkersDisplay):
        for task in plan.todo:
            if task.run.status == FINISHED:
                on_run(task.run)


def show_finished(run: Run, data_dir: Path | None, *, write: bool = False, as_json: bool = False) -> None:
    """Prints the result of a finished run; first writes its report if it is missing or old, or if `write` is true."""
    from drilldown.analysis.documents import interval_document, run_document
    from drilldown.runs.interval import judged_interval
    from drilldown.terminal.console import make_console
    from drilldown.terminal.tables import print_result

    write_missing_report(run, data_dir, write=write)
    if as_json:
        interval = interval_document(judged_interval(run, data_dir))
        report = str(run.path / "report.html") if run.has_model else None
        print_json({**run_document(run.read()), "test_interval": interval, "report": report})
    else:
        print_result(make_console(stderr=False), run)


def write_missing_report(run: Run, data_dir: Path | None, *, write: bool = False) -> None:
    """Writes the report of a finished run if it is missing or old, or if `write` is true."""
    from drilldown.report.folder import is_current

    if write or (run.has_model and not is_current(run)):
        from drilldown.report.run.writing import write_run_report  # imports matplotlib, which takes a second

        write_run_report(run, data_dir)
