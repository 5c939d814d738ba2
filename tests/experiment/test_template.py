"""The commented experiment that `drilldown new` writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from drilldown.errors import DrilldownError
from drilldown.experiment.loading import load_experiment, read_experiment
from drilldown.experiment.recipe import Recipe
from drilldown.experiment.studies import available_studies
from drilldown.experiment.template import template_text, write_template
from drilldown.network.layers import LAYERS


@pytest.mark.parametrize("study", [study.name for study in available_studies()])
def test_a_template_trains_the_same_as_its_source(study: str, tmp_path: Path) -> None:
    source = load_experiment(study)
    write_template(source, tmp_path / "01-new.toml")
    written = read_experiment(tmp_path / "01-new.toml")
    assert written.fingerprint == source.fingerprint
    assert (written.title, written.reported, written.remark) == ("New", None, "")


def test_a_template_explains_every_layer_and_every_setting_of_a_recipe() -> None:
    text = template_text(load_experiment("under-8k"), Path("new.toml"))
    for layer in LAYERS.values():
        assert f"#   {layer.usage}\n" in text
    assert max(len(line) for line in text.splitlines() if line.startswith("#")) <= 100
    lines = text[text.index("[recipe]") : text.index("[budget]")].splitlines()
    for key in Recipe.model_fields:
        (number,) = [n for n, line in enumerate(lines) if line.removeprefix("# ").startswith(f"{key} = ")]
        assert lines[number - 1].startswith("#"), key


def test_an_existing_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "new.toml").write_text("mine")
    with pytest.raises(DrilldownError, match=r"new\.toml: already exists; choose another name"):
        write_template(load_experiment("under-8k"), tmp_path / "new.toml")
    assert (tmp_path / "new.toml").read_text() == "mine"
