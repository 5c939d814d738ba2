"""One chart, two drawers: SVG and matplotlib put every point in the same place of their frames."""

from __future__ import annotations

from dataclasses import replace

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from drilldown.report.axes import Axis
from drilldown.report.chart import MAX_MARKERS, STYLES, Chart, Held, Series, step_style
from drilldown.report.matplotlib_charts import STYLE_OF, draw_charts, draw_named_chart
from drilldown.report.svg import Drawing


def line(style: str, values: tuple[float, ...]) -> Series:
    numbers = tuple(range(1, len(values) + 1))
    ranges = tuple((value - 0.01, value + 0.01) for value in values)
    return Series(name=style, style=style, x=numbers, y=values, text=tuple(map(str, values)), ranges=ranges)


ACCURACIES, LOSSES = (97.0, 99.0, 99.4), (0.5, 0.2, 0.1)
CHARTS = {
    "linear": Chart(
        name="a", title="A", description="A.", x=Axis.epochs(3), y=Axis.linear("a", 96, 100.1),
        series=(line("train", ACCURACIES), line("test", ACCURACIES)), bars=((99.4, "bar 99.4 %"),),
        held=Held(first=1.5, last=3.5, label="last 2"),
    ),
    "log": Chart(
        name="b", title="B", description="B.", x=Axis.epochs(3), y=Axis.log("b", 0.05, 1),
        series=(line("test", LOSSES),),
    ),
    "accuracy": Chart(
        name="c", title="C", description="C.", x=Axis.epochs(3), y=Axis.accuracy("c", (96.9, 99.5)),
        series=(line("step-0", ACCURACIES), line("step-1", ACCURACIES[:2])),
    ),
}  # fmt: skip


def share_in_frame(axes: Axes, x: float, y: float) -> tuple[float, float]:
    across, up = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))
    return float(across), float(up)


@pytest.mark.parametrize("name", CHARTS)
def test_both_drawers_agree_on_every_point_and_tick(name: str) -> None:
    chart = CHARTS[name]
    drawing, axes = Drawing(chart), draw_charts([chart]).axes[0]
    left, top, right, bottom = drawing.frame
    for series in chart.series:
        for (x, y), (across, down) in zip(
            zip(series.x, series.y, strict=True), drawing.points(series), strict=True
        ):  # fmt: skip
            expected = (across - left) / (right - left), (bottom - down) / (bottom - top)
            assert share_in_frame(axes, x, y) == pytest.approx(expected, abs=0.001)
    assert [text.get_text() for text in axes.get_yticklabels()] == [text for _, text in chart.y.ticks]
    assert [text.get_text() for text in axes.get_xticklabels()] == [text for _, text in chart.x.ticks]


def test_bars_and_held_epochs_are_labelled() -> None:
    texts = {text.get_text() for text in draw_charts([CHARTS["linear"]]).axes[0].texts}
    assert {"bar 99.4 %", "last 2"} <= texts


def test_a_named_chart_has_each_name_with_its_last_value() -> None:
    axes = draw_named_chart(CHARTS["accuracy"], height=4).axes[0]
    assert {"step-0  99.4", "step-1  99.0"} <= {text.get_text() for text in axes.texts}
    assert axes.get_ylabel() == "c"


def test_styles_differ_in_more_than_colour() -> None:
    looks = [STYLE_OF[step_style(index)] for index in range(STYLES)]
    assert len({marker for _, marker, _ in looks}) == STYLES
    assert step_style(STYLES) == step_style(0)
    axes = draw_charts([CHARTS["linear"]]).axes[0]
    train, test = axes.lines[1:3]
    assert to_hex(train.get_color()) != to_hex(test.get_color())
    assert train.get_linestyle() != test.get_linestyle()
    assert train.get_marker() != test.get_marker()


def test_long_lines_have_no_markers() -> None:
    values = tuple(0.5 for _ in range(MAX_MARKERS + 1))
    chart = Chart(
        name="d", title="D", description="D.", x=Axis.epochs(len(values)), y=Axis.linear("d", 0, 1),
        series=(line("test", values),),
    )  # fmt: skip
    assert not chart.has_markers
    assert draw_charts([chart]).axes[0].lines[0].get_marker() == ""
    assert CHARTS["log"].has_markers


CLIPPED = Chart(
    name="e", title="E", description="E.", x=Axis.epochs(4), y=Axis.linear("e", 96, 100),
    series=(line("train", (50.0, 90.0, 99.0, 99.5)), line("test", (95.0, 99.0, 99.1, 101.0))),
)  # fmt: skip


def test_points_outside_the_axis_are_marked_and_counted_by_both_drawers() -> None:
    assert [(point.style, point.x, point.above) for point in CLIPPED.outside] == [
        ("train", 1, False), ("train", 2, False), ("test", 1, False), ("test", 4, True),
    ]  # fmt: skip
    note = "▼ 3 points below the axis, in epochs 1 to 2; ▲ 1 point above the axis, in epoch 4"
    assert CLIPPED.outside_text.startswith(note)
    drawing, axes = Drawing(CLIPPED), draw_charts([CLIPPED]).axes[0]
    _, top, _, bottom = drawing.frame
    assert [x for _, x, _, _ in drawing.outside] == [drawing.x(point.x) for point in CLIPPED.outside]
    assert all(top < y < bottom for _, _, y, _ in drawing.outside)
    assert axes.get_xlabel().startswith(f"epoch\n{note}")
    assert [drawn.get_marker() for drawn in axes.lines[-4:]] == ["v", "v", "v", "^"]


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_that_shows_everything_has_no_note(name: str) -> None:
    assert CHARTS[name].outside == []
    assert CHARTS[name].outside_text == ""
    assert "\n" not in draw_charts([CHARTS[name]]).axes[0].get_xlabel()


def test_a_band_that_leaves_the_axis_is_named() -> None:
    series = line("step-0", (99.0,))
    wide = replace(series, ranges=((10.0, 99.5),))
    chart = replace(CLIPPED, series=(wide,))
    assert chart.outside_text == "a band continues outside the axis"
