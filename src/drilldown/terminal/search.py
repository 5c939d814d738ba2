"""Shows a search while it runs: a line for each decision, and a table of the workers in a terminal."""

from __future__ import annotations

import time

from rich.console import Console, Group, RenderableType
from rich.text import Text

from drilldown.engines.engine import Progress
from drilldown.evaluation.records import EpochRecord
from drilldown.runs.pool import Task, WorkerStatus
from drilldown.runs.run import Run
from drilldown.search.callback import SearchCallback
from drilldown.search.reading import SearchFile
from drilldown.search.state import Candidate, SearchState, Trial
from drilldown.terminal.workers import WorkersDisplay
from drilldown.training.training import Training
from drilldown.wording import count_text, duration_text, heading


class SearchDisplay(WorkersDisplay, SearchCallback):
    """Shows a search on standard error."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.state: SearchState | None = None
        self.best: int | None = None

    def on_search(self, search: SearchFile, state: SearchState) -> None:
        """Prints what is searched for, and how far it has come."""
        self.state = state
        settings = state.settings
        self.console.print(Text(heading(search.base.title, search.name, "search"), style="bold"))
        aim = "the fewest parameters that meet the budget" if settings.goal == "smallest" else "the lowest loss"
        count = count_text(len(search.space.dimensions), "dimension")
        self.console.print(f"{aim}, at most {state.limit:,} parameters · {count}: {', '.join(search.space.dimensions)}")
        known = f"{len(state.candidates)} of {count_text(settings.candidates, 'candidate')} so far"
        hours = f", {duration_text(state.seconds)} of {settings.hours:g} hours" if settings.hours else ""
        self.console.print(f"{known}{hours}")

    def on_candidate(self, candidate: Candidate) -> None:
        """Keeps quiet: the first result shows the candidate."""

    def on_result(self, candidate: Candidate, seed: int) -> None:
        """Prints the result, and what it means for the candidate."""
        assert self.state is not None
        loss, accuracy = candidate.losses[seed], candidate.accuracy.get(seed)
        figures = "diverged" if accuracy is None else f"loss {loss:.4f} · {accuracy:.2f} %"
        head = f"candidate {candidate.number}, seed {seed}: {candidate.parameters:,} parameters · {figures}"
        trial = self.state.open_trial
        if trial is not None and seed in trial.seeds:
            met = "budget met" if candidate.passed[seed] else "budget not met"
            self.console.print(f"{head} · fresh seed, {met}")
            return
        standing = self.state.race.standing(candidate.number)
        incumbent = self.state.race.incumbent
        best = " · best so far" if incumbent == candidate.number != self.best else ""
        self.best = incumbent
        dropped = f" · dropped: {standing.reason}" if standing.state == "dropped" else ""
        self.console.print(f"{head}{best}{dropped}")

    def on_trial(self, trial: Trial) -> None:
        """Prints the begin and the end of a confirmation."""
        assert self.state is not None
        if trial.decision is None:
            self.console.print(f"candidate {trial.candidate} is measured on fresh seeds, from seed {trial.seeds[0]} on")
            return
        passes = self.state.fresh_results(trial)
        words = {
            "accepted": "confirmed", "rejected": "not confirmed", "undecided": "not confirmed: too few seeds",
            "measured": "measured",
        }  # fmt: skip
        self.console.print(
            f"candidate {trial.candidate}: {words[trial.decision]}, {sum(passes)} of "
            f"{count_text(len(passes), 'fresh seed')} met the budget"
        )

    def on_limit(self, limit: int, reason: str) -> None:
        """Prints the new limit."""
        self.console.print(f"new limit: {limit:,} parameters, since {reason}")

    def on_wait(self, task: Task) -> None:
        """Prints the training of another process."""
        self.console.print(f"waiting for {task.run.path}, which another process is training")

    def on_start(self, run: Run, training: Training) -> None:
        """Shows the training of this process like that of a worker."""
        task = Task(training.experiment, training.seed, run)
        last = training.epochs[-1] if training.epochs else None
        own = WorkerStatus(name="this process", host="127.0.0.1", task=task, epoch=last, started=time.monotonic())
        self.on_workers([own])

    def on_progress(self, progress: Progress) -> None:
        """Shows nothing: the table shows epochs."""

    def on_epoch_end(self, epoch: EpochRecord) -> None:
        """Updates the table."""
        (own,) = self.workers
        self.workers = (WorkerStatus(name=own.name, host=own.host, task=own.task, epoch=epoch, started=own.started),)

    def on_finish(self, run: Run) -> None:
        """Keeps the table: the next training follows."""

    def _table(self) -> RenderableType:
        assert self.state is not None
        state = self.state
        best = state.winner
        found = f" · best: candidate {best.number}, {best.parameters:,} parameters" if best else ""
        footer = f"{len(state.candidates)} of {count_text(state.settings.candidates, 'candidate')}{found}"
        return Group(self._worker_table(), Text(footer))


def print_search(target: Console, state: SearchState) -> None:
    """Prints the answer of a search."""
    winner = state.winner
    if winner is None:
        target.print("no candidate has a result yet")
        return
    confirmed = state.confirmed is winner
    trial = state.trial_of(winner.number)
    target.print(
        f"{'winner' if confirmed else 'closest'}: candidate {winner.number}, {winner.parameters:,} parameters"
        f"{'' if confirmed else ', not confirmed'}"
    )
    race = [value for seed, value in winner.accuracy.items() if seed < 100]
    if race:
        target.print(f"  in its race        {sum(race) / len(race):.3f} %, {count_text(len(race), 'seed')}")
    fresh = [winner.accuracy[seed] for seed in trial.seeds if seed in winner.accuracy] if trial else []
    if trial and fresh:
        passes = state.fresh_results(trial)
        target.print(
            f"  on fresh seeds     {sum(fresh) / len(fresh):.3f} %, {count_text(len(fresh), 'seed')}; "
            f"{sum(passes)} of {len(passes)} met the budget"
        )
