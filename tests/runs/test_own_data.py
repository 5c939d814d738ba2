"""A colour study and class folders from end to end: trained, reported, compared, and predicted as they were judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import drilldown
from drilldown.data.travel import dataset_files, place_dataset
from drilldown.experiment.experiment import Experiment
from drilldown.runs.run import Run
from support.cli import drilldown as command
from support.own import CLASSES, experiment_text, save, shapes, write_pictures


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def train(folder: Path, dataset: str, **options: object) -> Run:
    file = folder / "shapes.toml"
    file.write_text(experiment_text(dataset, **options))  # type: ignore[arg-type]
    compute = drilldown.Compute(engine="torch", threads=1)
    return drilldown.perform(drilldown.load(file), compute=compute, folders=drilldown.Folders(runs=folder / "runs"))


def predicted_files(run: Run, folder: Path) -> torch.Tensor:
    """The logits for the picture files of the test images, in the order of the dataset."""
    files = sorted(folder.rglob("*.*"), key=lambda file: int(file.stem))
    return run.predict(torch.stack([run.read_picture(file) for file in files]))


@pytest.mark.parametrize(
    ("channels", "side", "more"),
    [
        (3, 12, ""),
        (1, 12, ""),
        (3, 20, 'image = { size = 12, fit = "crop" }'),
        (1, 20, 'image = { size = 12, fit = "pad" }'),
    ],
    ids=["colour", "grey", "colour scaled", "grey scaled"],
)
def test_a_study_on_class_folders_predicts_its_test_pictures_as_they_were_judged(tmp_path, channels, side, more):
    write_pictures(tmp_path / "photos", side=side, channels=channels)
    run = train(tmp_path, "./photos", more=more)
    assert run.dataset().image_shape == (channels, 12, 12)
    assert predicted_files(run, tmp_path / "photos" / "test").argmax(1).equal(run.predictions().predicted)
    assert torch.allclose(predicted_files(run, tmp_path / "photos" / "test"), run.logits(), atol=1e-5)


def test_the_report_of_a_colour_run_shows_the_names_of_the_classes(tmp_path):
    write_pictures(tmp_path / "photos")
    run = train(tmp_path, "./photos")
    report = drilldown.write_report(run)
    page, text = report.html.read_text(), report.html.with_suffix(".md").read_text()
    for name in CLASSES:
        assert f'<th scope="row">{name}</th>' in page
        assert f'<th scope="col">{name}</th>' in page
    assert "Try the network" in page
    assert any(f"| {name} |" in text for name in CLASSES)
    assert "circle" in str(run.dataset())


def test_the_fingerprint_follows_the_pixels_and_not_the_place(tmp_path):
    def fingerprint(folder: Path) -> str:
        (tmp_path / "shapes.toml").write_text(experiment_text(str(folder)))
        return drilldown.load(tmp_path / "shapes.toml").fingerprint

    folder = write_pictures(tmp_path / "photos")
    first = fingerprint(folder)
    assert fingerprint(folder.rename(tmp_path / "moved")) == first
    save(shapes(1, seed=5)[0][0], tmp_path / "moved" / "train" / "circle" / "0.png")
    assert fingerprint(tmp_path / "moved") != first


@pytest.mark.parametrize("more", ["", "image = { size = 8 }"], ids=["as they are", "scaled"])
def test_the_files_that_travel_give_the_same_experiment(tmp_path, more):
    write_pictures(tmp_path / "photos")
    (tmp_path / "shapes.toml").write_text(experiment_text("./photos", more=more))
    experiment = drilldown.load(tmp_path / "shapes.toml")
    recipe = experiment.recipe
    fingerprint, files = experiment.fingerprint, dataset_files(recipe.dataset, None, recipe.image)
    for name, file in files.items():
        (tmp_path / "worker" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "worker" / name).write_bytes(file.read_bytes())
    (tmp_path / "photos").rename(tmp_path / "gone")
    place_dataset(recipe.dataset, tmp_path / "worker" / "own")
    try:
        there: Experiment = drilldown.load(tmp_path / "shapes.toml")
        assert there.fingerprint == fingerprint
        assert there.class_names == CLASSES
    finally:
        place_dataset(recipe.dataset, Path(recipe.dataset))


def test_the_commands_train_and_predict_with_names(tmp_path):
    write_pictures(tmp_path / "photos")
    (tmp_path / "shapes.toml").write_text(experiment_text("./photos", epochs=1))
    done = command("run", "shapes.toml", "--engine", "torch", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "30 training images in train/, 12 test images in test/" in done.stderr
    predicted = command("predict", "last", "photos/test/cross", "--json", cwd=tmp_path)
    document = json.loads(predicted.stdout)
    assert document["class_names"] == list(CLASSES)
    assert {item["name"] for item in document["predictions"]} <= set(CLASSES)
    broken = tmp_path / "photos" / "train" / "cross" / "1.png"
    broken.write_bytes(b"no picture")
    refused = command("run", "shapes.toml", cwd=tmp_path)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert "photos/train/cross/1.png: not a picture, but a text file" in refused.stderr


def test_convert_writes_and_refuses(tmp_path):
    write_pictures(tmp_path / "photos")
    done = command("data", "convert", "./photos", "idx", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "wrote 30 training and 12 test images to idx\n")
    again = command("data", "convert", "./photos", "idx", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == "drilldown: idx: exists already; expected the name of a new folder\n"
    wrong = command("data", "convert", "./photos", "other", "--to", "zip", cwd=tmp_path)
    assert wrong.returncode == 2
    assert '--to: found "zip"; expected "idx", "pictures"' in wrong.stderr
