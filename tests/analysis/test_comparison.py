"""Comparisons of experiments and runs: their difference, its effect, and the command for missing seeds."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path

import pytest
from scipy import stats

from drilldown import Compute, Folders, load
from drilldown.analysis.comparison import compare
from drilldown.errors import DrilldownError
from drilldown.runs.perform import perform
from support.cli import drilldown
from support.study import write_study

SEEDS = 2


@pytest.fixture(scope="module")
def climb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study; two of its steps have two seeds each, the third has none."""
    folder = write_study(tmp_path_factory.mktemp("compared"))
    for step in ("01-plain", "02-norm"):
        for seed in range(SEEDS):
            perform(
                load(folder / f"{step}.toml"),
                seed=seed,
                folders=Folders(runs=folder.parent / "runs"),
                compute=Compute(engine="torch"),
            )
    return folder


def test_experiments_are_compared_over_the_seeds_that_both_have(climb: Path) -> None:
    runs_dir = climb.parent / "runs"
    perform(load(climb / "02-norm.toml"), seed=7, folders=Folders(runs=runs_dir), compute=Compute(engine="torch"))
    first, second = compare(str(climb / "01-plain.toml"), str(climb / "02-norm.toml"), runs_dir=runs_dir)
    assert (first.seeds.n, second.seeds.n) == (SEEDS, SEEDS + 1)
    assert second.against is not None
    assert second.against.components == ("batch norm",)
    effect = second.against.accuracy
    assert effect is not None
    assert effect.n == SEEDS
    values = [
        [run.summary.accuracy.mean_last for run in subject.seeds.finished if run.seed < SEEDS]
        for subject in (second, first)
    ]
    assert effect.mean == pytest.approx(statistics.fmean(values[0]) - statistics.fmean(values[1]))
    low, high = stats.ttest_rel(*values).confidence_interval(0.95)
    assert (effect.low, effect.high) == pytest.approx((low, high))


def test_runs_and_experiments_can_be_mixed(climb: Path) -> None:
    runs_dir = climb.parent / "runs"
    (run,) = runs_dir.glob("climb/01-plain-*/seed-1")
    single, all_seeds, experiment = compare(str(run), str(run.parent), str(climb / "03-wider.toml"), runs_dir=runs_dir)
    assert [finished.seed for finished in single.seeds.finished] == [1]
    assert all_seeds.seeds.n == SEEDS
    assert all_seeds.against is not None
    assert not all_seeds.against.difference
    assert all_seeds.against.accuracy is not None
    assert all_seeds.against.accuracy.mean == 0
    assert experiment.against is not None
    assert experiment.against.accuracy is None
    assert experiment.against.why_not == "no seed that both have finished"
    assert experiment.missing == f"drilldown run {climb / '03-wider.toml'} --seeds 5 --runs {runs_dir}"


def test_figures_on_different_images_are_not_subtracted(climb: Path) -> None:
    runs_dir = climb.parent / "runs"
    perform(
        load(climb / "01-plain.toml", ["recipe.holdout=20"]),
        folders=Folders(runs=runs_dir),
        compute=Compute(engine="torch"),
    )
    (run,) = (
        path for path in runs_dir.glob("climb/01-plain-*/seed-0") if "holdout" in (path / "experiment.toml").read_text()
    )
    _, held_out = compare(str(climb / "01-plain.toml"), str(run), runs_dir=runs_dir)
    assert held_out.against is not None
    assert held_out.against.accuracy is None
    assert held_out.against.why_not == "measured on different images (test, validation)"


def test_the_command_fits_80_columns(climb: Path) -> None:
    shown = drilldown("compare", "climb/01-plain.toml", "climb/02-norm.toml", "climb/03-wider.toml", cwd=climb.parent)
    assert shown.returncode == 0, shown.stderr
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "+ conv 3x3 2, bn, relu" in shown.stdout
    assert "B against A" in shown.stdout
    assert "C against A" in shown.stdout
    assert "recipe.batch_size" in shown.stdout
    assert "several components changed: layers, batch size, schedule" in shown.stdout
    assert "C has 0 seeds; for more: drilldown run climb/03-wider.toml --seeds 5" in shown.stderr
    assert "\x1b" not in shown.stdout + shown.stderr


def test_shipped_experiments_are_compared_without_any_run(tmp_path: Path) -> None:
    first, second = compare("eva5-s5/05", "eva5-s5/06", runs_dir=tmp_path)
    assert first.against is None
    assert second.against is not None
    assert second.against.components == ("dropout",)
    assert second.missing == f"drilldown run eva5-s5/06 --seeds 5 --runs {tmp_path}"


def test_runs_are_not_compared_with_themselves(climb: Path) -> None:
    runs_dir = climb.parent / "runs"
    (run,) = runs_dir.glob("climb/01-plain-*/seed-1")
    for reference in (str(climb / "01-plain.toml"), str(run), str(run.parent)):
        _, second = compare(reference, reference, runs_dir=runs_dir)
        assert second.against is not None
        assert not second.against.difference
        assert second.against.effect_lines == ("effect: unknown, both stand for the same runs",)


def test_the_command_for_an_interrupted_run_is_resume(climb: Path, tmp_path: Path) -> None:
    runs_dir = climb.parent / "runs"
    (run,) = runs_dir.glob("climb/01-plain-*/seed-1")
    shutil.copytree(run, tmp_path / "seed-1")
    (tmp_path / "seed-1" / "summary.json").unlink()
    _, second = compare(str(run), str(tmp_path / "seed-1"), runs_dir=runs_dir)
    assert second.missing == f"drilldown resume {tmp_path / 'seed-1'}"


def test_a_narrow_terminal_omits_a_column_and_truncates_none(climb: Path) -> None:
    shown = drilldown("compare", "climb/01-plain.toml", "climb/02-norm.toml", cwd=climb.parent, COLUMNS="60")
    assert max(map(len, shown.stdout.splitlines())) <= 60
    assert "…" not in shown.stdout
    assert "last epochs %" in shown.stdout
    assert "multiply-adds" not in shown.stdout


@pytest.mark.parametrize("references", [["under-8k"], ["under-8k", "absent"], ["under-8k", "last"]])
def test_references_that_cannot_be_compared_are_refused(references: list[str], tmp_path: Path) -> None:
    with pytest.raises(DrilldownError):
        compare(*references, runs_dir=tmp_path)
