"""The charts of a study hold the means and intervals of its runs."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest

from drilldown.analysis.study import StudyEvidence
from drilldown.report.study.charts import MAX_REACH, accuracy_chart, effect_whiskers, study_charts


def test_lines_are_means_and_bands_reach_from_the_worst_seed_to_the_best(evidence: StudyEvidence) -> None:
    chart, loss, _ = study_charts(evidence)
    for step, line, losses in zip(evidence.steps, chart.series, loss.series, strict=True):
        for index, (low, high) in enumerate(line.ranges):
            seeds = [float(run.epochs[index].test.accuracy) for run in step.seeds.finished]
            assert (low, high) == (min(seeds), max(seeds))
            assert line.y[index] == pytest.approx(fmean(seeds))
            assert line.text[index] == f"{fmean(seeds):.2f} %"
            assert losses.y[index] == pytest.approx(fmean(run.epochs[index].test.loss for run in step.seeds.finished))
    assert len({line.style for line in chart.series}) == len(evidence.steps)


def test_dots_are_means_with_intervals_above_the_parameters(evidence: StudyEvidence) -> None:
    _, _, chart = study_charts(evidence)
    for step, dot in zip(evidence.steps, chart.series, strict=True):
        accuracy = step.seeds.accuracy
        assert accuracy is not None
        assert dot.x[0] == step.experiment.model_summary.parameters
        assert dot.y[0] == pytest.approx(accuracy.mean)
        assert dot.ranges[0] == pytest.approx(accuracy.ends)
        assert 0 < chart.x.share(dot.x[0]) < 1
    assert [text for _, text in chart.limits] == ["≤ 1,000"]


def test_a_line_that_ends_early_has_dashes(evidence: StudyEvidence) -> None:
    seeds = evidence.steps[0].seeds
    short = replace(seeds, finished=tuple(replace(run, epochs=run.epochs[:-1]) for run in seeds.finished))
    line, other = accuracy_chart([("short", short), ("long", seeds)]).series
    assert len(line.x) == len(other.x) - 1
    assert line.text[-1] == "–"
    assert len(line.text) == len(other.text)


def test_whiskers_have_the_scale_of_their_intervals(evidence: StudyEvidence) -> None:
    effects = [step.change.accuracy for step in evidence.steps if step.change]
    for effect, whisker in zip(effects, effect_whiskers(effects), strict=True):
        assert effect is not None
        assert whisker is not None
        scale = (whisker.high - whisker.low) / (effect.high - effect.low)
        assert whisker.mean - whisker.zero == pytest.approx(scale * effect.mean, abs=0.02)
        assert whisker.low - whisker.zero == pytest.approx(scale * effect.low, abs=0.02)


def test_an_effect_far_beyond_the_others_does_not_set_the_scale(evidence: StudyEvidence) -> None:
    effect = next(step.change.accuracy for step in evidence.steps if step.change)
    assert effect is not None
    small = replace(effect, low=-1.0, mean=0.0, high=1.0)
    large = replace(effect, low=-3.0 * MAX_REACH, mean=-2.0 * MAX_REACH, high=0.0)
    near, _, far = effect_whiskers([small, small, large])
    assert near is not None
    assert far is not None
    assert (near.low, near.high) == (4.0, 96.0)
    assert far.low < far.mean < 0
