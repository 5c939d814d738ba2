"""How objects look in a notebook, as HTML in which text from files stays text.

The objects call this from `_repr_html_`, so that outside of notebooks nothing of it is loaded.
"""

from __future__ import annotations

from typing import Any

import jinja2

from drilldown import shown
from drilldown.analysis.comparison import Comparison
from drilldown.data.dataset import Dataset
from drilldown.evaluation.predictions import Predictions
from drilldown.evaluation.verdict import Verdict
from drilldown.experiment.experiment import Experiment
from drilldown.runs.folder import FINISHED
from drilldown.runs.run import Run
from drilldown.terminal.comparisons import COMPARED, comparison_cells
from drilldown.terminal.tables import against_limit, epoch_cells, layer_rows, result_lines
from drilldown.training.training import Training
from drilldown.wording import count_text

MOST_CONFUSIONS = 5
_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("drilldown.report", "templates"),
    undefined=jinja2.StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


def sign(met: bool) -> str:
    """✓ or ✗: a page can show both."""
    return "✓" if met else "✗"


@shown.html.register
def _experiment(it: Experiment) -> str:
    """Title, target and layer table, and the whole file folded away.

    >>> "7,662 parameters ✓ 338 below the budget of 8,000" in _experiment(drilldown.load("under-8k"))
    True
    """
    table = it.model_summary
    return _macro("experiment", it, model_summary=table, rows=layer_rows(table), judged=against_limit(it, sign))


@shown.html.register
def _dataset(it: Dataset) -> str:
    """Its statistics, a class a column."""
    counts = [split.labels.bincount(minlength=it.classes).tolist() for split in (it.train, it.test)]
    rows = [
        [name, f"{len(split):,}", *(f"{count:,}" for count in row)]
        for name, split, row in zip(("training", "test"), (it.train, it.test), counts, strict=True)
    ]
    return _macro("dataset", it, heads=["images", "all", *map(str, range(it.classes))], rows=rows)


@shown.html.register
def _verdict(it: Verdict) -> str:
    """The budget, line by line, with ✓ and ✗."""
    return _macro("verdict", it)


@shown.html.register
def _training(it: Training) -> str:
    """The epochs that are done."""
    rows = [epoch_cells(epoch) for epoch in it.epochs]
    return _macro("training", it, part="val" if it.held_out else "test", rows=rows)


@shown.html.register
def _run(it: Run) -> str:
    """Its verdict once it is finished; before that, how far it is."""
    status, verdict = it.status, None
    if status == FINISHED:
        finished = it.read()
        verdict, sentences = finished.verdict, result_lines(finished)
    else:
        sentences = [f"{count_text(len(it.epochs), 'epoch')} finished"]
    return _macro("run", it, title=it.experiment.title, status=status, found=verdict, sentences=sentences)


@shown.html.register
def _answers(it: Predictions) -> str:
    """What was right, and the commonest confusions."""
    return _macro("answers", it, tally=it.tally, confusions=it.confusions[:MOST_CONFUSIONS])


@shown.html.register
def _comparison(it: Comparison) -> str:
    """Subjects line by line, then what each changed from the first and what that was worth."""
    rows = [
        [subject.letter, f"{subject.experiment.title} · {subject.reference}", *comparison_cells(subject, sign)]
        for subject in it
    ]
    others = [
        (subject, subject.against, [(c.name, c.before, c.after) for c in subject.against.difference.settings])
        for subject in it
        if subject.against
    ]
    return _macro("comparison", heads=["", "", *COMPARED], rows=rows, others=others)


def _macro(name: str, *arguments: Any, **named: Any) -> str:
    """What a macro of the template makes of its arguments."""
    return str(getattr(_TEMPLATES.get_template("notebook.html.j2").module, name)(*arguments, **named)).strip()
