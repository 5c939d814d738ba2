"""Shows a run in a notebook or a script: one line per epoch, and in a notebook a bar for the present epoch.

The bar is plain HTML, which IPython updates in its place. It needs no ipywidgets, and so no extension of the notebook.
"""

from __future__ import annotations

import secrets
import sys
import time
from html import escape
from typing import TYPE_CHECKING

from drilldown.runs.run import Run
from drilldown.terminal.console import make_plain_console
from drilldown.terminal.live import Bar, LiveDisplay
from drilldown.training.training import Training

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

REDRAW_SECONDS = 0.1
"""The least time between two updates of a bar; each one is a message to the browser."""


class Lines(LiveDisplay):
    """Shows a run as plain lines on standard output, in a notebook with a bar for the epoch that is being trained.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = drilldown.perform(experiment, folders=drilldown.Folders(runs=folder), callback=Lines())
    Under 8,000 · under-8k/01-flagship · seed 0
    7,662 parameters · 6,000 images of glyphs · ...
     epoch        lr   train %    test %  test loss  seconds
         1 ...
    """

    def __init__(self) -> None:
        super().__init__()
        self.console = self.table = make_plain_console(sys.stdout)
        self.output: CellOutput | None = None
        """The output of the present cell that shows its bars, one after the other."""

    @property
    def has_bars(self) -> bool:
        """Whether this is a notebook."""
        return _notebook() is not None

    def make_bar(self, label: str, total: int | None) -> Bar:
        """Makes a bar in the output of the present cell."""
        self._open_output()
        assert self.output is not None
        return NotebookBar(self.output, label, total)

    def on_start(self, run: Run, training: Training) -> None:
        """Prints the head of the table, below the bar: the lines of the table stay together."""
        self._open_output()
        super().on_start(run, training)

    def _open_output(self) -> None:
        shell = _notebook()
        if shell is not None and self.output is None:
            self.output = CellOutput(shell)
            shell.events.register("post_run_cell", self._leave_cell)

    def _leave_cell(self, result: ExecutionResult) -> None:
        """Removes the bar of an interrupted or failed training; the next cell has an output of its own."""
        self.stop()
        if isinstance(result.error_in_exec, KeyboardInterrupt):
            self.console.print("interrupted; every finished epoch is saved: execute the cell again to resume")
        if self.output is not None:
            self.output.shell.events.unregister("post_run_cell", self._leave_cell)
            self.output = None


class CellOutput:
    """An output of a cell that can be replaced."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell, self.name = shell, secrets.token_hex(8)
        self._publish("", update=False)

    def show(self, html: str) -> None:
        """Replaces the content; a front end without HTML shows nothing."""
        self._publish(html, update=True)

    def _publish(self, html: str, *, update: bool) -> None:
        page = {"text/html": html, "text/plain": ""}
        self.shell.display_pub.publish(page, {}, transient={"display_id": self.name}, update=update)


class NotebookBar:
    """A bar in the output of a cell."""

    def __init__(self, output: CellOutput, label: str, total: float | None) -> None:
        self.output, self.label = output, label
        self.drawn = 0.0
        self.update(0, total, "")

    def update(self, completed: float, total: float | None, text: str) -> None:
        """Shows the present state, if the last update was long enough ago."""
        now = time.monotonic()
        if now - self.drawn < REDRAW_SECONDS:
            return
        self.drawn = now
        state = "" if total is None else f' value="{completed}" max="{total}"'
        self.output.show(f"<code>{escape(self.label)} <progress{state}></progress> {escape(text)}</code>")

    def stop(self) -> None:
        """Removes the bar; its output stays for the next one."""
        self.output.show("")


def _notebook() -> InteractiveShell | None:
    """The IPython that runs this code in the kernel of a notebook; None in a script and in a terminal."""
    ipython = sys.modules.get("IPython")
    shell: InteractiveShell | None = ipython.get_ipython() if ipython else None
    return shell if hasattr(shell, "kernel") else None
