"""Reports: what a run folder and the dataset say, written down for people."""

from drilldown.report.writing import Report, write

__all__ = ["Report", "write"]
