"""The figures of a study's report, as PNG files."""

from __future__ import annotations

from drilldown.analysis.study import StudyEvidence
from drilldown.report.matplotlib_charts import draw_named_chart
from drilldown.report.pictures import figure_png
from drilldown.report.study.charts import study_charts


def study_figures(evidence: StudyEvidence) -> dict[str, bytes]:
    """All figures by file name, as PNG."""
    accuracy, _, parameters = study_charts(evidence)
    return {
        "curves.png": figure_png(draw_named_chart(accuracy, height=5.2)),
        "parameters.png": figure_png(draw_named_chart(parameters, height=4.6)),
    }
