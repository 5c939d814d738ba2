"""Networks in a user's own Python file."""

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
from drilldown.training.training import Training
from support.modules import IMAGE, NET, PARAMETERS, build, error_of

EXPERIMENT = 'title = "Mine"\n[network]\npython = "model.py:Net"\n[recipe]\ndataset = "glyphs"\nepochs = 2\n'


@pytest.fixture
def model(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Writes a `model.py` and gives its folder."""

    def write(content: str | bytes) -> Path:
        (tmp_path / "model.py").write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return write


def test_a_module_is_built_and_gives_logits(model):
    network = build(model(NET))
    assert network(torch.zeros(3, *IMAGE)).shape == (3, 10)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS
    assert network.training


def test_a_function_can_make_the_module(model):
    assert isinstance(build(model(NET + "\ndef small():\n    return Net()\n"), "model.py:small"), torch.nn.Module)


def test_the_trial_does_not_change_the_statistics_of_batch_norm(model):
    normed = NET.replace("nn.Linear(16, 10)", "nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, 10))")
    assert build(model(normed)).logits[0].num_batches_tracked == 0


def test_the_seed_decides_the_initial_weights(model):
    folder = model(NET)
    (folder / "a.toml").write_text(EXPERIMENT)
    experiment = read_experiment(folder / "a.toml")
    first, same, other = (experiment.build(seed).get_parameter("hidden.weight") for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_an_experiment_counts_its_parameters_and_trains_it(model, tiny: Dataset):
    folder = model(NET)
    (folder / "a.toml").write_text(EXPERIMENT)
    experiment = read_experiment(folder / "a.toml", ["recipe.batch_size=20"])
    assert experiment.model_summary.parameters == PARAMETERS
    first, second = Training(experiment, tiny)
    assert second.train.loss < first.train.loss


def test_the_file_is_read_again_each_time(model):
    build(model(NET))
    assert build(model(NET.replace("16", "17"))).hidden.out_features == 17


@pytest.mark.parametrize("name", ["model.py", "torch.py", "my model.py", "drilldown.py", "ünï.py"])
def test_the_file_replaces_no_other_module(model, name):
    folder = model(NET)
    (folder / "model.py").rename(folder / name)
    build(folder, f"{name}:Net")
    assert sys.modules["torch"] is torch
    assert sys.modules["drilldown"].__file__ != str(folder / name)
    assert "model" not in sys.modules


def test_dataclasses_and_postponed_annotations_work_in_it(model):
    extra = "from dataclasses import dataclass\n\n@dataclass\nclass Sizes:\n    hidden: int = 16\n\n"
    assert build(model("from __future__ import annotations\n" + extra + NET)).hidden.out_features == 16


def test_no_bytecode_is_written_beside_the_file(model):
    folder = model(NET)
    build(folder)
    assert [path.name for path in folder.iterdir()] == ["model.py"]


@pytest.mark.parametrize("content", [NET, "a = \n", "raise OSError\n"])
def test_the_bytecode_setting_of_python_is_restored(model, monkeypatch, content):
    for setting in (True, False):
        monkeypatch.setattr(sys, "dont_write_bytecode", setting)
        with contextlib.suppress(DrilldownError):
            build(model(content))
        assert sys.dont_write_bytecode is setting


# ---- refused modules


def test_a_missing_file_is_refused_with_its_name(tmp_path):
    assert error_of(tmp_path) == "model.py: network.python: no such file"
    assert error_of(tmp_path, "x" * 300 + ".py:Net").endswith(": network.python: no such file")


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "model.py").mkdir()
    assert error_of(tmp_path) == "model.py: network.python: no such file"


def test_a_missing_class_is_refused_with_the_most_similar_name(model):
    message = error_of(model(NET), "model.py:Nett")
    assert message == 'model.py: network.python: there is no "Nett"; did you mean "Net"?'


def test_special_names_of_python_are_not_suggested(model):
    assert "__name__" not in error_of(model(NET), "model.py:name__")


def test_a_syntax_error_is_reported_with_its_line(model):
    lines = NET.count("\n")
    message = error_of(model(NET + "def broken(:\n    pass\n"))
    assert message.startswith(f"model.py:{lines + 1}: network.python: cannot be loaded: SyntaxError: ")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a = '\xe9'\n", b"a = 1\x00\n"])
def test_a_file_that_is_no_python_text_is_refused(model, content):
    assert "network.python: cannot be loaded: " in error_of(model(content))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit('done')", "SystemExit: done"),
        ("assert False, 'reason'", "AssertionError: reason"),
    ],
)
def test_an_exception_while_loading_is_reported_with_its_line(model, wrong, message):
    line = NET.count("\n") + 2
    assert error_of(model(f"{NET}\n{wrong}\n")) == f"model.py:{line}: network.python: cannot be loaded: {message}"


def test_an_exception_in_the_constructor_is_reported_with_the_line_in_the_users_file(model):
    # The user can correct the line that called PyTorch, not the line within PyTorch.
    content = NET.replace("nn.Linear(16, 10)", 'nn.Linear("16", 10)')
    line = next(number for number, text in enumerate(content.splitlines(), 1) if '"16"' in text)
    assert error_of(model(content)).startswith(f"model.py:{line}: network.python: Net() failed: TypeError: ")


def test_an_exception_in_forward_is_reported_with_the_line_in_the_users_file(model):
    content = NET.replace("nn.Linear(28 * 28, 16)", "nn.Linear(27 * 27, 16)")
    line = next(number for number, text in enumerate(content.splitlines(), 1) if "self.hidden(images" in text)
    message = error_of(model(content))
    assert message.startswith(f"model.py:{line}: network.python: fails on an image of 1x28x28: RuntimeError: ")


def test_lines_are_reported_for_a_relative_path(model, monkeypatch):
    monkeypatch.chdir(model(NET + "1 / 0\n"))
    assert error_of(Path()).startswith(f"model.py:{NET.count(chr(10)) + 1}: network.python: cannot be loaded: ")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("class Net:\n    pass\n", "Net() returns Net; expected a torch.nn.Module"),
        ("def Net():\n    return 3\n", "Net() returns int; expected a torch.nn.Module"),
        ("Net = 3\n", "Net() failed: TypeError: 'int' object is not callable"),
    ],
)
def test_an_object_that_is_no_module_is_refused(model, content, found):
    assert error_of(model(content)) == f"model.py: network.python: {found}"


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
def test_a_wrong_output_is_reported_with_its_shape(model, result, found):
    message = error_of(model(NET.replace("self.logits(torch.relu(hidden))", result)))
    assert message == f"model.py: network.python: {found}; expected 2x10: one logit per class"


def test_a_network_without_parameters_is_refused_with_its_file(model):
    message = error_of(model("from torch import nn\n\n\ndef Net():\n    return nn.Flatten()\n"))
    assert (
        message
        == "model.py: network.python: the network has no parameters; expected at least one layer with parameters"
    )


def test_frozen_weights_do_not_count_as_parameters(model):
    frozen = NET + "\ndef frozen():\n    return Net().requires_grad_(False)\n"
    assert "no parameters" in error_of(model(frozen), "model.py:frozen")


# ---- kinds of modules that once failed late


LAZY = "import torch\nfrom torch import nn\n\nclass Net(nn.Sequential):\n    def __init__(self):\n"


def test_lazy_layers_get_their_sizes_before_parameters_are_counted(model):
    layers = "nn.LazyConv2d(4, 5, stride=3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)"
    network = build(model(f"{LAZY}        super().__init__({layers})\n"))
    assert sum(parameter.numel() for parameter in network.parameters()) == 4 * 26 + 2 * 4 + 257 * 10
    assert network[1].num_batches_tracked == 0


def test_a_lazy_layer_that_evaluation_does_not_use_is_named(model):
    content = NET.replace("self.logits =", "self.extra, self.logits = nn.LazyLinear(3),")
    assert error_of(model(content)) == (
        "model.py: network.python: the lazy layer extra is not used in evaluation mode, so its size is not known; "
        "give its size, or remove it"
    )


@pytest.mark.parametrize("squeezed", [".squeeze()", ".squeeze(0)"])
def test_an_output_that_is_wrong_for_a_single_image_is_refused(model, squeezed):
    message = error_of(
        model(
            NET.replace("return self.logits(torch.relu(hidden))", f"return self.logits(torch.relu(hidden)){squeezed}")
        )
    )
    assert message == "model.py: network.python: an output of 10 for 1 image; expected 1x10: one logit per class"


def test_whole_numbers_are_no_logits(model):
    message = error_of(model(NET.replace("self.logits(torch.relu(hidden))", "self.logits(hidden).long()")))
    assert message == "model.py: network.python: an output of int64 for 2 images; expected floating-point logits"


@pytest.mark.parametrize("leave", ["sys.exit()", "sys.exit('done')", "exit(3)", "raise SystemExit"])
def test_a_module_that_exits_is_an_error_with_its_line(model, leave):
    content = NET.replace("        hidden = ", f"        import sys\n        {leave}\n        hidden = ")
    line = next(number for number, text in enumerate(content.splitlines(), 1) if leave in text)
    assert error_of(model(content)).startswith(
        f"model.py:{line}: network.python: fails on an image of 1x28x28: SystemExit"
    )


@pytest.mark.parametrize("value", ["{'a': 1}", "None", "3"])
def test_a_state_that_is_no_tensor_is_refused(model, value):
    message = error_of(model(f"{NET}\n    def get_extra_state(self):\n        return {value}\n"))
    assert "network.python: the state has _extra_state of type" in message
    assert "register_buffer" in message


PRINTS = [
    "print('noise')",
    "sys.stdout.write('noise')",
    "import pprint; pprint.pprint('noise')",
    "print('noise', file=sys.stdout)",
]


@pytest.mark.parametrize("noise", PRINTS)
def test_prints_go_to_standard_error(model, capsys, noise):
    content = f"import sys\n{noise}\n" + NET.replace("        hidden = ", f"        {noise}\n        hidden = ")
    folder = model(content)
    (folder / "a.toml").write_text(EXPERIMENT)
    assert read_experiment(folder / "a.toml").model_summary.parameters == PARAMETERS
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("noise") >= 3
