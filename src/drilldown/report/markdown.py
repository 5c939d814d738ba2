"""The Markdown report: `report.md` beside the run's files, with its figures as PNG."""

from __future__ import annotations

from pathlib import Path

import jinja2

from drilldown import difference
from drilldown.report import analysis, figures
from drilldown.report.evidence import Evidence, gather
from drilldown.runs import Run, unwritable_as_error, write_whole
from drilldown.verdict import meets

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("drilldown.report", "templates"),
    undefined=jinja2.StrictUndefined,
    autoescape=False,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def write(run: Run, data_folder: Path | None = None) -> Path:
    """Writes `report.md` and its figures into the run's folder and returns its path.

    *Raises* DrilldownError where the run is not finished or the folder cannot be written.
    """
    evidence = gather(run, data_folder)
    with unwritable_as_error(run.path):
        folder = run.path / "figures"
        folder.mkdir(exist_ok=True)
        for name, content in figures.of_run(evidence).items():
            write_whole(folder / name, content)
        write_whole(run.path / "report.md", render(evidence).encode())
    return run.path / "report.md"


def render(evidence: Evidence) -> str:
    """The report's text."""
    experiment, bar = evidence.experiment, evidence.experiment.budget.accuracy
    changed = difference.between(experiment.parent, experiment) if experiment.parent else None
    return _TEMPLATES.get_template("run.md.j2").render(
        evidence=evidence,
        experiment=experiment,
        anatomy=experiment.anatomy,
        changed=changed,
        met=[bar is not None and meets(epoch, bar) for epoch in evidence.epochs],
        sentences=analysis.sentences(evidence),
        part="validation" if evidence.verdict.split == "validation" else "test",
        toml=experiment.to_toml().strip(),
    )


def text(value: object) -> str:
    """Text from a file as Markdown that means just itself: no tables, HTML, links or line breaks of its own.

    >>> text("a|b <script>")
    'a\\\\|b &lt;script&gt;'
    """
    escaped = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "\\`*_{}[]#|!~" else c for c in escaped)


_TEMPLATES.filters["text"] = text
