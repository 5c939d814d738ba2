"""The difference between two experiments."""

from __future__ import annotations

import re

from drilldown.experiment.difference import changed_components
from drilldown.experiment.loading import read_experiment
from drilldown.resources import resource_folder


def test_the_experiment_in_the_readme_changes_only_the_layers(write):
    (toml,) = re.findall(r"```toml\n(.*?)```", (resource_folder("studies").parent / "README.md").read_text(), re.DOTALL)
    wider = read_experiment(write("mine.toml", toml))
    assert wider.parent is not None
    assert changed_components(wider.parent, wider) == ("layers",)
    assert wider.model_summary.parameters > wider.parent.model_summary.parameters
