"""Studies: run seed by seed, stopped and gone on with, beside other processes; and what their report says."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import signal
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from support.study import STEPS, command, write_study

from support.cli import drilldown, start
from drilldown import load
from drilldown.analysis.ablation import list_variations
from drilldown.analysis.seeds import Seeds
from drilldown.analysis.study import StudyEvidence, gather_study
from drilldown.errors import DrilldownError, TrainingDivergedError
from drilldown.experiment.difference import changed_components
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.studies import Study, find_study
from drilldown.report.axes import spread_labels
from drilldown.report.study.analysis import study_sentences
from drilldown.report.study.writing import write_study_report
from drilldown.runs.perform import perform
from drilldown.runs.run import FINISHED, Run
from drilldown.runs.worklist import Estimate, Task, Watcher, WorkPlan, estimate_time, list_tasks, plan_work, train_all

SEEDS = 3


class Witness(Watcher):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self.failed: list[tuple[str, int]] = []
        self.waited: list[Path] = []

    def begins(self, task: Task, left: Sequence[Task], estimate: Estimate) -> None:  # noqa: ARG002
        self.begun.append((task.experiment.name, task.seed))

    def diverged(self, task: Task, error: TrainingDivergedError) -> None:  # noqa: ARG002
        self.failed.append((task.experiment.name, task.seed))

    def waits(self, task: Task) -> None:
        self.waited.append(task.run.path)


def steps_of(folder: Path) -> list[Experiment]:
    return [load(file) for file in Study(folder).steps]


def train(plan: WorkPlan) -> Witness:
    witness = Witness()
    train_all(plan, witness, engine="torch", threads=1)
    return witness


@pytest.fixture(scope="module")
def climb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study whose three steps have three seeds each."""
    folder = write_study(tmp_path_factory.mktemp("climb"))
    train(plan_work(list_tasks(steps_of(folder), SEEDS, folder.parent / "runs")))
    return folder


@pytest.fixture(scope="module")
def evidence(climb: Path) -> StudyEvidence:
    return gather_study(Study(climb), climb.parent / "runs", "drilldown study climb")


@pytest.fixture(scope="module")
def page(evidence: StudyEvidence) -> str:
    return write_study_report(evidence).markdown.read_text("utf-8")


def test_runs_are_done_seed_by_seed_so_that_a_study_cut_short_has_pairs(tmp_path: Path) -> None:
    experiments = steps_of(write_study(tmp_path))
    done = [(task.experiment.title, task.seed) for task in list_tasks(experiments, 2, tmp_path)]
    titles = [experiment.title for experiment in experiments]
    assert done == [(title, seed) for seed in range(2) for title in titles]


def test_what_earlier_steps_tell_already_is_no_ablation(evidence: StudyEvidence) -> None:
    variations, _ = list_variations(evidence.steps[1].experiment)
    assert [one.experiment.name for one in variations if one.component == "batch norm"] == ["climb/01-plain"]
    assert evidence.ablations == ()


def test_what_is_there_is_not_done_again(climb: Path) -> None:
    plan = plan_work(list_tasks(steps_of(climb), SEEDS, climb.parent / "runs"))
    assert str(plan) == "9 of 9 runs are there, nothing is left to do"
    assert train(plan).begun == []


def test_a_longer_list_does_only_what_is_new(climb: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(climb.parent / "runs", runs)
    plan = plan_work(list_tasks(steps_of(climb), SEEDS + 1, runs))
    assert str(plan).startswith("9 of 12 runs are there, 3 to do; about ")
    assert train(plan).begun == [(f"climb/{step}", SEEDS) for step in STEPS]


def test_how_long_it_takes_is_told_from_the_same_step_or_from_multiply_adds(tmp_path: Path) -> None:
    first, _, wider = steps_of(write_study(tmp_path))
    tasks = list_tasks([first, wider], 3, tmp_path / "runs")
    unknown = estimate_time(tasks, tasks)
    assert unknown == Estimate(0.0, 6)
    assert "not known" in str(unknown)
    seconds = perform(first, runs=tmp_path / "runs", engine="torch").summary["seconds"]
    plan = plan_work(tasks)
    work = wider.model_summary.multiply_adds / first.model_summary.multiply_adds
    assert plan.estimate.unknown == 0
    assert plan.estimate.seconds == pytest.approx(seconds * (2 + 3 * work))
    assert estimate_time(plan.todo, tasks, "native") == Estimate(0.0, 5)


def test_epochs_that_are_saved_are_not_counted_again(tmp_path: Path) -> None:
    (first, *_) = steps_of(write_study(tmp_path))
    runs = tmp_path / "runs"
    done = perform(first, runs=runs, engine="torch")
    shutil.copytree(done.path, Run.of(first, 1, runs).path)
    (Run.of(first, 1, runs).path / "summary.json").unlink()
    plan = plan_work(list_tasks([first], 3, runs))
    assert len(plan.todo) == 2
    assert plan.estimate.seconds == pytest.approx(done.summary["seconds"])


def test_a_run_in_other_hands_is_passed_over_and_waited_for_at_the_end(tmp_path: Path) -> None:
    experiments = steps_of(write_study(tmp_path))
    tasks = list_tasks(experiments, 1, tmp_path / "runs")
    held = contextlib.ExitStack()
    held.enter_context(tasks[0].run.lock())
    plan = plan_work(tasks)
    assert "1 under way in another process" in str(plan)

    class LetsGo(Witness):
        def waits(self, task: Task) -> None:
            super().waits(task)
            held.close()

    witness = LetsGo()
    train_all(plan, witness, engine="torch")
    assert [name for name, _ in witness.begun] == ["climb/02-norm", "climb/03-wider", "climb/01-plain"]
    assert witness.waited == [tasks[0].run.path]
    assert all(task.run.status == FINISHED for task in tasks)


def test_a_run_that_another_process_ends_meanwhile_is_not_done_again(climb: Path, tmp_path: Path) -> None:
    experiments = steps_of(climb)
    tasks = list_tasks(experiments, 1, tmp_path / "runs")
    plan = plan_work(tasks)
    shutil.copytree(climb.parent / "runs", tmp_path / "runs")
    assert train(plan).begun == []


def test_a_run_that_diverges_counts_as_failed_and_the_study_goes_on(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    (folder / "02-norm.toml").write_text(
        'title = "Hasty"\nextends = "01-plain.toml"\n[recipe]\noptimizer = { name = "sgd", lr = 1e30 }\n'
    )
    plan = plan_work(list_tasks(steps_of(folder), 2, tmp_path / "runs"))
    witness = train(plan)
    assert len(witness.begun) == 6
    assert witness.failed == [("climb/02-norm", 0), ("climb/02-norm", 1)]
    assert plan_work(plan.tasks).todo == ()
    found = gather_study(Study(folder), tmp_path / "runs")
    written = write_study_report(found).markdown
    text = written.read_text("utf-8")
    assert "| 2 | `02-norm` |" in text
    assert "0 of 2 (0–66 %)" in text
    assert "`02-norm` (2 of 2 seeds)" in text
    assert "no seeds in common" in text
    said = [json.loads(line) for line in (written.parent / "summaries.jsonl").read_text().splitlines()]
    assert [one["status"] for one in said].count("diverged") == 2
    assert len(said) == 6


def test_a_study_that_is_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    write_study(tmp_path, epochs=24, steps=2)
    asked = ("study", "climb", "--seeds", "1", "--engine", "torch")
    process = start(*asked, cwd=tmp_path)
    assert process.stderr is not None
    seen, in_second = "", False
    for line in process.stderr:
        seen += line
        in_second = in_second or line.startswith("run 2 of 2")
        if in_second and line.strip().startswith("2 "):
            break
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=30)
    assert process.returncode == 130, seen + rest
    assert seen.startswith("climb: 0 of 2 runs are there, 2 to do; how long is not known")
    assert "1 of 2 runs are there" in rest
    assert "go on with: drilldown study climb --seeds 1" in rest
    (first,) = (tmp_path / "runs").glob("climb/*/seed-0/summary.json")
    written = first.stat().st_mtime_ns
    printed, told = command(*asked, cwd=tmp_path)
    assert told.startswith("climb: 1 of 2 runs are there, 1 to do; about ")
    assert "going on after epoch" in told
    assert first.stat().st_mtime_ns == written
    assert printed.splitlines()[-1].split() == ["report", "runs/climb/report.html"]
    assert max(map(len, printed.splitlines())) <= 80
    assert "\x1b" not in printed + told


def test_two_processes_share_a_study_and_repeat_nothing(tmp_path: Path) -> None:
    write_study(tmp_path, epochs=8)
    asked = ("study", "climb", "--seeds", "2", "--engine", "torch")
    both = [start(*asked, cwd=tmp_path) for _ in range(2)]
    ended = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    trained = Counter(re.findall(r"climb/\S+ · seed \d", "".join(err for _, err in ended)))
    assert sorted(trained) == [f"climb/{step} · seed {seed}" for step in STEPS for seed in range(2)]
    assert set(trained.values()) == {1}
    assert len(list((tmp_path / "runs").glob("climb/*/seed-*/summary.json"))) == 6


def test_the_ladder_has_the_figures_of_the_runs(evidence: StudyEvidence, page: str) -> None:
    rows = [line for line in page.split("## What each step")[0].splitlines() if re.match(r"\| \d \|", line)]
    assert len(rows) == 3
    for row, step in zip(rows, evidence.steps, strict=True):
        summaries = [one.run.summary for one in step.seeds.finished]
        means = [summary["accuracy"]["mean_last"] for summary in summaries]
        half = stats.sem(means) * stats.t.ppf(0.975, SEEDS - 1)
        assert f"| {statistics.fmean(means):.3f} ± {half:.3f} |" in row
        assert f"{summaries[0]['parameters']:,}" in row
        best = statistics.fmean(summary["accuracy"]["best"] for summary in summaries)
        assert f"| {best:.2f} ± " in row
        passed = sum(summary["verdict"]["passed"] for summary in summaries)
        assert f"| {passed} of {SEEDS} (" in row
    assert "(reconstructed)" in rows[1]
    assert "99.10 / 99.50" in rows[0]
    assert "✗ not in" in rows[0]


def test_a_step_is_worth_what_scipy_says_against_the_one_that_it_extends(evidence: StudyEvidence, page: str) -> None:
    first, _, wider = evidence.steps
    assert wider.change is not None
    assert wider.change.against == 0
    assert wider.change.extends
    values = [[one.summary["accuracy"]["mean_last"] for one in step.seeds.finished] for step in (wider, first)]
    low, high = stats.ttest_rel(*values).confidence_interval(0.95)
    difference_of_means = statistics.fmean(values[0]) - statistics.fmean(values[1])
    assert f"{difference_of_means:+.3f} [{low:+.3f}, {high:+.3f}]" in page
    assert "layers, batch size, schedule (**several at once**)" in page
    assert "| `recipe.batch_size` | 32 | 16 |" in page
    assert "+ conv 3x3 4, relu" in page


def test_a_step_that_extends_none_of_the_study_is_set_against_the_one_before(tmp_path: Path) -> None:
    folder = write_study(tmp_path, steps=1)
    (folder / "02-alone.toml").write_text((folder / "01-plain.toml").read_text().replace("3x3 2", "3x3 3"))
    for experiment in steps_of(folder):
        perform(experiment, runs=tmp_path / "runs", engine="torch")
    found = gather_study(Study(folder), tmp_path / "runs")
    assert found.steps[1].change is not None
    assert (found.steps[1].change.against, found.steps[1].change.extends) == (0, False)
    text = write_study_report(found).markdown.read_text("utf-8")
    assert "(the step before)" in text
    assert "1, an anecdote" in text
    assert "(one seed) |" in text
    assert "2 of 2 steps rest on one seed" in text


def test_a_reported_figure_is_held_against_where_one_further_seed_would_fall(evidence: StudyEvidence) -> None:
    step = evidence.steps[0]
    bests = [one.run.summary["accuracy"]["best"] for one in step.seeds.finished]
    scale = statistics.stdev(bests) * (1 + 1 / SEEDS) ** 0.5
    low, high = stats.t.interval(0.95, SEEDS - 1, loc=statistics.fmean(bests), scale=scale)
    assert step.expected == pytest.approx((max(0, low - 0.005), min(100, high + 0.005)))
    assert step.as_reported is False
    assert evidence.steps[1].as_reported is None


def test_where_only_runs_are_at_hand_a_parent_has_the_name_of_its_own_runs(climb: Path) -> None:
    runs_dir = climb.parent / "runs"
    parent = gather_study(runs_dir / "climb", runs_dir).steps[2].experiment.parent
    assert parent is not None
    assert parent.name == "climb/01-plain"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=9), st.floats(0.1, 20))
def test_labels_lie_apart_in_their_order_around_their_places(places: list[float], gap: float) -> None:
    found = spread_labels(places, gap)
    order = sorted(range(len(places)), key=places.__getitem__)
    assert all(found[b] - found[a] > gap - 1e-9 for a, b in itertools.pairwise(order))
    assert statistics.fmean(found) == pytest.approx(statistics.fmean(places))
    if all(places[b] - places[a] >= gap for a, b in itertools.pairwise(order)):
        assert found == pytest.approx(places)


def test_every_sentence_of_the_analysis_carries_a_number(evidence: StudyEvidence, page: str) -> None:
    sentences = study_sentences(evidence)
    assert len(sentences) >= 7
    for sentence in sentences:
        assert re.search(r"\d", sentence), sentence
        assert sentence in page


def test_figures_runs_and_summaries_are_there(evidence: StudyEvidence, page: str) -> None:
    for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page):
        with Image.open(evidence.folder / name) as image:
            assert 300 < min(image.size) < max(image.size) < 3_000
    for step in evidence.steps:
        for one in step.seeds.finished:
            assert f"| `{one.run.path}` | {one.seed} |" in page
    said = [json.loads(line) for line in (evidence.folder / "summaries.jsonl").read_text().splitlines()]
    assert [(one["experiment"], one["seed"]) for one in said] == [
        (f"climb/{step}", seed) for step in STEPS for seed in range(SEEDS)
    ]
    assert all(one.pop("status") == "finished" for one in said)
    assert said == [one.run.summary for step in evidence.steps for one in step.seeds.finished]


def test_text_from_files_stays_text(page: str) -> None:
    assert "### Wider: `03-wider`" in page
    for row in (line for line in page.splitlines() if re.match(r"\| \d \| `", line)):
        assert row.count(" | ") in (7, 12), row


def test_the_run_folders_alone_make_the_same_report(evidence: StudyEvidence) -> None:
    alone = gather_study(evidence.folder, evidence.folder.parent)
    assert [step.name for step in alone.steps] == list(STEPS)
    for one, other in zip(alone.steps, evidence.steps, strict=True):
        assert one.seeds.accuracies() == other.seeds.accuracies()
        assert bool(one.change) == bool(other.change)
        if one.change and other.change:
            assert (one.change.against, one.change.components) == (other.change.against, other.change.components)
            assert one.change.accuracy == other.change.accuracy


def test_the_command_reports_a_study(climb: Path) -> None:
    assert command("report", "climb", cwd=climb.parent) == ("runs/climb/report.html\n", "")


def test_runs_of_a_file_that_has_changed_are_named_and_left_out(climb: Path, tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    shutil.copytree(climb.parent / "runs", runs_dir)
    changed = load(climb / "01-plain.toml", ["recipe.epochs=1"])
    perform(changed, runs=runs_dir, engine="torch")
    found = gather_study(Study(climb), runs_dir)
    assert [path.name for path in found.left_out] == [f"01-plain-{changed.fingerprint}"]
    assert found.steps[0].seeds.n == SEEDS
    assert changed.fingerprint in write_study_report(found).markdown.read_text("utf-8")


def test_a_study_half_done_says_which_steps_lack_runs(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    with pytest.raises(DrilldownError, match="no runs here"):
        gather_study(Study(folder), tmp_path / "runs", "drilldown study climb")
    perform(steps_of(folder)[0], runs=tmp_path / "runs", engine="torch")
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
def test_changes_are_named_as_the_ingredients_of_a_recipe(before: str, after: str, changed: tuple[str, ...]) -> None:
    assert changed_components(load(before), load(after)) == changed


def test_a_budget_is_no_ingredient_and_settings_have_the_names_one_says() -> None:
    plain = load("under-8k")
    other = load(
        "under-8k",
        ["budget.hold=3", "recipe.ema=0.9", "recipe.label_smoothing=0.1", "recipe.holdout=10", "recipe.augment={}"],
    )
    found = changed_components(plain, other)
    assert set(found) == {"augmentation", "label smoothing", "weight averaging", "validation split"}


def test_seeds_know_what_is_under_way(climb: Path, tmp_path: Path) -> None:
    experiment = load(climb / "01-plain.toml")
    runs_dir = tmp_path / "runs"
    shutil.copytree(climb.parent / "runs", runs_dir)
    (Run.of(experiment, 1, runs_dir).path / "summary.json").unlink()
    seeds = Seeds.of(experiment, runs_dir)
    assert [one.seed for one in seeds.finished] == [0, 2]
    assert [run.seed for run in seeds.unfinished] == [1]
    assert seeds.n == 2


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
def test_a_name_that_is_no_study_says_so(reference: str, parts: list[str]) -> None:
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


def test_no_seeds_are_bad_usage(tmp_path: Path) -> None:
    refused = drilldown("study", "under-8k", "--seeds", "0", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert "--seeds" in refused.stderr
    assert not (tmp_path / "runs").exists()
