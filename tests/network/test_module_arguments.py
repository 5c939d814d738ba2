"""The keyword arguments of a user's network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from torch import nn

from drilldown.errors import DrilldownError
from drilldown.experiment.loading import read_experiment
from drilldown.network.module_arguments import check_arguments, signature_text

MODEL = """\
from torch import nn


class Net(nn.Sequential):
    def __init__(self, width: int, norm="bn", *, sizes: tuple[int, ...] = (5,), rate: float = 0.0):
        assert isinstance(sizes, tuple)
        assert norm in ("bn", "gn"), norm
        normed = nn.GroupNorm(1, width) if norm == "gn" else nn.BatchNorm2d(width)
        head = nn.Flatten(), nn.Linear(width * (29 - sizes[0]) ** 2, 10)
        super().__init__(nn.Conv2d(1, width, sizes[0]), normed, nn.Dropout(rate), *head)
"""
SIGNATURE = "Net(width: int, norm='bn', *, sizes: tuple[int, ...] = (5,), rate: float = 0.0)"
FILE = 'title = "A"\n[network]\npython = "model.py:Net"\n{}\n[recipe]\ndataset = "glyphs"\n'


def experiment(folder: Path, line: str, *overrides: str) -> Any:
    (folder / "model.py").write_text(MODEL)
    (folder / "a.toml").write_text(FILE.format(line))
    return read_experiment(folder / "a.toml", overrides)


def error_of(folder: Path, line: str) -> str:
    with pytest.raises(DrilldownError) as caught:
        experiment(folder, line).build()
    (problem,) = caught.value.problems
    return str(problem).replace(f"{folder}/", "")


def test_arguments_reach_the_class_in_the_types_of_its_signature(tmp_path: Path) -> None:
    network = experiment(tmp_path, 'arguments = { width = 3, norm = "gn", sizes = [7], rate = 1e-1 }').build()
    assert network[0].weight.shape == (3, 1, 7, 7)
    assert isinstance(network[1], nn.GroupNorm)
    assert network[2].p == 0.1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "Net() needs width; expected {}; write arguments = {{ width = … }} in [network]"),
        ("arguments = {{ width = 2, nrom = 'gn' }}", 'unknown argument "nrom"; expected {}; did you mean "norm"?'),
        ("arguments = {{ width = '2' }}", 'width is "2", not a valid integer; expected {}'),
        ("arguments = {{ width = 2.5 }}", "width is 2.5, not a valid integer; expected {}"),
        ("arguments = {{ width = true }}", "width is true, not a valid integer; expected {}"),
        ("arguments = {{ width = 2, sizes = 5 }}", "sizes is 5, not a valid array; expected {}"),
        ("arguments = {{ width = 2, rate = 'low' }}", 'rate is "low", not a valid number; expected {}'),
        (
            "arguments = {{ wdith = 2, rate = [] }}",
            'unknown argument "wdith", rate is [], not a valid number, Net() needs width; expected {}; '
            'did you mean "width"?',
        ),
    ],
)
def test_all_that_does_not_fit_is_one_message_with_the_signature(tmp_path: Path, line: str, message: str) -> None:
    found = error_of(tmp_path, line.format())
    assert found == f"model.py: network.arguments: {message.format(SIGNATURE)}"


def test_a_value_that_the_constructor_refuses_is_shown_with_the_signature(tmp_path: Path) -> None:
    message = error_of(tmp_path, 'arguments = { width = 2, norm = "ln" }')
    assert message == f"model.py:7: network.python: Net() failed: AssertionError: ln; expected {SIGNATURE}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("arguments = 3", "a.toml:4: network.arguments: found 3; expected a table"),
        ("arguments = { day = 2020-01-01 }", "a.toml:4: network.arguments: day is 2020-01-01; expected a text, "),
        ("arguments = { a = [{ b = nan }] }", "a.toml:4: network.arguments: a[0].b is nan; expected a text, "),
    ],
)
def test_values_that_are_no_arguments_are_refused_with_their_line(tmp_path: Path, line: str, message: str) -> None:
    assert error_of(tmp_path, line).startswith(message)


def test_layers_have_no_arguments(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        'title = "A"\n[network]\nlayers = ["gap", "linear 10"]\narguments = { a = 1 }\n[recipe]\ndataset = "glyphs"\n'
    )
    with pytest.raises(DrilldownError, match='"arguments" given with "layers"; expected "python"'):
        read_experiment(tmp_path / "a.toml")


def test_a_written_experiment_has_the_same_arguments(tmp_path: Path) -> None:
    first = experiment(tmp_path, 'arguments = { width = 3, sizes = [7, 9], rate = 1e-5, norm = "gn" }')
    (tmp_path / "b.toml").write_text(first.to_toml())
    again = read_experiment(tmp_path / "b.toml")
    assert again.network == first.network
    assert again.fingerprint == first.fingerprint


def test_one_argument_can_be_set_in_any_order(tmp_path: Path) -> None:
    overrides = ["network.arguments.norm=gn", "network.python=model.py:Net", "network.arguments.width=4"]
    for order in (overrides, overrides[::-1]):
        assert experiment(tmp_path, "arguments = { width = 3 }", *order).network.arguments == {"width": 4, "norm": "gn"}
    layers = experiment(tmp_path, "arguments = { width = 3 }", 'network.layers=["gap", "linear 10"]')
    assert layers.network.arguments == {}


def test_a_child_inherits_the_module_with_other_arguments(tmp_path: Path) -> None:
    experiment(tmp_path, "arguments = { width = 3, rate = 0.1 }")
    child = tmp_path / "child.toml"
    child.write_text('title = "B"\nextends = "a.toml"\n[network]\narguments = { width = 5 }\n')
    network = read_experiment(child).network
    assert (network.python, network.arguments) == ("model.py:Net", {"width": 5})


def with_any(**options: object) -> dict[str, object]:
    return options


def with_types(kind: Literal["a", "b"], unknown: nn.Module | None = None, /, *, more: "Missing" = 1) -> None:  # type: ignore[name-defined]  # noqa: F821, UP037
    """A function whose annotations cannot all be resolved."""


def test_a_function_that_takes_any_arguments_gets_them() -> None:
    assert check_arguments(with_any, "with_any", {"a": [1], "b": {"c": 2}}, Path("m.py")) == {"a": [1], "b": {"c": 2}}


def test_annotations_that_cannot_be_resolved_are_not_checked() -> None:
    with pytest.raises(DrilldownError, match="needs kind"):
        check_arguments(with_types, "with_types", {"more": "x"}, Path("m.py"))


def test_objects_without_a_signature_are_called_as_they_are() -> None:
    assert check_arguments(3, "Net", {"a": 1}, Path("m.py")) == {"a": 1}
    assert signature_text(3, "Net") is None
