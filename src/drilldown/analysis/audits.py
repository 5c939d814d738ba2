"""The audits of all finished runs of one experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drilldown.data.download import OnDownload
from drilldown.evaluation.effects import Effect, paired_effect
from drilldown.evaluation.intervals import Spread, measure_spread
from drilldown.runs.audit import Audit, audit_run
from drilldown.runs.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedSeeds:
    """The audits of one experiment, over seeds."""

    audits: tuple[Audit, ...]
    """Ordered by seed."""
    audit: Spread
    """The accuracy on the audit set in percent."""
    test: Spread
    """The accuracy on the test images in percent, of the same models."""
    difference: Effect
    """Audit minus test in points, paired by seed."""


def audit_seeds(
    runs: Sequence[Run], data_dir: Path | str | None = None, *, on_download: OnDownload | None = None
) -> AuditedSeeds:
    """Audits the finished runs of an experiment, at least one; the other arguments are those of `audit_run`."""
    audits = sorted((audit_run(run, data_dir, on_download=on_download) for run in runs), key=lambda audit: audit.seed)
    after = {audit.seed: float(audit.audit.accuracy) for audit in audits}
    before = {audit.seed: float(audit.test.accuracy) for audit in audits}
    difference = paired_effect(before, after)
    assert difference is not None
    return AuditedSeeds(
        audits=tuple(audits),
        audit=measure_spread([*after.values()]),
        test=measure_spread([*before.values()]),
        difference=difference,
    )
