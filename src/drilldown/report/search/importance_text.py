"""The explanation of the importance of dimensions: what it says, and what it does not say."""

from __future__ import annotations

from drilldown.report.search.evidence import SearchEvidence
from drilldown.search.importance import GOOD_SHARE, LEAST_CANDIDATES


def importance_caveat(evidence: SearchEvidence) -> str:
    """The explanation below the table; or the reason why there is none."""
    count = len(evidence.told)
    if evidence.importance is None:
        if count < LEAST_CANDIDATES:
            return f"Importance needs {LEAST_CANDIDATES} candidates with results; there are {count}."
        return "The candidates do not differ enough for importances."
    good = max(1, round(GOOD_SHARE * count))
    return (
        f"This compares the values of the best {good} candidates with those of all {count}, one dimension at a time "
        "(PED-ANOVA). A large share says: good candidates have other values here than most candidates. It does not say "
        "in which direction, not that a change of this dimension improves a network, and nothing about dimensions that "
        f"act together. With {count} candidates, many of them on few seeds, the shares are rough. `drilldown ablate` "
        "measures the effect of a component."
    )
