"""Studies: the effects of their steps, and the figures in their report."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import statistics
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from drilldown import Compute, Folders, load
from drilldown.analysis.ablation import list_variations
from drilldown.analysis.study import StudyEvidence, gather_study
from drilldown.errors import DrilldownError
from drilldown.experiment.difference import changed_components
from drilldown.experiment.studies import Study, find_study
from drilldown.report.axes import spread_labels
from drilldown.report.study.analysis import study_sentences
from drilldown.report.study.writing import write_study_report
from drilldown.runs.perform import perform
from drilldown.runs.worklist import (
    list_tasks,
    plan_work,
)
from support.cli import drilldown
from support.study import STEPS, command, steps_of, train, write_study

SEEDS = 3


@pytest.fixture(scope="module")
def climb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study whose three steps have three seeds each."""
    folder = write_study(tmp_path_factory.mktemp("climb"))
    train(plan_work(list_tasks(steps_of(folder), range(SEEDS), folder.parent / "runs")))
    return folder


@pytest.fixture(scope="module")
def evidence(climb: Path) -> StudyEvidence:
    return gather_study(Study(climb), climb.parent / "runs", "drilldown study climb")


@pytest.fixture(scope="module")
def page(evidence: StudyEvidence) -> str:
    return write_study_report(evidence).markdown.read_text("utf-8")


def test_a_variation_equal_to_an_earlier_step_is_no_ablation(evidence: StudyEvidence) -> None:
    variations, _ = list_variations(evidence.steps[1].experiment)
    assert [variation.experiment.name for variation in variations if variation.component == "batch norm"] == [
        "climb/01-plain"
    ]
    assert evidence.ablations == ()


def test_the_ladder_has_the_figures_of_the_runs(evidence: StudyEvidence, page: str) -> None:
    rows = [line for line in page.split("## Effect of each step")[0].splitlines() if re.match(r"\| \d \|", line)]
    assert len(rows) == 3
    for row, step in zip(rows, evidence.steps, strict=True):
        summaries = [run.summary for run in step.seeds.finished]
        means = [summary.accuracy.mean_last for summary in summaries]
        half = stats.sem(means) * stats.t.ppf(0.975, SEEDS - 1)
        assert f"| {statistics.fmean(means):.3f} ± {half:.3f} |" in row
        assert f"{summaries[0].parameters:,}" in row
        best = statistics.fmean(summary.accuracy.best for summary in summaries)
        assert f"| {best:.2f} ± " in row
        passed = sum(summary.verdict.passed for summary in summaries)
        assert f"| {passed} of {SEEDS} (" in row
    assert "(reconstructed)" in rows[1]
    assert "99.10 / 99.50" in rows[0]
    assert "✗ not in" in rows[0]


def test_the_effect_of_a_step_against_its_parent_is_scipys(evidence: StudyEvidence, page: str) -> None:
    first, _, wider = evidence.steps
    assert wider.change is not None
    assert wider.change.against == 0
    values = [[run.summary.accuracy.mean_last for run in step.seeds.finished] for step in (wider, first)]
    low, high = stats.ttest_rel(*values).confidence_interval(0.95)
    difference_of_means = statistics.fmean(values[0]) - statistics.fmean(values[1])
    assert f"{difference_of_means:+.3f} [{low:+.3f}, {high:+.3f}]" in page
    assert "layers, batch size, schedule (**several at once**)" in page
    assert "| `recipe.batch_size` | 32 | 16 |" in page
    assert "+ conv 3x3 4, relu" in page


def write_class(folder: Path) -> Path:
    """Writes files that extend a file of the teacher, and not each other; one of them changes nothing."""
    study = write_study(folder, steps=1)
    (folder / "task.toml").write_text((study / "01-plain.toml").read_text().replace("../letters", "./letters"))
    (study / "01-plain.toml").unlink()
    for name, filters in (("anna", 3), ("bo", 2), ("cem", 4)):
        layers = f'layers = ["conv 3x3 {filters}, relu", "maxpool 4", "flatten", "linear 10"]'
        (study / f"{name}.toml").write_text(f'title = "{name}"\nextends = "../task.toml"\n[network]\n{layers}\n')
    return study


def test_files_that_do_not_extend_each_other_are_compared_as_equals(tmp_path: Path) -> None:
    study = write_class(tmp_path)
    for experiment in steps_of(study):
        perform(experiment, folders=Folders(runs=tmp_path / "runs"), compute=Compute(engine="torch"))
    evidence = gather_study(Study(study), tmp_path / "runs")
    assert not evidence.is_ladder
    assert [step.change for step in evidence.steps] == [None] * 3
    means = [step.seeds.accuracy.mean for step in evidence.steps if step.seeds.accuracy]
    assert means == sorted(means, reverse=True)
    files = write_study_report(evidence)
    text = files.markdown.read_text("utf-8")
    assert "## Results, the highest accuracy first" in text
    assert not re.search(r"\bsteps?\b", text, re.IGNORECASE)
    assert "compared as equals" in files.html.read_text("utf-8")
    assert "1, an anecdote" in text


def test_a_step_that_extends_no_other_has_no_effect(tmp_path: Path) -> None:
    folder = write_study(tmp_path, steps=2)
    (folder / "03-alone.toml").write_text((folder / "01-plain.toml").read_text().replace("3x3 2", "3x3 3"))
    for experiment in steps_of(folder):
        perform(experiment, folders=Folders(runs=tmp_path / "runs"), compute=Compute(engine="torch"))
    evidence = gather_study(Study(folder), tmp_path / "runs")
    assert evidence.is_ladder
    assert [step.change is not None for step in evidence.steps] == [False, True, False]
    text = write_study_report(evidence).markdown.read_text("utf-8")
    assert "| 2 | `02-norm` | `01-plain` |" in text
    assert "(one seed) |" in text


def test_a_reported_accuracy_is_compared_with_the_prediction_interval_of_one_further_seed(
    evidence: StudyEvidence,
) -> None:
    step = evidence.steps[0]
    bests = [run.summary.accuracy.best for run in step.seeds.finished]
    scale = statistics.stdev(bests) * (1 + 1 / SEEDS) ** 0.5
    low, high = stats.t.interval(0.95, SEEDS - 1, loc=statistics.fmean(bests), scale=scale)
    assert step.expected == pytest.approx((max(0, low - 0.005), min(100, high + 0.005)))
    assert step.as_reported is False
    assert evidence.steps[1].as_reported is None


def test_without_experiment_files_a_parent_has_the_name_of_its_own_runs(climb: Path) -> None:
    runs_dir = climb.parent / "runs"
    parent = gather_study(runs_dir / "climb", runs_dir).steps[2].experiment.parent
    assert parent is not None
    assert parent.name == "climb/01-plain"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=9), st.floats(0.1, 20))
def test_spread_labels_keep_their_order_their_mean_and_a_minimum_distance(places: list[float], gap: float) -> None:
    spread = spread_labels(places, gap)
    order = sorted(range(len(places)), key=places.__getitem__)
    assert all(spread[b] - spread[a] > gap - 1e-9 for a, b in itertools.pairwise(order))
    assert statistics.fmean(spread) == pytest.approx(statistics.fmean(places))
    if all(places[b] - places[a] >= gap for a, b in itertools.pairwise(order)):
        assert spread == pytest.approx(places)


def test_every_sentence_of_the_analysis_carries_a_number(evidence: StudyEvidence, page: str) -> None:
    sentences = study_sentences(evidence)
    assert len(sentences) >= 7
    for sentence in sentences:
        assert re.search(r"\d", sentence), sentence
        assert sentence in page


def test_the_report_holds_figures_runs_and_summaries(evidence: StudyEvidence, page: str) -> None:
    for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page):
        with Image.open(evidence.folder / name) as image:
            assert 300 < min(image.size) < max(image.size) < 3_000
    for step in evidence.steps:
        for run in step.seeds.finished:
            assert f"| `{run.run.path}` | {run.seed} |" in page
    documents = [json.loads(line) for line in (evidence.folder / "summaries.jsonl").read_text().splitlines()]
    assert [(document["experiment"], document["seed"]) for document in documents] == [
        (f"climb/{step}", seed) for step in STEPS for seed in range(SEEDS)
    ]
    assert all(document.pop("status") == "finished" for document in documents)
    finished = [run for step in evidence.steps for run in step.seeds.finished]
    summaries = [json.loads((run.run.path / "summary.json").read_text()) for run in finished]
    checksums = ("files", "sha256")
    assert documents == [{key: value for key, value in one.items() if key not in checksums} for one in summaries]


def test_text_from_files_stays_text(page: str) -> None:
    assert "### Wider: `03-wider`" in page
    for row in (line for line in page.splitlines() if re.match(r"\| \d \| `", line)):
        assert row.count(" | ") in (7, 12), row


def test_the_run_folders_alone_make_the_same_report(evidence: StudyEvidence) -> None:
    alone = gather_study(evidence.folder, evidence.folder.parent)
    assert [step.name for step in alone.steps] == list(STEPS)
    for step, other in zip(alone.steps, evidence.steps, strict=True):
        assert step.seeds.accuracies() == other.seeds.accuracies()
        assert bool(step.change) == bool(other.change)
        if step.change and other.change:
            assert (step.change.against, step.change.components) == (other.change.against, other.change.components)
            assert step.change.accuracy == other.change.accuracy


def test_the_command_reports_a_study(climb: Path) -> None:
    assert command("report", "climb", cwd=climb.parent) == ("runs/climb/report.html\n", "")


def test_runs_of_a_changed_file_are_named_and_left_out(climb: Path, tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    shutil.copytree(climb.parent / "runs", runs_dir)
    changed = load(climb / "01-plain.toml", ["recipe.epochs=1"])
    perform(changed, folders=Folders(runs=runs_dir), compute=Compute(engine="torch"))
    evidence = gather_study(Study(climb), runs_dir)
    assert [path.name for path in evidence.left_out] == [f"01-plain-{changed.fingerprint}"]
    assert evidence.steps[0].seeds.n == SEEDS
    assert changed.fingerprint in write_study_report(evidence).markdown.read_text("utf-8")


def test_an_unfinished_study_names_the_steps_without_runs(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    with pytest.raises(DrilldownError, match="no runs here"):
        gather_study(Study(folder), tmp_path / "runs", "drilldown study climb")
    perform(steps_of(folder)[0], folders=Folders(runs=tmp_path / "runs"), compute=Compute(engine="torch"))
    text = write_study_report(
        gather_study(Study(folder), tmp_path / "runs", "drilldown study climb")
    ).markdown.read_text("utf-8")
    assert "none of `03-wider`: `drilldown study climb`" in text


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("eva5-s5/05", "eva5-s5/06", ("dropout",)),
        ("eva5-s5/01", "eva5-s5/02", ("layers",)),
        ("eva5-s5/03", "eva5-s5/04", ("layers", "batch norm", "batch size")),
        ("eva5-s5/04", "eva5-s5/05", ("schedule", "augmentation")),
        ("eva5-s5/02", "eva5-s5/03", ("layers", "global average pooling")),
        ("s5/03", "s5/04", ("layers", "optimizer", "schedule", "augmentation")),
        ("eva5-s5/06", "eva5-s5/06", ()),
    ],
)
def test_changes_are_named_as_the_components_of_a_recipe(before: str, after: str, changed: tuple[str, ...]) -> None:
    assert changed_components(load(before), load(after)) == changed


def test_a_budget_is_no_component_and_settings_have_their_usual_names() -> None:
    plain = load("under-8k")
    other = load(
        "under-8k",
        ["budget.hold=3", "recipe.ema=0.9", "recipe.label_smoothing=0.1", "recipe.holdout=10", "recipe.augment={}"],
    )
    components = changed_components(plain, other)
    assert set(components) == {"augmentation", "label smoothing", "weight averaging", "validation split"}


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("eva", ["ambiguous", "eva-drilldown, eva5-s5"]),
        ("eva5-s5/06", ["is one step", 'did you mean "eva5-s5"?']),
        ("undr-8k", ['no study "undr-8k"', 'did you mean "under-8k"?']),
        ("", ["no study"]),
        ("absent.toml", ["absent.toml: no such folder"]),
    ],
)
def test_a_name_that_is_no_study_is_refused(reference: str, parts: list[str]) -> None:
    with pytest.raises(DrilldownError) as caught:
        find_study(reference)
    for part in parts:
        assert part in str(caught.value)


def test_an_empty_folder_is_no_study_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DrilldownError, match="no experiments here"):
        command("study", "nothing", cwd=tmp_path)
    with pytest.raises(DrilldownError, match=r"no runs here.*drilldown study under-8k"):
        command("report", "under-8k", cwd=tmp_path)
    assert not (tmp_path / "runs").exists()


def test_zero_seeds_are_refused(tmp_path: Path) -> None:
    refused = drilldown("study", "under-8k", "--seeds", "0", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert "--seeds" in refused.stderr
    assert not (tmp_path / "runs").exists()
