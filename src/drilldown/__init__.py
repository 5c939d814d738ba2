"""drilldown: a lab for image classifiers that are tiny on purpose.

>>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
>>> training = drilldown.Training(experiment, seed=0)
>>> [epoch.test.total for epoch in training]
[1000]

The commands as Python objects, which show themselves in a notebook:

| name | what it is |
| --- | --- |
| `load` | reads an experiment from a file or a dictionary: `model_summary`, `build()`, `with_network(Net)` |
| `dataset` | finds a dataset, or fetches and verifies it |
| `Training` | trains in memory and yields one record per epoch |
| `perform` | trains in a run folder and resumes an interrupted run |
| `Lines` | a callback for `perform` that prints one line per epoch, in a notebook with a bar |
| `Tracking` | a callback for `perform` that mirrors runs in TensorBoard, MLflow or Weights & Biases |
| `all_runs`, `find_run` | the runs on disk; the `last` one, or one by its folder |
| `Run` | a run on disk: `verdict`, `model()`, `predictions()`, `evaluate(split)`, `read_picture()`, `predict()` |
| `Predictions` | logits with labels: `tally`, `interval()`, `misclassified`, `confusion` |
| `audit` | evaluates a run on QMNIST's further test images, on which nobody could choose |
| `export_run` | exports a run to ONNX and C, and judges each file on all test images |
| `teach` | writes the probabilities of finished runs, from which another network learns |
| `read_picture` | reads a picture file and prepares it as MNIST's digits were |
| `find_network` | searches for the best or the smallest network, on several workers or machines |
| `compare` | sets experiments or runs side by side: the difference and its effect |
| `plot` | figures: `curves`, `samples`, `classes`, `misclassified`, `confusion`, `compared` |
| `write_report` | writes `report.html` and `report.md` into a run's folder |
| `trust_all` | allows to execute `model.py` of runs from other machines |
| `Compute`, `Folders` | engine, device and threads; where data and runs lie |
| `DrilldownError` | an error that the user can correct; `TrainingDivergedError` is one |
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING

from drilldown import shown
from drilldown.evaluation import chips

if TYPE_CHECKING:
    from drilldown.analysis.comparison import compare
    from drilldown.data.loading import load_dataset as dataset
    from drilldown.data.pictures import read_picture
    from drilldown.errors import DrilldownError, TrainingDivergedError
    from drilldown.evaluation.predictions import Predictions
    from drilldown.experiment.loading import load_experiment as load
    from drilldown.export.exporting import export_run
    from drilldown.notebook import plot
    from drilldown.notebook.lines import Lines
    from drilldown.report.run.writing import write_run_report as write_report
    from drilldown.runs.audit import audit_run as audit
    from drilldown.runs.finding import all_runs, find_run
    from drilldown.runs.perform import perform
    from drilldown.runs.run import Run
    from drilldown.runs.teach import teach
    from drilldown.search.interface import find_network
    from drilldown.settings import Compute, Folders
    from drilldown.tracking.callback import Tracking
    from drilldown.training.training import Training
    from drilldown.trust import trust_all

__all__ = [
    "Compute",
    "DrilldownError",
    "Folders",
    "Lines",
    "Predictions",
    "Run",
    "Tracking",
    "Training",
    "TrainingDivergedError",
    "all_runs",
    "audit",
    "compare",
    "dataset",
    "export_run",
    "find_network",
    "find_run",
    "load",
    "perform",
    "plot",
    "read_picture",
    "teach",
    "trust_all",
    "write_report",
]
_HOMES = {
    "Compute": "settings:Compute",
    "DrilldownError": "errors:DrilldownError",
    "Folders": "settings:Folders",
    "Lines": "notebook.lines:Lines",
    "Predictions": "evaluation.predictions:Predictions",
    "Run": "runs.run:Run",
    "Tracking": "tracking.callback:Tracking",
    "Training": "training.training:Training",
    "TrainingDivergedError": "errors:TrainingDivergedError",
    "all_runs": "runs.finding:all_runs",
    "audit": "runs.audit:audit_run",
    "compare": "analysis.comparison:compare",
    "dataset": "data.loading:load_dataset",
    "export_run": "export.exporting:export_run",
    "find_network": "search.interface:find_network",
    "find_run": "runs.finding:find_run",
    "load": "experiment.loading:load_experiment",
    "perform": "runs.perform:perform",
    "plot": "notebook.plot",
    "read_picture": "data.pictures:read_picture",
    "teach": "runs.teach:teach",
    "trust_all": "trust:trust_all",
    "write_report": "report.run.writing:write_run_report",
}
"""Where each public name lives, as `module:name`; without a name, the module itself."""

_RENAMED = {"Answers": "Predictions", "TrainingDiverged": "TrainingDivergedError"}
"""Public names of version 0.1: users of the old name are told the new one."""

# Optuna installs tqdm, and PyTorch imports it. In a notebook without ipywidgets, tqdm warns about its own bars.
warnings.filterwarnings("ignore", message="IProgress not found")
if "IPython" in sys.modules:
    with contextlib.suppress(ImportError):  # an IPython without this hook completes more names than it should
        import_module("drilldown.notebook.completion")
shown.set_loader("text", lambda: import_module("drilldown.terminal.renderers"))
shown.set_loader("html", lambda: import_module("drilldown.notebook.html"))
chips.set_measure(lambda: import_module("drilldown.export.budget").measure_chip)


def __getattr__(name: str) -> object:
    """Imports a public name at its first use: PyTorch takes seconds, and `drilldown --help` needs none of it."""
    if name not in _HOMES:
        renamed = f"; it is now drilldown.{_RENAMED[name]}" if name in _RENAMED else ""
        raise AttributeError(f"module 'drilldown' has no attribute {name!r}{renamed}")
    module, _, attribute = _HOMES[name].partition(":")
    imported = import_module(f"drilldown.{module}")
    return getattr(imported, attribute) if attribute else imported


def __dir__() -> list[str]:
    """The public names alone: a notebook completes them."""
    return list(__all__)
