"""How objects look in a notebook, as HTML in which text from files stays text.

The objects call this from `_repr_html_`, so that outside of notebooks nothing of it is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2

from drilldown import display, screens

if TYPE_CHECKING:
    from drilldown.answers import Answers
    from drilldown.comparison import Comparison
    from drilldown.data import Dataset
    from drilldown.experiment import Experiment
    from drilldown.runs import Run
    from drilldown.train import Training
    from drilldown.verdict import Verdict

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


def experiment(it: Experiment) -> str:
    """Title, target and layer table, and the whole file folded away.

    >>> "7,662 parameters ✓ 338 below the budget of 8,000" in experiment(drilldown.load("under-8k"))
    True
    """
    anatomy = it.anatomy
    return _macro(
        "experiment", it, anatomy=anatomy, rows=display.layer_rows(anatomy), judged=display.against_limit(it, sign)
    )


def dataset(it: Dataset) -> str:
    """Its statistics, a class a column."""
    counts = [split.labels.bincount(minlength=it.classes).tolist() for split in (it.train, it.test)]
    rows = [
        [name, f"{len(split):,}", *(f"{count:,}" for count in row)]
        for name, split, row in zip(("training", "test"), (it.train, it.test), counts, strict=True)
    ]
    return _macro("dataset", it, heads=["images", "all", *map(str, range(it.classes))], rows=rows)


def verdict(it: Verdict) -> str:
    """The budget, line by line, with ✓ and ✗."""
    return _macro("verdict", it)


def training(it: Training) -> str:
    """The epochs that are done."""
    rows = [display.epoch_cells(epoch) for epoch in it.epochs]
    return _macro("training", it, part="val" if it.held_out else "test", rows=rows)


def run(it: Run) -> str:
    """Its verdict once it is finished; before that, how far it is."""
    found = it.verdict
    if found is None:
        done = len(it.epochs)
        sentences = [f"{done} {'epoch' if done == 1 else 'epochs'} done"]
    else:
        sentences = display.result_lines(it)
    return _macro("run", it, title=it.experiment.title, status=it.status, found=found, sentences=sentences)


def answers(it: Answers) -> str:
    """What was right, and the commonest confusions."""
    return _macro("answers", it, tally=it.tally, confusions=it.confusions[:MOST_CONFUSIONS])


def comparison(it: Comparison) -> str:
    """Subjects line by line, then what each changed from the first and what that was worth."""
    rows = [
        [subject.letter, f"{subject.experiment.title} · {subject.reference}", *screens.comparison_cells(subject, sign)]
        for subject in it
    ]
    others = [
        (subject, subject.against, [(c.name, c.before, c.after) for c in subject.against.difference.settings])
        for subject in it
        if subject.against
    ]
    return _macro("comparison", heads=["", "", *screens.COMPARED], rows=rows, others=others)


def _macro(name: str, *arguments: Any, **named: Any) -> str:
    """What a macro of the template makes of its arguments."""
    return str(getattr(_TEMPLATES.get_template("notebook.html.j2").module, name)(*arguments, **named)).strip()
