"""Teachers from end to end: what their file holds, which runs are refused, and what their students say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import drilldown
from drilldown import Compute, DrilldownError, Folders, Run, Training, load, perform
from drilldown.data.own.teacher_files import read_targets
from drilldown.experiment.experiment import Experiment
from drilldown.runs.row import run_row
from drilldown.tracking.record import verdict_texts
from support.cli import world, write_idx
from support.teachers import random_shares, write_teacher

ALONE = Compute(engine="torch", threads=1)
HOLDOUT = "recipe.holdout=60"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs that hold out images, one that does not, and a teacher of the first two."""
    folder = tmp_path_factory.mktemp("lab")
    world(folder, epochs=1)
    held, plain = load(folder / "tiny.toml", [HOLDOUT]), load(folder / "tiny.toml")
    for experiment, seed in ((held, 0), (held, 1), (plain, 0)):
        train(folder, experiment, seed)
    drilldown.teach([run_of(folder, held, 0), run_of(folder, held, 1)], folder / "two.npz", temperature=2)
    drilldown.teach([run_of(folder, held, 0)], folder / "one.npz")
    return folder


def run_of(folder: Path, experiment: Experiment, seed: int) -> Run:
    return Run.of(experiment, seed, folder / "runs")


def train(folder: Path, experiment: Experiment, seed: int = 0) -> Run:
    return perform(experiment, seed=seed, compute=ALONE, folders=Folders(runs=folder / "runs"))


def student(lab: Path, teacher: str, *overrides: str) -> Experiment:
    return load(lab / "tiny.toml", [f"recipe.teacher={lab / teacher}", *overrides])


def test_a_teacher_is_the_mean_of_the_probabilities_of_its_runs(lab: Path) -> None:
    held = load(lab / "tiny.toml", [HOLDOUT])
    runs = [run_of(lab, held, seed) for seed in (0, 1)]
    images = runs[0].dataset().train.images
    expected = np.zeros((300, 10))
    for run in runs:
        scaled = run.predict(images).double().numpy() / 2
        shares = np.exp(scaled - scaled.max(1, keepdims=True))
        expected += shares / shares.sum(1, keepdims=True) / 2
    targets = read_targets(lab / "two.npz")
    np.testing.assert_allclose(targets.probabilities.numpy(), expected, rtol=1e-5, atol=1e-7)
    held_out = [set(runs[0].dataset().choose_held_out(60, seed).tolist()) for seed in (0, 1)]
    assert set((~targets.seen).nonzero().flatten().tolist()) == held_out[0] & held_out[1]
    assert targets.teacher.held_out == len(held_out[0] & held_out[1])
    summaries = [run.read().summary for run in runs]
    assert [run.model_dump() for run in targets.teacher.runs] == [
        {
            "experiment": held.name, "fingerprint": held.fingerprint, "seed": seed, "epochs": 1, "learned_from": None,
            "parameters": held.model_summary.parameters, "seconds": summary.seconds,
        }
        for seed, summary in enumerate(summaries)
    ]  # fmt: skip
    seconds = sum(summary.seconds for summary in summaries)
    assert str(targets.teacher) == (
        f"learned from a teacher: 2 runs of {held.name}, {held.model_summary.parameters} parameters each, "
        f"{seconds:.0f} s of training, temperature 2"
    )


@pytest.mark.parametrize("engine", ["torch", "native"])
def test_a_student_learns_the_probabilities_and_is_counted_by_the_labels(lab: Path, engine: str) -> None:
    """In the first step, the loss is the formula's, and right answers are those of the labels."""
    plain = ("recipe.augment={}", "recipe.batch_size=300", "recipe.ema=0.5", "network.layers=['flatten, linear 10']")
    experiment = student(lab, "two.npz", *plain)
    training = Training(experiment, compute=Compute(engine=engine, device="cpu"))  # type: ignore[arg-type]
    network, dataset = experiment.build(0).double(), training.dataset
    (epoch,) = training
    pixels = (dataset.train.images.double() / 255 - dataset.mean[0]) / dataset.std[0]
    logits = network(pixels).detach()
    assert dataset.train.targets is not None
    loss = -(dataset.train.targets.probabilities.double() * logits.log_softmax(1)).sum(1).mean()
    assert epoch.train.loss == pytest.approx(loss.item(), rel=1e-5)
    assert epoch.train.correct == int((logits.argmax(1) == dataset.train.labels).sum())


def test_a_run_with_a_teacher_says_so_everywhere(lab: Path) -> None:
    teacher = read_targets(lab / "one.npz").teacher
    run = train(lab, student(lab, "one.npz"))
    text = str(teacher)
    assert run.read().summary.teacher_text == text
    assert json.loads((run.path / "summary.json").read_text())["teacher"] == teacher.model_dump(mode="json")
    assert text in " ".join(str(run).split())
    assert text in run._repr_html_()
    assert run_row(run)["teacher"] == text
    assert verdict_texts(run.read().summary)["teacher"] == text
    drilldown.export_run(run, ["c"])
    assert f"The run {text}." in (run.path / "export" / "README.md").read_text()
    report = drilldown.write_report(run)
    assert text in report.html.read_text()
    assert text in report.html.with_suffix(".md").read_text().replace("\\", "")
    assert run_row(run_of(lab, load(lab / "tiny.toml"), 0))["teacher"] is None


@pytest.mark.parametrize(("teacher", "seed", "seen"), [("one.npz", 0, 0), ("one.npz", 1, None), ("two.npz", 0, None)])
def test_a_student_says_how_many_of_its_validation_images_the_teacher_knows(
    lab: Path, teacher: str, seed: int, seen: int | None
) -> None:
    """The teacher of seed 0 held out the validation images of a student with seed 0, and others with seed 1."""
    training = Training(student(lab, teacher, HOLDOUT), seed=seed, compute=ALONE)
    if seen is None:
        held = [set(load(lab / "tiny.toml").recipe.load_dataset().choose_held_out(60, s).tolist()) for s in (0, 1)]
        seen = 60 - len(held[0] & held[1])
    assert training.teacher_seen == seen
    assert Training(student(lab, teacher), seed=seed, compute=ALONE).teacher_seen is None


def test_the_teacher_of_a_teacher_is_named(lab: Path, tmp_path: Path) -> None:
    run = train(lab, student(lab, "one.npz"))
    teacher = drilldown.teach(run, tmp_path / "next.npz")
    assert str(teacher).endswith(f"(which {read_targets(lab / 'one.npz').teacher})")


def test_an_interrupted_student_ends_with_the_same_bits(lab: Path, tmp_path: Path) -> None:
    class Interrupting(drilldown.Lines):
        def on_epoch_end(self, epoch: object) -> None:  # noqa: ARG002
            raise KeyboardInterrupt

    experiment = student(lab, "two.npz", "recipe.epochs=2", HOLDOUT)
    whole = perform(experiment, compute=ALONE, folders=Folders(runs=tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        perform(experiment, compute=ALONE, folders=Folders(runs=tmp_path / "parts"), callback=Interrupting())
    parts = perform(experiment, compute=ALONE, folders=Folders(runs=tmp_path / "parts"))
    assert parts.logits().equal(whole.logits())
    assert parts.read().summary.teacher == whole.read().summary.teacher


def test_a_student_whose_teacher_is_gone_can_be_read_and_not_trained(lab: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(lab / "two.npz", tmp_path / "gone.npz"))
    experiment = load(lab / "tiny.toml", [f"recipe.teacher={file}"])
    run = perform(experiment, compute=ALONE, run_dir=tmp_path / "run")
    file.unlink()
    assert Run(run.path).predictions().tally.total == 100
    assert "learned from a teacher" in str(Run(run.path))
    with pytest.raises(DrilldownError, match=r"gone\.npz: no such file; expected the file of a teacher"):
        perform(load(lab / "tiny.toml", [f"recipe.teacher={file}"]), compute=ALONE, run_dir=tmp_path / "again")


def refusals(lab: Path, folder: Path) -> Iterator[tuple[list[Run], Path, float, str]]:
    plain, new = run_of(lab, load(lab / "tiny.toml"), 0), folder / "new.npz"
    unfinished = run_of(lab, load(lab / "tiny.toml"), 9)
    other = folder / "other"
    world(other, epochs=1)
    write_idx(other / "letters", train=299)
    stranger = train(other, load(other / "tiny.toml"))
    taken = folder / "taken.npz"
    taken.write_text("mine")
    yield [], new, 1, "no runs; expected one or more finished runs"
    yield [unfinished], new, 1, "the run is interrupted; it has no model yet"
    yield [plain, stranger], new, 1, f"{stranger.path}: trained on sha256:"
    yield [plain], taken, 1, "taken.npz: exists already; expected the name of a new file"
    yield [plain], folder / "new.txt", 1, "new.txt: not the name of a .npz"
    yield [plain], folder / "missing" / "new.npz", 1, "cannot be written (No such file or directory)"
    for temperature in (0, -1, float("nan"), float("inf")):
        yield [plain], new, temperature, "temperature: found"
    write_idx(other / "letters", train=300, test=99)
    yield [stranger], new, 1, "the predictions do not belong to the test images"


def test_what_cannot_teach_is_refused_with_one_message_and_nothing_is_written(lab: Path, tmp_path: Path) -> None:
    for runs, file, temperature, message in refusals(lab, tmp_path):
        with pytest.raises(DrilldownError) as caught:
            drilldown.teach(runs, file, temperature=temperature)
        assert len(caught.value.problems) == 1
        assert message in str(caught.value)
    assert not (tmp_path / "new.npz").exists()
    assert (tmp_path / "taken.npz").read_text() == "mine"
    with pytest.raises(DrilldownError, match="runs: found an object of the class PosixPath; expected finished runs"):
        drilldown.teach([tmp_path], tmp_path / "new.npz")  # type: ignore[list-item]


def test_a_teacher_of_another_dataset_is_refused_before_training(lab: Path, tmp_path: Path) -> None:
    file = write_teacher(tmp_path / "a.npz", p_train=random_shares(299))
    with pytest.raises(DrilldownError, match=r"a\.npz: p_train: an array of shape \(299, 10\); expected \(300, 10\)"):
        perform(load(lab / "tiny.toml", [f"recipe.teacher={file}"]), compute=ALONE, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").glob("*.json*"))
    glyphs = load(lab / "tiny.toml", ["recipe.dataset=glyphs", f"recipe.teacher={lab / 'two.npz'}"])
    with pytest.raises(DrilldownError, match=r'the teacher learned "sha256:\w+"; expected "glyphs"'):
        Training(glyphs, compute=ALONE)


def test_targets_do_not_change_the_dataset_of_others(lab: Path) -> None:
    Training(student(lab, "two.npz"), compute=ALONE)
    assert load(lab / "tiny.toml").recipe.load_dataset().train.targets is None
