"""The difference between two experiments."""

from __future__ import annotations

import re

from drilldown import load
from drilldown.experiment.difference import changed_components, find_difference
from drilldown.experiment.loading import read_experiment
from drilldown.resources import resource_folder


def test_the_experiment_in_the_readme_changes_only_the_layers(write):
    (toml,) = re.findall(r"```toml\n(.*?)```", (resource_folder("studies").parent / "README.md").read_text(), re.DOTALL)
    wider = read_experiment(write("mine.toml", toml))
    assert wider.parent is not None
    assert changed_components(wider.parent, wider) == ("layers",)
    assert wider.model_summary.parameters > wider.parent.model_summary.parameters


def test_tables_are_compared_line_by_line():
    def given(*layers):
        return load({"title": "A", "network": {"layers": list(layers)}, "recipe": {"dataset": "glyphs"}})

    plain = given("conv 3x3 8", "conv 3x3 8 pad=1, bn", "gap, linear 10")
    skipped = given("conv 3x3 8", {"skip": ["conv 3x3 8 pad=1, bn"]}, "gap, linear 10")
    assert find_difference(plain, skipped).layers == (
        "  conv 3x3 8", "+ skip:", "- conv 3x3 8 pad=1, bn", "+   conv 3x3 8 pad=1, bn", "  gap, linear 10",
    )  # fmt: skip
    assert changed_components(plain, skipped) == ("skip connections",)
    table = {"repeat": 2, "layers": ["conv 3x3 8 pad=1, bn"]}
    repeated, shared = (
        given("conv 3x3 8", table, "gap, linear 10"),
        given("conv 3x3 8", table | {"shared": True}, "gap, linear 10"),
    )
    assert changed_components(plain, repeated) == changed_components(repeated, shared) == ("repetition",)
    assert find_difference(repeated, shared).layers[1:4] == (
        "- repeat 2:",
        "+ repeat 2, shared:",
        "    conv 3x3 8 pad=1, bn",
    )
