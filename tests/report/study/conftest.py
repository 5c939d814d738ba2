"""A trained study, shared by the tests of its charts and its page."""

from __future__ import annotations

import json

import pytest

from drilldown import load
from drilldown.analysis.ablation import list_variations
from drilldown.analysis.study import StudyEvidence, gather_study
from drilldown.experiment.studies import Study
from drilldown.runs.worklist import list_tasks, plan_work
from support.browser import HOSTILE
from support.study import train, write_study

SEEDS, EPOCHS = 3, 3


@pytest.fixture(scope="session")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> StudyEvidence:
    """A study of three steps with an ablation of the second, whose texts try to be more than text."""
    folder = tmp_path_factory.mktemp("page")
    study = write_study(folder, epochs=EPOCHS)
    second = study / "02-norm.toml"
    quoted = json.dumps(HOSTILE)
    second.write_text(
        second.read_text().replace('title = "Batch norm"', f"title = {quoted}\ntarget = {quoted}\nremark = {quoted}")
    )
    experiments = [load(file) for file in Study(study).steps]
    variations, _ = list_variations(experiments[1])
    everything = [*experiments, *(variation.experiment for variation in variations)]
    train(plan_work(list_tasks(everything, range(SEEDS), folder / "runs")))
    return gather_study(Study(study), folder / "runs", "drilldown study climb")
