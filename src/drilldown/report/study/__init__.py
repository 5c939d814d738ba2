"""The report on a study: what each step came to over its seeds, and what it was worth."""

from drilldown.report.study.evidence import Step, StudyEvidence, gather, is_folder_of_runs
from drilldown.report.study.writing import write

__all__ = ["Step", "StudyEvidence", "gather", "is_folder_of_runs", "write"]
