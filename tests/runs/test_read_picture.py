"""Pictures are prepared as the dataset of a run is: its own images keep their predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from drilldown import Compute, Folders, Run, load, perform
from drilldown.data.conventions import Conventions
from drilldown.files import json_bytes, with_checksum
from drilldown.runs.callback import Callback
from support.pictures import draw_strokes, write_pictures, write_strokes


class Notices(Callback):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_notice(self, text: str) -> None:
        self.texts.append(text)


def train(folder: Path, **kind: Any) -> tuple[Run, list[str]]:
    """Trains on strokes or parts; returns the run and its notices."""
    notices = Notices()
    experiment = load(write_strokes(folder, **kind))
    compute, folders = Compute(engine="torch"), Folders(runs=folder / "runs")
    return perform(experiment, compute=compute, folders=folders, callback=notices), notices.texts


KINDS: dict[str, dict[str, Any]] = {
    "light on dark": {},
    "dark on light": {"dark": True},
    "transposed": {"transposed": True},
    "parts": {"parts": True},
}


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Run, list[str]]:
    return request.param, *train(tmp_path_factory.mktemp("kind"), **KINDS[request.param])


def test_the_test_images_as_files_have_the_predictions_that_were_judged(trained, tmp_path: Path) -> None:
    _, run, _ = trained
    images = run.dataset().test.images
    read = torch.stack([run.read_picture(file) for file in write_pictures(images, tmp_path)])
    assert torch.equal(read, images[:, 0])
    assert torch.equal(run.predict(read).argmax(1), run.logits().argmax(1))


def test_enlarged_test_images_have_the_predictions_that_were_judged(trained, tmp_path: Path) -> None:
    _, run, _ = trained
    files = write_pictures(run.dataset().test.images, tmp_path, enlarged=4)
    read = torch.stack([run.read_picture(file) for file in files])
    agree = (run.predict(read).argmax(1) == run.logits().argmax(1)).double().mean()
    assert float(agree) >= 0.95


def test_a_run_says_how_its_dataset_shows_objects_and_remembers_it(trained) -> None:
    kind, run, notices = trained
    said = {
        "light on dark": "light on dark, in a box",
        "dark on light": "dark on light, in a box",
        "transposed": "transposed in the files and turned upright",
        "parts": "light on dark, whole pictures",
    }[kind]
    assert any(said in text for text in notices), notices
    assert json.loads((run.path / "summary.json").read_text())["pictures"] == json.loads(
        json.dumps(run.conventions().to_json())
    )


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "parts"])
def test_strokes_on_paper_are_read_whatever_the_dataset(kind: str, tmp_path: Path) -> None:
    run, _ = train(tmp_path, **KINDS[kind])
    images, labels = draw_strokes(12, seed=3)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        light = np.linspace(1, 0.6, 28 * 6)[None] * np.ones((28 * 6, 1))
        sheet = (230 - 180 * (image.repeat(6, 0).repeat(6, 1) > 0)) * light
        file = tmp_path / f"{number}.png"
        Image.fromarray(sheet.astype(np.uint8)).save(file)
        assert int(run.predict(run.read_picture(file)).argmax()) == label, (number, label)


def test_a_run_of_an_earlier_version_recognises_its_dataset(tmp_path: Path) -> None:
    run, _ = train(tmp_path, dark=True)
    recorded = run.conventions()
    document = json.loads((run.path / "summary.json").read_text())
    del document["sha256"], document["pictures"]
    (run.path / "summary.json").write_bytes(json_bytes(with_checksum(document)))
    assert run.conventions() == recorded
    for file in (tmp_path / "data").iterdir():
        file.unlink()
    assert run.conventions() == Conventions()


def test_what_a_recipe_states_is_not_recognised(tmp_path: Path) -> None:
    file = write_strokes(tmp_path)
    file.write_text(file.read_text() + 'polarity = "dark-on-light"\nframing = "whole"\n')
    recipe = load(file).recipe
    stated = recipe.conventions_of(recipe.load_dataset())
    assert (stated.polarity, stated.framing) == ("dark-on-light", "whole")
