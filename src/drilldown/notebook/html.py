"""Shows objects in a notebook as HTML; text from files is escaped.

`shown` imports this module when a notebook first shows an object, so it is not loaded anywhere else.
"""

from __future__ import annotations

from typing import Any

import jinja2

from drilldown import shown
from drilldown.analysis.comparison import Comparison
from drilldown.data.dataset import Dataset, image_size
from drilldown.evaluation.predictions import Predictions
from drilldown.evaluation.verdict import Verdict
from drilldown.experiment.experiment import Experiment
from drilldown.report.prose import prose_html
from drilldown.runs.folder import FINISHED
from drilldown.runs.run import Run
from drilldown.search.interface import SearchResult
from drilldown.terminal.comparisons import COMPARISON_COLUMNS, comparison_cells
from drilldown.terminal.tables import against_limit, epoch_cells, layer_rows, result_lines
from drilldown.training.training import Training
from drilldown.wording import count_text

MAX_CONFUSIONS = 5
"""The number of confusions below the predictions."""
_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("drilldown.report", "templates"),
    undefined=jinja2.StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)

_TEMPLATES.filters["prose"] = prose_html
_TEMPLATES.globals["image_size"] = image_size


def sign(met: bool) -> str:
    """✓ or ✗."""
    return "✓" if met else "✗"


@shown.html.register
def _experiment(experiment: Experiment) -> str:
    """Title, target, the author's analysis and layer table; the experiment file is folded.

    >>> "7,662 parameters ✓ 338 below the budget of 8,000" in _experiment(drilldown.load("under-8k"))
    True
    """
    summary = experiment.model_summary
    limit = against_limit(experiment, sign)
    return _render("experiment", experiment, model_summary=summary, rows=layer_rows(summary), limit=limit)


@shown.html.register
def _dataset(dataset: Dataset) -> str:
    """Its statistics, one column per class."""
    counts = [split.labels.bincount(minlength=dataset.classes).tolist() for split in (dataset.train, dataset.test)]
    rows = [
        [name, f"{len(split):,}", *(f"{count:,}" for count in row)]
        for name, split, row in zip(("training", "test"), (dataset.train, dataset.test), counts, strict=True)
    ]
    return _render(
        "dataset",
        dataset,
        heads=["images", "all", *dataset.names],
        rows=rows,
    )


@shown.html.register
def _verdict(verdict: Verdict) -> str:
    """The budget, line by line, with ✓ and ✗."""
    return _render("verdict_table", verdict)


@shown.html.register
def _training(training: Training) -> str:
    """The finished epochs."""
    rows = [epoch_cells(epoch) for epoch in training.epochs]
    return _render("training", training, split="val" if training.held_out else "test", rows=rows)


@shown.html.register
def _run(run: Run) -> str:
    """The verdict of a finished run; the number of finished epochs of any other run."""
    status, verdict = run.status, None
    if status == FINISHED:
        finished = run.read()
        verdict, sentences = finished.verdict, result_lines(finished)
    else:
        sentences = [f"{count_text(len(run.epochs), 'epoch')} finished"]
    return _render("run", run, title=run.experiment.title, status=status, verdict=verdict, sentences=sentences)


@shown.html.register
def _predictions(predictions: Predictions) -> str:
    """The counts, and the most frequent confusions."""
    return _render("predictions", tally=predictions.tally, confusions=predictions.confusions[:MAX_CONFUSIONS])


@shown.html.register
def _comparison(comparison: Comparison) -> str:
    """The subjects line by line, then the difference of each from the first, with its effect."""
    rows = [
        [subject.letter, f"{subject.experiment.title} · {subject.reference}", *comparison_cells(subject, sign)]
        for subject in comparison
    ]
    others = [
        (subject, subject.against, [(c.name, c.before, c.after) for c in subject.against.difference.settings])
        for subject in comparison
        if subject.against
    ]
    teachers = [f"{subject.letter} {subject.seeds.teacher}" for subject in comparison if subject.seeds.teacher]
    return _render("comparison", heads=["", "", *COMPARISON_COLUMNS], rows=rows, teachers=teachers, others=others)


@shown.html.register
def _search_result(result: SearchResult) -> str:
    """The answer, and the candidates of the front."""
    rows = [
        [str(candidate.number), f"{candidate.parameters:,}", str(len(candidate.losses)), f"{loss:.4f}"]
        for candidate in result.front
        if (loss := result.state.race.mean_loss(candidate.number)) is not None
    ]
    heads = ["candidate", "parameters", "seeds", "loss"]
    return _render("search_result", result, str(result), heads=heads, rows=rows)


def _render(macro: str, *arguments: Any, **named: Any) -> str:
    """The HTML that a macro of the template returns."""
    return str(getattr(_TEMPLATES.get_template("notebook.html.j2").module, macro)(*arguments, **named)).strip()
