"""The tables that `drilldown audit` prints."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from drilldown.analysis.audits import AuditedSeeds
from drilldown.evaluation.records import Tally
from drilldown.runs.audit import WARNING, Audit
from drilldown.terminal.console import make_table
from drilldown.wording import difference_text, heading


def print_audit(target: Console, audit: Audit) -> None:
    """Prints the audit of a run in sentences, and its accuracy by class."""
    target.print(Text(heading(f"Audit of seed {audit.seed}", audit.experiment), style="bold"))
    sentences = Table.grid(padding=(0, 1))
    for sentence in audit.sentences:
        sentences.add_row("-", sentence)
    target.print(sentences)
    table = make_table([], ["class", "audit correct", "of", "audit %", "test %"])
    for number, of_class in enumerate(audit.classes):
        table.add_row(
            str(number), f"{of_class.audit_correct:,}", f"{of_class.audit_total:,}",
            _percent(of_class.audit_correct, of_class.audit_total),
            _percent(of_class.test_correct, of_class.test_total),
        )  # fmt: skip
    target.print(table)
    target.print(WARNING)


def print_audited_seeds(target: Console, seeds: AuditedSeeds) -> None:
    """Prints the audits of an experiment seed by seed, and the difference over seeds."""
    target.print(Text(heading("Audit", seeds.audits[0].experiment), style="bold"))
    table = make_table([], ["seed", "audit correct", "audit %", "test %", "difference", "95 % interval"])
    for audit in seeds.audits:
        ends = audit.difference_interval
        table.add_row(
            str(audit.seed), f"{audit.audit.correct:,}", _tally(audit.audit), _tally(audit.test),
            difference_text(audit.difference, 2), f"{ends.low:+.2f} to {ends.high:+.2f}" if ends else "-",
        )  # fmt: skip
    target.print(table)
    writers = seeds.audits[0].difference_interval
    if writers is not None:
        target.print(f"95 % interval of a seed's difference: {writers.method}")
    target.print(f"audit %: {seeds.audit}")
    target.print(f"test %: {seeds.test}")
    target.print(f"audit minus test, paired by seed: {seeds.difference.text(3)} points")
    target.print(WARNING)


def _tally(tally: Tally) -> str:
    return _percent(tally.correct, tally.total)


def _percent(correct: int, total: int) -> str:
    return f"{100 * correct / total:.2f}" if total else "-"
