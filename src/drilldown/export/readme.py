"""Writes the README beside the exported files."""

from __future__ import annotations

from pathlib import Path

import jinja2

from drilldown.export.document import Export
from drilldown.runs.folder import EXPORT_DOCUMENT

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("drilldown.export", "templates"),
    undefined=jinja2.StrictUndefined,
    autoescape=False,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def write_readme(folder: Path, export: Export, teacher: str | None) -> None:
    """Writes `README.md`: how each file was judged, and how to use it.

    *Arguments*: `teacher`: the teacher of the run in words, or None.
    """
    names = {judged.format for judged in export.formats if judged.passed}
    text = _TEMPLATES.get_template("README.md.j2").render(
        export=export, names=names, document=EXPORT_DOCUMENT, teacher=teacher
    )
    (folder / "README.md").write_text(text, "utf-8")
