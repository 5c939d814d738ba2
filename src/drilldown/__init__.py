"""drilldown: a lab for image classifiers that are tiny on purpose.

>>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
>>> training = drilldown.Training(experiment, seed=0)
>>> [epoch.test.total for epoch in training]
[1000]

What the commands do, as objects that show themselves in a notebook:

| name | does |
| --- | --- |
| `load` | reads an experiment: its layer table, `anatomy`, `build()` |
| `dataset` | finds, or fetches, and verifies a dataset |
| `Training` | trains in memory, an epoch's record at a time |
| `perform` | trains in a run folder, going on where it was interrupted; `Lines()` shows it |
| `all_runs`, `find_run` | the runs on disk; the `last` one, or one by its folder |
| `Run` | `verdict`, `epochs`, `model()`, `answers()`, `evaluate(split)`, `predict(images)` |
| `Answers` | class scores with labels: `tally`, `mistakes`, `confusion` |
| `read_picture` | a picture file, prepared as MNIST's were |
| `compare` | experiments or runs side by side: what differs, and what that was worth |
| `plot` | `curves`, `samples`, `classes`, `mistakes`, `confusion`, `compared` |
| `write_report` | `report.html` and `report.md` in a run's folder |
| `DrilldownError` | a mistake that its maker can mend; `TrainingDiverged` is one |
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drilldown import plot
    from drilldown.answers import Answers
    from drilldown.comparison import compare
    from drilldown.data import load as dataset
    from drilldown.display import Lines
    from drilldown.errors import DrilldownError, TrainingDiverged
    from drilldown.lab import perform
    from drilldown.loading import load
    from drilldown.prepare import read as read_picture
    from drilldown.report import write as write_report
    from drilldown.runs import Run, all_runs
    from drilldown.runs import find as find_run
    from drilldown.train import Training

__all__ = [
    "Answers",
    "DrilldownError",
    "Lines",
    "Run",
    "Training",
    "TrainingDiverged",
    "all_runs",
    "compare",
    "dataset",
    "find_run",
    "load",
    "perform",
    "plot",
    "read_picture",
    "write_report",
]

_HOMES = {
    "Answers": "answers:Answers",
    "DrilldownError": "errors:DrilldownError",
    "Lines": "display:Lines",
    "Run": "runs:Run",
    "Training": "train:Training",
    "TrainingDiverged": "errors:TrainingDiverged",
    "all_runs": "runs:all_runs",
    "compare": "comparison:compare",
    "dataset": "data:load",
    "find_run": "runs:find",
    "load": "loading:load",
    "perform": "lab:perform",
    "plot": "plot",
    "read_picture": "prepare:read",
    "write_report": "report:write",
}
"""Module and name within it of what is public; a module alone is public itself."""


def __getattr__(name: str) -> object:
    """Loads what is asked for when it is asked for: PyTorch takes seconds, and `drilldown --help` needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'drilldown' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    found = import_module(f"drilldown.{module}")
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    """What a notebook completes."""
    return sorted({*globals(), *__all__})
