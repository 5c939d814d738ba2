"""The figure of a learning-rate range test."""

from __future__ import annotations

from matplotlib.figure import Figure

from drilldown.report.axes import MARGIN, Axis
from drilldown.report.matplotlib_charts import COLOURS, GREY, set_axis
from drilldown.report.run.charts import MIN_LOSS
from drilldown.training.lr_range import LrRange


def draw_lr_range(found: LrRange) -> Figure:
    """The loss of each step and the smoothed loss by learning rate, with the lowest point and the suggestion.

    *Arguments*: `found`: a result with at least one step.
    """
    lrs = [step.lr for step in found.steps]
    losses = [max(MIN_LOSS, step.loss) for step in found.steps]
    smoothed = [max(MIN_LOSS, step.smoothed) for step in found.steps]
    lowest, suggestion = found.lowest, found.suggestion
    assert lowest is not None
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.25)
    set_axis(axes, Axis.log("learning rate", lrs[0] / MARGIN, lrs[-1] * MARGIN), "x")
    set_axis(axes, Axis.log("loss", min(losses) / MARGIN, max(smoothed) * 2), "y")
    axes.plot(lrs, losses, color=GREY, lw=0.6, alpha=0.7, label="loss of each step")
    axes.plot(lrs, smoothed, color=COLOURS[1], lw=2, label="smoothed loss")
    axes.axvline(lowest.lr, color=GREY, lw=1, ls=":", label=f"lowest smoothed loss: {lowest.lr:.2g}")
    if suggestion is not None:
        axes.axvline(suggestion, color=COLOURS[0], lw=1.5, ls="--", label=f"suggestion: {suggestion:g}")
    axes.set(xlabel="learning rate, log scale", ylabel="training loss, log scale")
    axes.set_title(f"{found.experiment.title}: learning-rate range test, seed {found.seed}", fontsize=10, wrap=True)
    axes.legend(fontsize=8)
    return figure
