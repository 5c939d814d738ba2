"""Training of a user's own module: what is refused at the start, and how its errors are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from drilldown import Compute, Training
from drilldown.data.dataset import Dataset
from drilldown.errors import CannotTrainError
from drilldown.experiment.loading import read_experiment
from support.modules import NET, write_files

EXPERIMENT = (
    'title = "A"\n[network]\npython = "model.py:Net"\n[recipe]\ndataset = "glyphs"\nepochs = 2\nbatch_size = {}\n'
)
TORCH = Compute(engine="torch", threads=1)


def training(folder: Path, dataset: Dataset, *overrides: str, batch: int = 50, **options) -> Training:
    (folder / "a.toml").write_text(EXPERIMENT.format(batch))
    return Training(read_experiment(folder / "a.toml", overrides), dataset, compute=TORCH, **options)


def error_of(folder: Path, dataset: Dataset, *overrides: str, batch: int = 50) -> str:
    with pytest.raises(CannotTrainError) as caught:
        list(training(folder, dataset, *overrides, batch=batch))
    return str(caught.value).replace(f"{folder}/", "")


def forward(statement: str) -> str:
    return NET.replace("        hidden = ", f"        {statement}\n        hidden = ")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("[][0] if self.training else 0", "IndexError: list index out of range"),
        ("{}['a'] if self.training else 0", "KeyError: 'a'"),
        ("images.nothing if self.training else 0", "AttributeError: 'Tensor' object has no attribute 'nothing'"),
        ("1 / (not self.training)", "ZeroDivisionError: division by zero"),
        ("assert not self.training, 'reason'", "AssertionError: reason"),
        ("assert not self.training", "AssertionError"),
        ("exit(3) if self.training else 0", "SystemExit: 3"),
        ("import sys; sys.exit() if self.training else 0", "SystemExit"),
        ("unknown_name if self.training else 0", "NameError: name 'unknown_name' is not defined"),
    ],
)
def test_any_exception_in_training_is_reported_with_file_and_line(
    tmp_path: Path, tiny: Dataset, statement: str, message: str
) -> None:
    content = forward(statement)
    line = content.splitlines().index(f"        {statement}") + 1
    write_files(tmp_path, model=content)
    assert error_of(tmp_path, tiny) == f"model.py:{line}: network.python: fails while training: {message}"


def test_an_exception_in_a_file_beside_the_module_names_this_file(tmp_path: Path, tiny: Dataset) -> None:
    content = f"from acts import act\n{NET.replace('torch.relu(hidden)', 'act(hidden, self.training)')}"
    write_files(tmp_path, model=content, acts="def act(x, training):\n    return x[[0][training]:]\n")
    assert error_of(tmp_path, tiny).startswith("acts.py:2: network.python: fails while training: IndexError")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (NET.replace("self.logits(torch.relu(hidden))", "self.logits(hidden).detach()"), "RuntimeError: element 0 of"),
        (
            NET.replace(
                "self.logits(torch.relu(hidden))", "(self.logits(hidden), 1) if self.training else self.logits(hidden)"
            ),
            "TypeError: the network returns tuple, not a tensor of logits",
        ),
    ],
)
def test_an_error_after_forward_names_the_file(tmp_path: Path, tiny: Dataset, content: str, message: str) -> None:
    write_files(tmp_path, model=content)
    assert error_of(tmp_path, tiny).startswith(f"model.py: network.python: fails while training: {message}")


def test_an_average_of_a_module_that_cannot_be_copied_is_refused_with_its_file(tmp_path: Path, tiny: Dataset) -> None:
    write_files(
        tmp_path, model=NET.replace("self.logits = ", "self.cut = self.hidden.weight * 2\n        self.logits = ")
    )
    assert "model.py: network.python: fails while training: RuntimeError" in error_of(tmp_path, tiny, "recipe.ema=0.9")


NORMED = NET.replace("nn.Linear(16, 10)", "nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, 10))")


@pytest.mark.parametrize(
    ("content", "batch", "size"),
    [
        (NORMED, 199, "1 image"),
        (forward("assert not self.training or len(images) % 3 == 0"), 99, "2 images"),
    ],
)
def test_a_last_batch_that_cannot_be_trained_is_refused_at_the_start(
    tmp_path: Path, tiny: Dataset, content: str, batch: int, size: str
) -> None:
    write_files(tmp_path, model=content)
    with pytest.raises(CannotTrainError) as caught:
        training(tmp_path, tiny, batch=batch)
    message = str(caught.value)
    assert f"network.python: fails on the last batch of an epoch, which has {size}: " in message
    assert message.endswith("choose another recipe.batch_size for the 200 training images")


def test_int4_is_refused_by_name(tmp_path: Path, tiny: Dataset) -> None:
    write_files(tmp_path, model=NET)
    assert error_of(tmp_path, tiny, "recipe.precision=int4") == (
        'recipe.precision: "int4" with the network model.py:Net; expected a network in block notation, '
        "whose first and last layer are known"
    )


def test_batches_without_a_rest_are_trained(tmp_path: Path, tiny: Dataset) -> None:
    write_files(tmp_path, model=NORMED)
    assert len(list(training(tmp_path, tiny, batch=50))) == 2


def test_doubts_are_told_before_the_training(tmp_path: Path, tiny: Dataset) -> None:
    write_files(tmp_path, model=NET.replace("self.logits(torch.relu(hidden))", "self.logits(hidden).softmax(1)"))
    notices: list[str] = []
    training(tmp_path, tiny, on_notice=notices.append)
    assert any("looks like probabilities" in notice for notice in notices)


def test_prints_in_training_go_to_standard_error(
    tmp_path: Path, tiny: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(tmp_path, model=forward("print('noise', self.training)"))
    list(training(tmp_path, tiny))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("noise True") >= 8  # 2 epochs of 4 steps
