"""The text that `print` shows for the classes that inherit `Shown`; `drilldown/__init__.py` loads this module."""

from __future__ import annotations

from drilldown import shown
from drilldown.analysis.comparison import Comparison
from drilldown.data.dataset import Dataset
from drilldown.evaluation.verdict import Verdict
from drilldown.experiment.experiment import Experiment
from drilldown.runs.run import Run
from drilldown.search.interface import SearchResult
from drilldown.terminal.comparisons import print_comparison
from drilldown.terminal.console import as_text
from drilldown.terminal.search import print_search
from drilldown.terminal.tables import print_dataset, print_model_summary, print_result, print_verdict
from drilldown.wording import count_text


@shown.text.register
def _comparison(comparison: Comparison) -> str:
    return as_text(print_comparison, comparison)


@shown.text.register
def _dataset(dataset: Dataset) -> str:
    return as_text(print_dataset, dataset)


@shown.text.register
def _experiment(experiment: Experiment) -> str:
    return as_text(print_model_summary, experiment)


@shown.text.register
def _run(run: Run) -> str:
    if run.verdict is None:
        return f"{run.name}, seed {run.seed}: {run.status}, {count_text(len(run.epochs), 'epoch')} finished\n{run.path}"
    return as_text(print_result, run)


@shown.text.register
def _search_result(result: SearchResult) -> str:
    return as_text(print_search, result.search, result.state)


@shown.text.register
def _verdict(verdict: Verdict) -> str:
    return as_text(print_verdict, verdict)
