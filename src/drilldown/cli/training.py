"""What commands that train share: a list of runs with its display, and the result of a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from drilldown.cli.options import command_text, print_notice, workers_options
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
    on_run: Callable[[Run], None] = lambda _: None,
) -> None:
    """Trains the remaining runs of a list.

    *Arguments*: `name`: of the list. `command`: resumes the list after an interruption. `on_run`: called with each run
    that has finished: at once where this process trains it, and at the end where workers do.
    """
    from drilldown.runs import worklist
    from drilldown.runs.folder import FINISHED
    from drilldown.terminal.live import WorklistDisplay
    from drilldown.terminal.workers import WorkersDisplay
    from drilldown.workers.opening import open_pool

    class Display(WorklistDisplay):
        def on_finish(self, run: Run) -> None:
            super().on_finish(run)
            on_run(run)

    if crew is not None:
        from drilldown.workers.crew import read_crew  # imports Dask, which takes half a second

        read_crew(crew)  # before anything is printed
    live = Display(name) if workers == 1 and crew is None else WorkersDisplay(name)
    plan, started = worklist.plan_work(tasks, compute.engine, again=again), time.time()
    live.on_plan(plan)
    try:
        if plan.todo:
            with open_pool(compute, folders, live, workers=workers, crew=crew, again=again) as pool:
                worklist.train_all(plan, live, pool)
    except KeyboardInterrupt:
        live.stop()
        finished = sum(task.ended for task in tasks)
        print_notice(f"interrupted: {finished} of {len(tasks)} runs finished, and every finished epoch is saved")
        print_notice(f"resume with: {command_text([*command, *workers_options(workers, crew)], compute, folders)}")
        old = [str(task.seed) for task in tasks if task.ended and task.run.modified < started] if again else []
        if old:
            print_notice(f"not repeated yet: seed {', '.join(old)}; repeat each with --again --seed N")
        raise
    finally:
        live.stop()
    if isinstance(live, WorkersDisplay):
        for task in plan.todo:
            if task.run.status == FINISHED:
                on_run(task.run)


def show_finished(run: Run, data_dir: Path | None, *, write: bool = False) -> None:
    """Prints the result of a finished run; first writes its report if it is missing or old, or if `write` is true."""
    from drilldown.report.folder import is_current
    from drilldown.terminal.console import make_console
    from drilldown.terminal.tables import print_result

    if write or (run.has_model and not is_current(run)):
        from drilldown.report.run.writing import write_run_report  # imports matplotlib, which takes a second

        write_run_report(run, data_dir)
    print_result(make_console(stderr=False), run)
