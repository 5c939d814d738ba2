"""Reports: complete, escaped, and every sentence of the analysis with the number it rests on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from support.cli import world
from drilldown import load
from drilldown.errors import DrilldownError
from drilldown.experiment.difference import find_difference
from drilldown.report.run.analysis import run_sentences
from drilldown.report.run.evidence import gather_run
from drilldown.report.run.markdown import run_markdown
from drilldown.report.run.writing import write_run_report
from drilldown.runs.perform import perform
from drilldown.runs.run import Run

HOSTILE = 'Wide|er <script>alert(1)</script> [x](http://a) `code` # "quoted"'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of an experiment that extends another, with a title that wants to be more than text."""
    folder = tmp_path_factory.mktemp("reported")
    world(folder, epochs=7, accuracy=50.0)
    quoted = HOSTILE.replace('"', '\\"')
    (folder / "wider.toml").write_text(
        f'extends = "tiny.toml"\ntitle = "{quoted}"\ntarget = "{quoted}"\n'
        '[network]\nlayers = ["conv 3x3 6, bn, relu, dropout 0.1", "maxpool 4", "gap", "linear 10"]\n'
        "[recipe]\nbatch_size = 16\n[reported]\ntest = 99.46\n"
    )
    return perform(load(folder / "wider.toml"), runs=folder / "runs")


@pytest.fixture(scope="module")
def page(run: Run) -> str:
    return write_run_report(run).markdown.read_text("utf-8")


def test_every_figure_that_the_report_shows_is_there(run: Run, page: str) -> None:
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)
    assert {"figures/curves.png", "figures/samples.png", "figures/confusion.png", "figures/mistakes.png"} == set(shown)
    for name in shown:
        with Image.open(run.path / name) as image:
            assert min(image.size) > 100


def test_the_report_says_what_is_promised(run: Run, page: str) -> None:
    for heading in ("Target", "Analysis", "What changed from", "Curves", "Network", "What training sees", "Mistakes"):
        assert f"## {heading}" in page
    assert "| `recipe.batch_size` | 32 | 16 |" in page
    assert "+ conv 3x3 6, bn, relu, dropout 0.1" in page
    assert "- conv 3x3 4, bn, relu, dropout 0.1" in page
    for epoch in run.epochs:
        assert f"| {epoch.epoch} |" in page
    assert "clean train accuracy" in page.lower()
    assert "99.46" in page


def test_text_from_files_stays_text(page: str) -> None:
    assert "<script>" not in page.split("## To repeat it")[0]
    assert re.search(r"(?<!\\)\]\(http", page.split("## To repeat it")[0]) is None
    title = page.splitlines()[0]
    assert re.search(r"(?<!\\)\|", title) is None


def test_each_sentence_of_the_analysis_carries_a_number(run: Run) -> None:
    sentences = run_sentences(gather_run(run))
    assert len(sentences) >= 7
    for sentence in sentences:
        assert re.search(r"\d", sentence), sentence


def test_mistakes_and_confusion_count_the_same_images(run: Run) -> None:
    gathered = gather_run(run)
    right = int(gathered.confusion.diagonal().sum())
    assert int(gathered.confusion.sum()) == len(gathered.dataset.test)
    assert len(gathered.misclassified) == len(gathered.dataset.test) - right
    assert right == run.epochs[-1].test.correct
    for mistake in gathered.misclassified:
        assert int(gathered.dataset.test.labels[mistake.index]) == mistake.truth != mistake.predicted
        assert 0.1 < mistake.confidence <= 1
    assert list(gathered.misclassified) == sorted(gathered.misclassified, key=lambda mistake: -mistake.confidence)


def test_only_finished_runs_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DrilldownError, match="interrupted"):
        write_run_report(Run(tmp_path))


def test_an_unchanged_step_says_so(run: Run) -> None:
    experiment = run.experiment
    assert not find_difference(experiment, experiment)
    assert "Nothing that is trained differs" not in run_markdown(gather_run(run))
