"""Errors in a notebook: the line of the cell and the message, in place of a traceback through the package."""

from __future__ import annotations

import pytest

from support.kernel import Notebook


@pytest.mark.parametrize(
    ("cell", "line", "message"),
    [
        ('drilldown.load("under-9k")', "line 1: ", 'did you mean "under-8k"?'),
        ("a = 1\n\nwrong = drilldown.load({'title': 'A', 'recipe': {'epoch': 3}})", "line 3: ", 'mean "epochs"?'),
        ("def f():\n    drilldown.load('tiny.toml', ['recipe.epochs=-1'])\n\nf()", "line 4: f()", "found -1"),
        ("experiment.recipe.epochs = 3", "line 1: ", 'drilldown.load("under-8k", ["recipe.epochs=5"])'),
        ("experiment.title = 3", "line 1: ", "cannot be changed"),
        ("experiment.network.layers = []", "line 1: ", "cannot be changed"),
        ('drilldown.perform("under-8k")', "line 1: ", 'found "under-8k"; expected an experiment'),
        ('drilldown.Training("under-8k")', "line 1: ", 'found "under-8k"; expected an experiment'),
        ('drilldown.perform(experiment, seed="a")', "line 1: ", "seed: found 'a'; expected a whole number"),
        ("drilldown.perform(experiment, seed=-1)", "line 1: ", "seed: found -1"),
        ("drilldown.perform(experiment, seed=1.5)", "line 1: ", "seed: found 1.5"),
        ('drilldown.perform(experiment, compute="cpu")', "line 1: ", "drilldown.Compute("),
        ('drilldown.perform(experiment, folders="x")', "line 1: ", "drilldown.Folders("),
        ("drilldown.perform(experiment, callback=drilldown.Lines)", "line 1: ", "drilldown.Lines()"),
        ('drilldown.Compute(device="gpu")', "line 1: ", """expected one of "auto", "cpu", "cuda\""""),
        ('drilldown.Compute(engine="tensorflow")', "line 1: ", "'tensorflow'"),
        ("drilldown.compare(experiment, {})", "line 1: ", "an object of the class dict"),
        ("drilldown.compare(experiment)", "line 1: ", "only"),
        ("drilldown.find_network(experiment)", "line 1: ", "expected the path or name"),
        ("drilldown.write_report('last')", "line 1: ", 'found "last"; expected a run'),
        ("drilldown.plot.samples('under-8k')", "line 1: ", "expected an experiment"),
        ("drilldown.plot.classes('glyphs')", "line 1: ", "expected a dataset"),
        ("drilldown.plot.confusion(experiment)", "line 1: ", "expected predictions"),
        ("drilldown.plot.curves('last')", "line 1: ", "expected a run, a training, or a list of them"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message(kernel: Notebook, cell: str, line: str, message: str) -> None:
    shown = kernel.run(cell).error.split("\n")
    assert shown[0].startswith(line)
    assert shown[0].removeprefix("line 1: ") in cell or line != "line 1: "
    assert message in "\n".join(shown[1:])
    assert "pydantic" not in "\n".join(shown)
    assert len(shown) <= 4


def test_all_errors_of_a_dictionary_are_shown(kernel: Notebook) -> None:
    shown = kernel.run(
        "drilldown.load({'title': '', 'network': {'layers': ['cnov 3x3']}, 'budget': {'hold': 0}})"
    ).error
    assert len(shown.split("\n")) == 4


def test_other_exceptions_keep_their_traceback(kernel: Notebook) -> None:
    assert "ZeroDivisionError" in kernel.run("1 / 0").error
