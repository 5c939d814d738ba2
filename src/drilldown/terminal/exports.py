"""The table that `drilldown export` prints."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from drilldown.export.document import Export
from drilldown.terminal.console import make_table
from drilldown.wording import heading


def print_export(target: Console, export: Export) -> None:
    """Prints how each file was judged, and what is missing."""
    target.print(Text(heading(f"Export of seed {export.seed}", export.experiment), style="bold"))
    table = make_table(["format", "files"], ["correct", "of", "flipped", "constants", "RAM"])
    for judged in export.formats:
        table.add_row(
            judged.format, ", ".join(judged.files) or "not published", f"{judged.correct:,}", f"{judged.total:,}",
            f"{len(judged.flipped):,}", _bytes(judged.constants), _bytes(judged.ram),
        )  # fmt: skip
    target.print(table)
    for judged in export.formats:
        target.print(Text(f"{judged.format}: {judged.sentence}"))
    for name, reason in export.refused.items():
        target.print(Text(f"{name}: not exported: {reason}"))
    if export.targets:
        _print_targets(target, export)


def _print_targets(target: Console, export: Export) -> None:
    """Prints the figures of the int8 code on each processor."""
    target.print(Text("The int8 code on processors: bytes, and instructions for an image", style="bold"))
    for figures in export.tables:
        table = make_table(figures.head[:1], figures.head[1:])
        for row in figures.rows:
            table.add_row(*row)
        target.print(table)
    for remark in export.remarks:
        target.print(Text(remark))


def _bytes(number: int | None) -> str:
    return "-" if number is None else f"{number:,} B"
