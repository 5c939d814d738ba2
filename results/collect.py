"""Collects the measurements: the runs and the report of every study in this folder, and all of them in its README.

    python results/collect.py [RUNS]            keep the runs under RUNS (default: `runs`) and write all reports
    python results/collect.py --unpack [RUNS]   write the kept runs into RUNS, where they do not exist yet

A study's folder here keeps its runs in `runs.jsonl`, one line per run: the texts of the run's folder, without weights
and predictions. All reports are made from these lines alone, so every clone gives the same reports. Unpacked, they are
runs like any other, and `drilldown study` trains the missing ones. `questions/` is kept in the same way and has no
report of its own: an experiment there is a step of a study with a change that could explain its reported figure.
`searches/` keeps the file and the journal of each search, and the report that is made from them. README.md
gets tables of all steps, questions, ablations and searches between markers (text between them is overwritten), and a
figure over all studies. Nothing is trained.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from figures import overview

from drilldown.analysis.ablation import Removal
from drilldown.analysis.seeds import Seeds, measure_effect
from drilldown.analysis.study import StudyEvidence, StudyStep, gather_study, is_folder_of_runs
from drilldown.experiment.loading import read_experiment
from drilldown.experiment.reported import Reported
from drilldown.experiment.studies import Study, available_studies
from drilldown.report.ablation import write_ablation_report
from drilldown.report.pictures import figure_png
from drilldown.report.search.answer import find_answer
from drilldown.report.search.evidence import SearchEvidence
from drilldown.report.search.writing import write_stored_search_report
from drilldown.report.study.markdown import within
from drilldown.report.study.writing import write_study_report
from drilldown.report.text import code_text, interval_text, rate_text
from drilldown.runs.finding import all_runs
from drilldown.runs.folder import DIVERGED, FINISHED
from drilldown.search.journal import JOURNAL
from drilldown.search.running import SEARCH, first_limit, load_state, search_folder
from drilldown.search.stored import read_stored_search
from drilldown.settings import RUNS_DIR

HERE = Path(__file__).parent.resolve()
QUESTIONS = Study(HERE / "questions")
BEGIN, END = "<!-- made by collect.py: {} -->", "<!-- end of what collect.py makes: {} -->"
TEXTS = ("experiment.toml", "parent.toml", "epochs.jsonl", "summary.json", "diverged.json")
"""The files that are kept of a run's folder."""
REPORTS = ("report.html", "report.md", "summaries.jsonl", "figures")
SEARCHES = HERE / "searches"
KINDS = {"confirmed": "confirmed", "measured": "measured", "leading": "not confirmed"}
"""The words for the kinds of answers of a search."""
SEARCH_REPORTS = ("report.html", "report.md", "winner.toml", "figures")


def main() -> None:
    """Keeps runs and writes reports, or unpacks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="?", type=Path, default=RUNS_DIR)
    parser.add_argument("--unpack", action="store_true")
    options = parser.parse_args()
    if options.unpack:
        unpack(options.runs)
    else:
        keep_runs(options.runs)
        keep_searches(options.runs)
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # reports name runs as users would
            unpack(RUNS_DIR)
            report_on_all()


def keep_runs(runs: Path) -> None:
    """Keeps every finished or diverged run; its folder replaces the line of a run that is kept already."""
    kept = {study: packed(study) for study in names()}
    for run in all_runs(runs):
        study = run.path.parent.parent.name
        if study in kept and run.status in (FINISHED, DIVERGED):
            name_in_study = f"{run.path.parent.name}/{run.path.name}"
            kept[study][name_in_study] = {
                name: (run.path / name).read_text("utf-8") for name in TEXTS if (run.path / name).is_file()
            }
    for study, texts in kept.items():
        if texts:
            (HERE / study).mkdir(exist_ok=True)
            lines = [json.dumps({"run": name, **texts[name]}, ensure_ascii=False) + "\n" for name in sorted(texts)]
            (HERE / study / "runs.jsonl").write_text("".join(lines), "utf-8")


def unpack(runs: Path) -> None:
    """Writes the kept runs as folders; existing folders stay as they are."""
    for study in names():
        for name_in_study, texts in packed(study).items():
            folder = runs / study / name_in_study
            if not folder.exists():
                folder.mkdir(parents=True)
                for name, text in texts.items():
                    (folder / name).write_text(text, "utf-8")

    for kept in kept_searches():
        folder = search_folder(read_stored_search(kept)[0], runs)
        if not folder.exists():
            folder.mkdir(parents=True)
            for name in (SEARCH, JOURNAL):
                shutil.copy(kept / name, folder)


def keep_searches(runs: Path) -> None:
    """Keeps each search whose winner was measured on fresh seeds, under the name of its file or in its old place."""
    places = {read_stored_search(kept)[0].fingerprint: kept for kept in kept_searches()}
    for folder in (journal.parent for journal in sorted(runs.glob(f"*/*/{JOURNAL}"))):
        search, events = read_stored_search(folder)
        state = load_state(search, events)
        answer = find_answer(search, state)
        if answer and answer.fresh and state.open_trial is None:
            kept = places.get(search.fingerprint, SEARCHES / Path(search.name).name)
            kept.mkdir(parents=True, exist_ok=True)
            for name in (SEARCH, JOURNAL):
                shutil.copy(folder / name, kept)


def kept_searches() -> list[Path]:
    """The folders of the kept searches."""
    return sorted(journal.parent for journal in SEARCHES.glob(f"*/{JOURNAL}"))


def packed(study: str) -> dict[str, dict[str, str]]:
    """The kept runs of a study: the texts of each, by its path in the study's folder of runs."""
    file = HERE / study / "runs.jsonl"
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    return {texts.pop("run"): texts for texts in map(json.loads, lines)}


def names() -> list[str]:
    """The names of the folders that keep runs: all studies, and the questions."""
    return [study.name for study in (*available_studies(), QUESTIONS)]


def report_on_all() -> None:
    """Writes the report of each study that has runs under `runs`, and the tables of README.md."""
    measured = [
        gather_study(study, RUNS_DIR, f"drilldown study {study.name}")
        for study in available_studies()
        if is_folder_of_runs(RUNS_DIR / study.name)
    ]
    for evidence in measured:
        write_study_report(evidence)
        pages = [write_ablation_report(ablation, RUNS_DIR).name for ablation in evidence.ablations]
        copy_parts(evidence.folder, HERE / evidence.name, (*REPORTS, *pages))
    for kept in kept_searches():
        folder = search_folder(read_stored_search(kept)[0], RUNS_DIR)
        write_stored_search_report(folder)
        copy_parts(folder, kept, SEARCH_REPORTS)
    (HERE / "parameters.png").write_bytes(figure_png(overview(measured)))
    readme = HERE / "README.md"
    text = readme.read_text("utf-8")
    tables = {
        "steps": steps_table(measured), "questions": questions_table(), "ablations": ablations_table(measured),
    }  # fmt: skip
    if kept_searches():
        tables["searches"] = searches_table()
    for name, made in tables.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n\n{made}\n{end}{after}"
    readme.write_text(text, "utf-8")


def copy_parts(source: Path, target: Path, names: Sequence[str]) -> None:
    """Copies the files and folders of these names that exist."""
    for name in names:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)
        elif (source / name).is_file():
            shutil.copy(source / name, target)


def steps_table(measured: Sequence[StudyEvidence]) -> str:
    """All steps of all studies, beside the figures that their authors report."""
    lines = [
        "| step | parameters | seeds | reported, % | our best epoch, % | reported within our spread "
        "| mean of the last epochs, % | budget met | effect, points |",
        "| --- | --: | --: | --: | --: | --- | --: | --- | --: |",
    ]
    for evidence in measured:
        lines.append(f"| [**{evidence.name}**]({evidence.name}/report.md) | | | | | | | | |")
        for step in evidence.steps:
            reported = step.experiment.reported
            epochs, allowed = step.experiment.recipe.epochs, step.experiment.budget.epochs
            shorter = f", {epochs} epochs" if allowed and epochs < allowed else ""
            lines.append(
                f"| {code_text(step.name)}{shorter} | {step.experiment.model_summary.parameters:,} | {step.seeds.n} "
                f"| {_test_text(reported)} | {interval_text(step.best, 2)} "
                f"| {within(step)} | {interval_text(step.seeds.accuracy, 3)} | {rate_text(step.seeds.rate)} "
                f"| {_effect_text(step)} |"
            )
    return "\n".join(lines)


def _test_text(reported: Reported | None) -> str:
    if reported is None or reported.test is None:
        return ""
    return f"{reported.test:.2f}{reported.aside}"


def _effect_text(step: StudyStep) -> str:
    effect = step.change.accuracy if step.change else None
    if effect is None:
        return ""
    fewer = effect.has_interval and effect.n < step.seeds.n
    return f"{effect.text(3)}{f' ({effect.n} seeds)' if fewer else ''}"


def questions_table() -> str:
    """Each question beside its step, and whether the reported figure lies within the spread of the question."""
    lines = [
        "| step | changed | reported, % | best epoch, % | with the change, % | seeds | reported within the "
        "changed spread | difference of the last epochs, points |",
        "| --- | --- | --: | --: | --: | --: | --- | --: |",
    ]
    for file in QUESTIONS.steps:
        question = read_experiment(file)
        parent = question.parent
        assert parent, f"{file.name} extends no step"
        assert parent.reported, f"{parent.name} has no reported figure"
        question = question.model_copy(update={"reported": parent.reported})
        of, asked = (StudyStep(seeds=Seeds.of(experiment, RUNS_DIR), change=None) for experiment in (parent, question))
        effect, _ = measure_effect(of.seeds, asked.seeds)
        lines.append(
            f"| {code_text(parent.name)} | [{question.title}](questions/{file.name}) | {_test_text(parent.reported)} "
            f"| {interval_text(of.best, 2)} | {interval_text(asked.best, 2)} | {asked.seeds.n} | {within(asked)} "
            f"| {effect.text(3) if effect else ''} |"
        )
    return "\n".join(lines)


def ablations_table(measured: Sequence[StudyEvidence]) -> str:
    """All ablations side by side, one component per row, the largest effect first."""
    ablations = [(evidence, ablation) for evidence in measured for ablation in evidence.ablations]
    titles = [f"[{code_text(run.full.experiment.name)}]({evidence.name}/{run.file})" for evidence, run in ablations]
    whole = [f"{interval_text(run.full.accuracy, 3)} %, {rate_text(run.full.rate)}" for _, run in ablations]
    lines = [
        f"| without | {' | '.join(titles)} |",
        f"| --- |{' --- |' * len(titles)}",
        f"| nothing | {' | '.join(whole)} |",
    ]
    removals: dict[str, list[Removal | None]] = {}
    for column, (_, ablation) in enumerate(ablations):
        for removal in ablation.removals:
            removals.setdefault(removal.component, [None] * len(titles))[column] = removal
    for component, row in sorted(removals.items(), key=lambda item: _mean_effect(item[1])):
        cells = [_removal_text(removal) if removal else "has none" for removal in row]
        lines.append(f"| {component} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean_effect(row: Sequence[Removal | None]) -> float:
    """The mean effect over recipes, in points; -100 where all seeds diverged."""
    return fmean(removal.effect.mean if removal.effect else -100 for removal in row if removal)


def _removal_text(removal: Removal) -> str:
    effect = removal.effect.text(3) if removal.effect else ""
    diverged = f"{len(removal.seeds.diverged)} diverged" if removal.seeds.diverged else ""
    met = f"{removal.seeds.rate.passed} of {removal.seeds.rate.n}" if removal.seeds.rate else ""
    return " · ".join(filter(None, (effect, diverged, met)))


def searches_table() -> str:
    """The winner of each search: on fresh seeds, beside its figures in the race."""
    lines = [
        "| search | candidates | trainings | winner | parameters | budget met on fresh seeds "
        "| accuracy on fresh seeds, % | in its race, % | test accuracy, % |",
        "| --- | --: | --: | --- | --: | --- | --: | --: | --: |",
    ]
    for kept in kept_searches():
        search, events = read_stored_search(kept)
        evidence = SearchEvidence(search, load_state(search, events), events, kept)
        answer = evidence.answer
        assert answer, f"{kept.name} has no result"
        assert answer.fresh, f"{kept.name} has no fresh seeds"
        limit = f"{kept.name}, at most {first_limit(search):,}"
        lines.append(
            f"| [{limit}](searches/{kept.name}/report.md) | {len(evidence.state.candidates)} | {evidence.trainings} "
            f"| candidate {answer.candidate.number}, {KINDS[answer.kind]} | {answer.candidate.parameters:,} "
            f"| {rate_text(answer.fresh.rate)} | {answer.fresh.accuracy_text} | {answer.race.accuracy_text} "
            f"| {answer.test.text(3) if answer.test else ''} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
