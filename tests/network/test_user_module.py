"""Networks that are a user's own file."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from drilldown.data.dataset import Dataset
from drilldown.errors import DrilldownError
from drilldown.experiment.loading import read_experiment
from drilldown.network.user_module import build_user_network
from drilldown.training.training import Training

NET = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(28 * 28, 16)
        self.logits = nn.Linear(16, 10)

    def forward(self, images):
        hidden = self.hidden(images.flatten(1))
        return self.logits(torch.relu(hidden))
"""
PARAMETERS = (28 * 28 + 1) * 16 + (16 + 1) * 10
IMAGE = (1, 28, 28)
EXPERIMENT = 'title = "Mine"\n[network]\npython = "model.py:Net"\n[recipe]\ndataset = "glyphs"\nepochs = 2\n'


@pytest.fixture
def model(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Writes a `model.py` and gives its folder."""

    def write(content: str | bytes) -> Path:
        (tmp_path / "model.py").write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return write


def build(folder: Path, reference: str = "model.py:Net") -> torch.nn.Module:
    return build_user_network(reference, folder, IMAGE, 10)


def mistake(folder: Path, reference: str = "model.py:Net") -> str:
    """The message that building gives, without the folder's name."""
    with pytest.raises(DrilldownError) as caught:
        build(folder, reference)
    (problem,) = caught.value.problems
    return str(problem).replace(f"{folder}/", "")


def test_a_plain_module_is_built_and_scores_images(model):
    network = build(model(NET))
    assert network(torch.zeros(3, *IMAGE)).shape == (3, 10)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS
    assert network.training


def test_what_makes_a_module_may_be_a_function(model):
    assert isinstance(build(model(NET + "\ndef small():\n    return Net()\n"), "model.py:small"), torch.nn.Module)


def test_trying_a_module_out_leaves_its_statistics_alone(model):
    normed = NET.replace("nn.Linear(16, 10)", "nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, 10))")
    assert build(model(normed)).logits[0].num_batches_tracked == 0


def test_the_seed_decides_the_initial_weights(model):
    folder = model(NET)
    (folder / "a.toml").write_text(EXPERIMENT)
    experiment = read_experiment(folder / "a.toml")
    one, same, other = (experiment.build(seed).hidden.weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_an_experiment_counts_and_trains_it(model, tiny: Dataset):
    folder = model(NET)
    (folder / "a.toml").write_text(EXPERIMENT)
    experiment = read_experiment(folder / "a.toml", ["recipe.batch_size=20"])
    assert experiment.model_summary.parameters == PARAMETERS
    first, second = Training(experiment, tiny)
    assert second.train.loss < first.train.loss


def test_the_file_is_read_anew_each_time(model):
    build(model(NET))
    assert build(model(NET.replace("16", "17"))).hidden.out_features == 17


@pytest.mark.parametrize("name", ["model.py", "torch.py", "my model.py", "drilldown.py", "ünï.py"])
def test_the_files_name_stands_in_for_no_other_module(model, name):
    folder = model(NET)
    (folder / "model.py").rename(folder / name)
    build(folder, f"{name}:Net")
    assert sys.modules["torch"] is torch
    assert sys.modules["drilldown"].__file__ != str(folder / name)
    assert "model" not in sys.modules


def test_dataclasses_and_postponed_annotations_work_in_it(model):
    extra = "from dataclasses import dataclass\n\n@dataclass\nclass Sizes:\n    hidden: int = 16\n\n"
    assert build(model("from __future__ import annotations\n" + extra + NET)).hidden.out_features == 16


def test_nothing_is_left_beside_it(model):
    folder = model(NET)
    build(folder)
    assert [path.name for path in folder.iterdir()] == ["model.py"]


@pytest.mark.parametrize("content", [NET, "a = \n", "raise OSError\n"])
def test_python_goes_on_writing_bytecode_elsewhere_as_it_did(model, monkeypatch, content):
    for setting in (True, False):
        monkeypatch.setattr(sys, "dont_write_bytecode", setting)
        with contextlib.suppress(DrilldownError):
            build(model(content))
        assert sys.dont_write_bytecode is setting


# ---- misclassified


def test_a_missing_file_is_named(tmp_path):
    assert mistake(tmp_path) == "model.py: network.python: no such file"
    assert mistake(tmp_path, "x" * 300 + ".py:Net").endswith(": network.python: no such file")


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "model.py").mkdir()
    assert mistake(tmp_path) == "model.py: network.python: no such file"


def test_a_missing_class_is_answered_with_the_nearest(model):
    said = mistake(model(NET), "model.py:Nett")
    assert said == 'model.py: network.python: there is no "Nett"; did you mean "Net"?'


def test_a_class_of_python_itself_is_not_among_the_suggestions(model):
    assert "__name__" not in mistake(model(NET), "model.py:name__")


def test_a_syntax_error_is_told_by_line(model):
    lines = NET.count("\n")
    said = mistake(model(NET + "def broken(:\n    pass\n"))
    assert said.startswith(f"model.py:{lines + 1}: network.python: cannot be loaded: SyntaxError: ")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a = '\xe9'\n", b"a = 1\x00\n"])
def test_what_is_no_python_text_is_refused(model, content):
    assert "network.python: cannot be loaded: " in mistake(model(content))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit('done')", "SystemExit: done"),
        ("assert False, 'reason'", "AssertionError: reason"),
    ],
)
def test_what_fails_while_loading_is_told_by_line(model, wrong, said):
    line = NET.count("\n") + 2
    assert mistake(model(f"{NET}\n{wrong}\n")) == f"model.py:{line}: network.python: cannot be loaded: {said}"


def test_an_exception_in_the_constructor_is_told_by_the_line_of_the_users_file(model):
    # The line that called PyTorch is the user's to mend, not the one within PyTorch that raised.
    content = NET.replace("nn.Linear(16, 10)", 'nn.Linear("16", 10)')
    line = next(number for number, text in enumerate(content.splitlines(), 1) if '"16"' in text)
    assert mistake(model(content)).startswith(f"model.py:{line}: network.python: Net() failed: TypeError: ")


def test_an_exception_in_forward_is_told_by_the_line_of_the_users_file(model):
    content = NET.replace("nn.Linear(28 * 28, 16)", "nn.Linear(27 * 27, 16)")
    line = next(number for number, text in enumerate(content.splitlines(), 1) if "self.hidden(images" in text)
    said = mistake(model(content))
    assert said.startswith(f"model.py:{line}: network.python: fails on an image of 1x28x28: RuntimeError: ")


def test_lines_are_told_of_a_file_that_is_named_from_here(model, monkeypatch):
    monkeypatch.chdir(model(NET + "1 / 0\n"))
    assert mistake(Path()).startswith(f"model.py:{NET.count(chr(10)) + 1}: network.python: cannot be loaded: ")


def test_a_constructor_that_wants_arguments_is_refused(model):
    said = mistake(model(NET.replace("__init__(self)", "__init__(self, width)")))
    assert "Net() failed: TypeError" in said
    assert "'width'" in said


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("class Net:\n    pass\n", "Net() gives Net; expected a torch.nn.Module"),
        ("def Net():\n    return 3\n", "Net() gives int; expected a torch.nn.Module"),
        ("Net = 3\n", "Net() failed: TypeError: 'int' object is not callable"),
    ],
)
def test_what_is_no_module_is_refused(model, content, found):
    assert mistake(model(content)) == f"model.py: network.python: {found}"


@pytest.mark.parametrize(
    ("result", "found"),
    [
        ("self.logits(torch.relu(hidden))[:, :9]", "an output of 2x9 for 2 images"),
        ("self.logits(torch.relu(hidden))[0]", "an output of 10 for 2 images"),
        ("self.logits(torch.relu(hidden))[:, :, None, None]", "an output of 2x10x1x1 for 2 images"),
        ("self.logits(torch.relu(hidden)).mean()", "an output of type Tensor for 2 images"),
        ("[self.logits(torch.relu(hidden))]", "an output of type list for 2 images"),
        ("None", "an output of type NoneType for 2 images"),
    ],
)
def test_a_wrong_output_is_told_by_its_shape(model, result, found):
    said = mistake(model(NET.replace("self.logits(torch.relu(hidden))", result)))
    assert said == f"model.py: network.python: {found}; expected 2x10: one score per class"


def test_a_network_with_nothing_to_train_is_refused_under_its_file(model):
    said = mistake(model("from torch import nn\n\n\ndef Net():\n    return nn.Flatten()\n"))
    assert said == "model.py: network.python: the network has no parameters; expected something to train"


def test_frozen_weights_are_nothing_to_train(model):
    frozen = NET + "\ndef frozen():\n    return Net().requires_grad_(False)\n"
    assert "no parameters" in mistake(model(frozen), "model.py:frozen")
