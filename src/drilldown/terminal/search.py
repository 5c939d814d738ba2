"""Shows a search while it runs: a line for each decision, and a table of the workers in a terminal."""

from __future__ import annotations

import textwrap
import time

from rich.console import Console, Group, RenderableType
from rich.text import Text

from drilldown.engines.engine import Progress
from drilldown.evaluation.records import EpochRecord
from drilldown.report.search.answer import STAMP, answer_sentences, find_answer, is_on_test, search_split, test_sentence
from drilldown.runs.pool import Task, WorkerStatus
from drilldown.runs.run import Run
from drilldown.search.callback import SearchCallback
from drilldown.search.confirmation import FIRST_FRESH_SEED
from drilldown.search.reading import SearchFile
from drilldown.search.state import Candidate, SearchState, Trial
from drilldown.terminal.console import make_table, mark
from drilldown.terminal.workers import WorkersDisplay
from drilldown.training.training import Training
from drilldown.wording import count_text, duration_text, heading

WIDTH = 80
"""The width of sentences, and of lines that hold a list of any length."""


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
        self.console.print(f"{aim}, at most {state.limit:,} parameters")
        if search.base.budget.chip_text:
            self.console.print(search.base.budget.chip_text)
        if search.base.recipe.teacher_text:
            self.console.print(f"each candidate {search.base.recipe.teacher_text}")
        count = count_text(len(search.space.dimensions), "dimension")
        for line in textwrap.wrap(f"{count}: {', '.join(search.space.dimensions)}", WIDTH, break_on_hyphens=False):
            self.console.print(line)
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
        if seed in candidate.failed:
            self.console.print(f"candidate {candidate.number}, seed {seed}: failed, {candidate.failed[seed]}")
            return
        if seed >= FIRST_FRESH_SEED:
            met = "budget met" if candidate.passed[seed] else "budget not met"
            self.console.print(f"candidate {candidate.number}, fresh seed {seed}: {figures} · {met}")
            return
        head = f"candidate {candidate.number}, seed {seed}: {candidate.parameters:,} parameters · {figures}"
        standing = self.state.race.standing(candidate.number)
        incumbent = self.state.incumbent
        best = " · best so far" if incumbent == candidate.number != self.best else ""
        self.best = incumbent
        dropped = " · dropped" if standing.state == "dropped" and accuracy is not None else ""
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
        state = self.state
        if state is None:  # the workers start before the journal is read
            return self._worker_table()
        best = state.winner
        found = f" · best: candidate {best.number}, {best.parameters:,} parameters" if best else ""
        footer = f"{len(state.candidates)} of {count_text(state.settings.candidates, 'candidate')}{found}"
        return Group(self._worker_table(), Text(footer))


def print_search(target: Console, search: SearchFile, state: SearchState) -> None:
    """Prints the answer of a search, as its report says it."""
    if is_on_test(search):
        target.print(Text(STAMP.upper(), style="bold red"))
    teacher = search.base.recipe.teacher_text
    if teacher:
        target.print(f"each candidate {teacher}")
    answer = find_answer(search, state)
    if answer is None:
        target.print(_nothing_text(state))
        return
    met = {"confirmed": f"{mark(target, True)} ", "leading": f"{mark(target, False)} "}.get(answer.kind, "")
    target.print(Text("\n".join(textwrap.wrap(f"{met}{answer.headline}", WIDTH)), style="bold"))
    target.print(f"  {answer.detail}")
    table = make_table([f"  {search_split(search)} images"], ["accuracy, %", "loss", "budget met"])
    for name, figures in answer.rows:
        met_budget = f"{figures.rate.passed} of {figures.rate.n}"
        table.add_row(f"  {name}", figures.accuracy_text, figures.loss_text, met_budget)
    target.print(table)
    for sentence in filter(None, [*answer_sentences(answer, state), test_sentence(answer)]):
        unbroken = sentence.replace(" %", "\N{NO-BREAK SPACE}%")
        for line in textwrap.wrap(unbroken, WIDTH, break_on_hyphens=False):
            target.print(line.replace("\N{NO-BREAK SPACE}", " "))


def _nothing_text(state: SearchState) -> str:
    """The reason why a search has no answer."""
    tried = sum(bool(candidate.losses) for candidate in state.candidates.values())
    if tried:
        return f"none of the {count_text(tried, 'candidate')} has a result: all trainings diverged or failed"
    if state.exhausted:
        return f"the space has no network with at most {state.limit:,} parameters"
    return "no candidate has a result yet"
