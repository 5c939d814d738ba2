"""The report and the live output of a run with a validation split: whether its images share writers with training."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from drilldown import Compute, DrilldownError, Lines, Run, Training, dataset, load, perform
from drilldown.data.catalogue import QMNIST
from drilldown.experiment.holdout import Holdout
from drilldown.report.run.writing import write_run_report
from drilldown.runs.perform import resume_run
from support.outcome import outcome
from support.writers import WRITER_IDS, write_small_mnist

MNIST = (
    'title = "Tiny"\n[network]\nlayers = ["conv 5x5 4 stride=3, relu", "flatten, linear 10"]\n[recipe]\nepochs = 1\n'
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small MNIST and its writers, and an experiment."""
    write_small_mnist(tmp_path, monkeypatch)
    (tmp_path / "tiny.toml").write_text(MNIST)
    return tmp_path


def trained(folder: Path, *settings: str) -> Run:
    experiment = load(folder / "tiny.toml", settings)
    return perform(experiment, seed=3, compute=Compute(engine="torch"), run_dir=folder / "run", callback=Lines())


def writers_on_each_side(run: Run) -> tuple[set[int], set[int]]:
    """The writers of training and validation images, by the split that training makes and the ids of the test."""
    holdout = run.experiment.recipe.holdout
    assert holdout is not None
    held = set(run.dataset().choose_held_out(holdout.images, run.seed, holdout.by).tolist())
    training = {int(writer) for index, writer in enumerate(WRITER_IDS) if index not in held}
    return training, {int(WRITER_IDS[index]) for index in held}


def sentence_of(run: Run) -> str:
    """The sentence about the split, which the reports in HTML and in Markdown share."""
    report = write_run_report(run)
    (line,) = [line for line in report.markdown.read_text().splitlines() if "The epochs are judged on" in line]
    assert line.removeprefix("- ") in " ".join(report.html.read_text().split())
    return line.removeprefix("- The epochs are judged on ")


def test_a_split_by_writer_is_reported_with_the_writers_on_each_side(folder, capsys):
    run = trained(folder, 'recipe.holdout={images = 60, by = "writer"}')
    training, validation = writers_on_each_side(run)
    assert not training & validation
    assert len(training | validation) == len(set(WRITER_IDS.tolist()))
    images = run.read().summary.total
    assert {epoch.train.total for epoch in run.epochs} == {300 - images}
    asked = "" if images == 60 else " (60 asked for)"
    words = (
        f"{images} validation images{asked} by {len(validation)} writers, held out of the training set; "
        f"the training images are by {len(training)} other writers"
    )
    assert sentence_of(run) == f"{words}."
    assert f"judged on {words}\n" in capsys.readouterr().out


def test_a_random_split_of_mnist_is_reported_with_the_share_of_images_that_share_writers(folder, capsys):
    run = trained(folder, "recipe.holdout=60")
    training, validation = writers_on_each_side(run)
    assert training & validation == validation  # 24 writers with about 12 images each: all are on both sides
    words = (
        "60 validation images, held out of the training set at random; 100 % of them share writers with the "
        "training images, and no test image does"
    )
    assert sentence_of(run) == f"{words}."
    assert f"judged on {words}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("class", "at random; they share writers with the training images, and no test image does."),
        ("writer", "by writer; they share no writer with the training images."),
    ],
)
def test_a_report_needs_no_file_with_writers(folder, by, words):
    run = trained(folder, f'recipe.holdout={{images = 60, by = "{by}"}}')
    shutil.rmtree(folder / QMNIST)
    assert sentence_of(run).endswith(f"held out of the training set {words}")


def test_a_split_of_data_without_writers_is_reported_without_them(folder, capsys):
    words = "50 validation images, held out of the training set at random"
    assert sentence_of(trained(folder, "recipe.dataset=glyphs", "recipe.holdout=50")) == f"{words}."
    assert f"judged on {words}\n" in capsys.readouterr().out


def test_a_run_without_a_split_has_no_such_sentence(folder, capsys):
    report = write_run_report(trained(folder))
    assert "judged on" not in report.markdown.read_text() + capsys.readouterr().out


def test_a_resumed_run_has_the_same_split_by_writer(folder):
    run = trained(folder, 'recipe.holdout={images = 60, by = "writer"}')
    assert Run(run.path).experiment.recipe.holdout == Holdout(images=60, by="writer")
    before = outcome(run.path)
    for name in ("summary.json", "weights.safetensors"):
        (run.path / name).unlink()
    resume_run(Run(run.path))
    assert outcome(run.path) == before


def test_a_training_by_writer_needs_a_dataset_with_writers(folder):
    experiment = load(folder / "tiny.toml", ['recipe.holdout={images = 60, by = "writer"}'])
    assert len(Training(experiment).judged) + len(Training(experiment).dataset.train) == 300
    with pytest.raises(DrilldownError, match="mnist was loaded without its writers"):
        Training(experiment, dataset("mnist"))
