"""What is committed under results/ is what its runs say, and can be gone on from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from scipy import stats

from drilldown import Folders, load
from drilldown.analysis.ablation import existing_ablation
from drilldown.analysis.seeds import Seeds
from drilldown.network.module_loader import load_module
from drilldown.report.ablation import ablation_sentences
from drilldown.resources import resource_folder
from drilldown.runs.finding import all_runs
from drilldown.runs.folder import FINISHED
from drilldown.runs.perform import perform
from drilldown.runs.run import Run
from support.study import command

RESULTS = resource_folder("benchmarks").parent / "results"
HEAVY = ("state.safetensors", "weights.safetensors", "predictions.safetensors")
QUICK = ["recipe.dataset=glyphs", "recipe.epochs=1"]


@pytest.fixture
def collect(tmp_path: Path) -> ModuleType:
    """`results/collect.py`, in a results folder of its own."""
    folder = tmp_path / "results"
    folder.mkdir()
    for file in RESULTS.glob("*.py"):
        shutil.copy(file, folder)
    return load_module("collect.py:", folder)


def test_a_run_that_is_kept_and_unpacked_says_what_it_said(collect: ModuleType, tmp_path: Path) -> None:
    trained = perform(load("under-8k", QUICK), folders=Folders(runs=tmp_path / "runs"))
    collect.keep_runs(tmp_path / "runs")
    collect.unpack(tmp_path / "again")
    (kept,) = all_runs(tmp_path / "again")
    assert (kept.name, kept.seed, kept.status) == (trained.name, trained.seed, FINISHED)
    assert (kept.summary, kept.epochs) == (trained.summary, trained.epochs)
    assert kept.experiment.to_toml() == trained.experiment.to_toml()
    assert not any((kept.path / name).exists() for name in HEAVY)


def test_what_is_kept_gives_way_to_its_folder_and_never_the_other_way_round(
    collect: ModuleType, tmp_path: Path
) -> None:
    trained = perform(load("under-8k", QUICK), folders=Folders(runs=tmp_path / "runs"))
    file = tmp_path / "results" / "under-8k" / "runs.jsonl"
    collect.keep_runs(tmp_path / "runs")
    before = file.read_text("utf-8")
    collect.unpack(tmp_path / "runs")
    assert all((trained.path / name).exists() for name in HEAVY)
    file.write_text(before.replace("glyphs", "elsewhere"), "utf-8")
    collect.keep_runs(tmp_path / "runs")
    assert file.read_text("utf-8") == before


def test_without_weights_a_run_is_shown_and_not_repeated_and_says_what_it_cannot(tmp_path: Path) -> None:
    arguments = ["run", "under-8k", *(f"--set={setting}" for setting in QUICK)]
    command(*arguments, cwd=tmp_path)
    (run,) = all_runs(tmp_path / "runs")
    records = run.epochs
    for name in (*HEAVY, "report.html", "report.md"):
        (run.path / name).unlink()
    said = (run.path / "summary.json").stat().st_mtime_ns
    shown, _ = command(*arguments, cwd=tmp_path)
    assert f"{float(records[-1].test.accuracy):.2f} %" in shown
    assert "report.html" not in shown
    assert (run.path / "summary.json").stat().st_mtime_ns == said
    assert Run(run.path).epochs == records
    with pytest.raises(Exception, match=r"weights and predictions were deleted.*--again"):
        command("report", "last", cwd=tmp_path)


def test_records_that_cannot_be_read_are_said_so(tmp_path: Path) -> None:
    run = perform(load("under-8k", QUICK), folders=Folders(runs=tmp_path / "runs"))
    (run.path / "state.safetensors").unlink()
    (run.path / "epochs.jsonl").write_text('{"epoch": 1}\n{"epo', "utf-8")
    with pytest.raises(Exception, match=r"epochs\.jsonl: cannot be read"):
        _ = run.epochs


def test_the_committed_reports_are_those_of_the_committed_runs(
    collect: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for study in RESULTS.iterdir():
        if (study / "runs.jsonl").is_file():
            (tmp_path / "results" / study.name).mkdir()
            shutil.copy(study / "runs.jsonl", tmp_path / "results" / study.name)
    for journal in RESULTS.glob("searches/*/search.jsonl"):
        kept = tmp_path / "results" / journal.relative_to(RESULTS).parent
        kept.mkdir(parents=True)
        for name in ("search.toml", "search.jsonl"):
            shutil.copy(journal.with_name(name), kept)
    shutil.copy(RESULTS / "README.md", tmp_path / "results")
    for question in (RESULTS / "questions").glob("*.toml"):
        (tmp_path / "results" / "questions").mkdir(exist_ok=True)
        shutil.copy(question, tmp_path / "results" / "questions")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    collect.unpack(Path("runs"))
    collect.report_on_all()
    made = sorted(path.relative_to(tmp_path / "results") for path in (tmp_path / "results").rglob("*.md"))
    assert len(made) > 6
    for page in made:
        assert (tmp_path / "results" / page).read_text("utf-8") == (RESULTS / page).read_text("utf-8"), page


def test_every_committed_run_is_whole() -> None:
    for file in RESULTS.glob("*/runs.jsonl"):
        for line in file.read_text("utf-8").splitlines():
            kept = json.loads(line)
            if "diverged.json" in kept:
                continue
            summary = json.loads(kept["summary.json"])
            records = [json.loads(record) for record in kept["epochs.jsonl"].splitlines()]
            assert len(records) == summary["epochs"], kept["run"]
            assert [record["test_correct"] for record in records][-len(summary["last_correct"]) :] == summary[
                "last_correct"
            ]
            assert kept["run"].endswith(f"-{summary['fingerprint']}/seed-{summary['seed']}")


def test_an_ingredient_without_which_every_seed_is_worse_is_not_said_to_be_worth_nothing(
    collect: ModuleType, tmp_path: Path
) -> None:
    """Without batch norm some seeds learn and others do not: an interval of their mean spans zero all the same."""
    reached = {name: list(counts.values()) for name, counts in last_counts("under-8k", collect, tmp_path).items()}
    full = reached.pop("01-flagship")
    below = {name.partition("-without-")[2] for name, found in reached.items() if max(found) < min(full)}
    assert {"batch-norm", "schedule"} <= below
    taken_apart = existing_ablation(Seeds.of(load("under-8k"), tmp_path / "runs"), tmp_path / "runs")
    assert taken_apart
    (nothing,) = [
        sentence for sentence in ablation_sentences(taken_apart) if sentence.startswith("No measurable effect")
    ]
    for component in below:
        assert component.replace("-", " ") not in nothing


def test_what_lasts_where_all_ingredients_are_asked_at_once_is_what_scipy_says(
    collect: ModuleType, tmp_path: Path
) -> None:
    reached = last_counts("era-s7", collect, tmp_path)
    full = reached["06-flagship-recipe"]
    ps: dict[str, float] = {}
    for name, counts in reached.items():
        seeds = sorted(counts.keys() & full.keys())
        if name.startswith("06-flagship-recipe-without-") and len(seeds) >= 3:
            pair = [counts[seed] for seed in seeds], [full[seed] for seed in seeds]
            ps[name.partition("-without-")[2].replace("-", " ")] = float(stats.ttest_rel(*pair).pvalue)
    lasting = []
    for rank, name in enumerate(sorted(ps, key=lambda name: ps[name])):  # Holm's procedure as he states it: step down
        if ps[name] > 0.05 / (len(ps) - rank):
            break
        lasting.append(name)
    alone = [name for name, p in ps.items() if p < 0.05]
    assert 0 < len(lasting) < len(alone)
    taken_apart = existing_ablation(Seeds.of(load("era-s7/06"), tmp_path / "runs"), tmp_path / "runs")
    assert taken_apart
    (said,) = [
        sentence for sentence in ablation_sentences(taken_apart) if sentence.startswith("Measurable when tested alone")
    ]
    assert f": {len(alone)} of {len(ps)};" in said
    assert said.endswith(f"(Holm): {', '.join(lasting)}.")


def last_counts(study: str, collect: ModuleType, folder: Path) -> dict[str, dict[int, int]]:
    """Unpacks a study's committed runs; test images right in their last five epochs, by step and seed."""
    (folder / "results" / study).mkdir()
    shutil.copy(RESULTS / study / "runs.jsonl", folder / "results" / study)
    collect.unpack(folder / "runs")
    found: dict[str, dict[int, int]] = {}
    for line in (RESULTS / study / "runs.jsonl").read_text("utf-8").splitlines():
        kept = json.loads(line)
        step, _, seed = kept["run"].rpartition("/seed-")
        if "epochs.jsonl" in kept:
            records = [json.loads(record) for record in kept["epochs.jsonl"].splitlines()]
            if "summary.json" in kept:
                counts = sum(record["test_correct"] for record in records[-5:])
                found.setdefault(step.rpartition("-")[0], {})[int(seed)] = counts
    return found
