"""Reports: what a run folder and the dataset say, written down for people."""

from drilldown.report.markdown import write

__all__ = ["write"]
