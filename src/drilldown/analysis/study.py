"""The evidence on a study: the runs of each step, and the effects of the steps."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from drilldown.analysis.ablation import Ablation, existing_ablation
from drilldown.analysis.seeds import Seeds, measure_effect, why_incomparable
from drilldown.errors import DrilldownError, Problem
from drilldown.evaluation.effects import SIGNIFICANCE_LEVEL, Effect, holm_adjust
from drilldown.evaluation.intervals import Spread
from drilldown.experiment.difference import Difference, changed_components, find_difference
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.loading import read_experiment
from drilldown.experiment.studies import Study
from drilldown.runs.run import Run
from drilldown.wording import count_text

HALF_UNIT = 0.005
"""The rounding, in percentage points, of an accuracy that is reported with two decimals: half an image of 10,000."""
ABLATED = "-without-"
"""The part that all names of variations share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEffect:
    """The change from a step to one that extends it, and its effect."""

    against: int
    """The index of the step that it extends."""
    components: tuple[str, ...]
    difference: Difference
    accuracy: Effect | None
    """The effect on the mean accuracy of the last epochs, in points."""
    loss: Effect | None
    """The effect on the mean loss of the last epochs, in nats."""
    why_not: str | None
    """The reason where there is no effect."""
    among_all: bool = False
    """Whether the effect on accuracy stays measurable when all steps are tested together (Holm)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStep:
    """A step of a study with its runs."""

    seeds: Seeds
    change: StepEffect | None
    """None for a step that extends no other step of the study."""

    @property
    def experiment(self) -> Experiment:
        """The experiment of the step."""
        return self.seeds.experiment

    @property
    def name(self) -> str:
        """The name within the study, such as `06-dropout`."""
        return self.experiment.name.partition("/")[2]

    @property
    def best(self) -> Spread | None:
        """The accuracy of the best epoch in percent, over seeds."""
        return self.seeds.spread(lambda run: run.best)

    @property
    def compared(self) -> Spread | None:
        """The figure that the author reports, of our seeds, in percent; by default of the best epoch."""
        figure = self.experiment.reported.figure if self.experiment.reported else "best"
        if figure == "mean_last":
            return self.seeds.accuracy
        return self.seeds.spread(lambda run: run.final) if figure == "final" else self.best

    @property
    def clean_train(self) -> Spread | None:
        """Training accuracy in percent, without augmentation, in evaluation mode, over seeds."""
        return self.seeds.spread(lambda run: run.clean_train)

    @property
    def epoch_seconds(self) -> float | None:
        """Seconds per epoch: the median over seeds of the runs' medians."""
        spread = self.seeds.spread(lambda run: run.epoch_seconds)
        return spread.median if spread else None

    @property
    def expected(self) -> tuple[float, float] | None:
        """The 95 % prediction interval of one further seed in percent, widened by half a unit of the report.

        None for fewer than three seeds.
        """
        if self.compared is None or not self.compared.has_interval:
            return None
        low, high = self.compared.further
        return max(0.0, low - HALF_UNIT), min(100.0, high + HALF_UNIT)

    @property
    def as_reported(self) -> bool | None:
        """Whether the reported accuracy lies in the expected interval; None where one of the two is missing."""
        reported = self.experiment.reported
        if self.expected is None or reported is None or reported.test is None or self.seeds.split != "test":
            return None
        return self.expected[0] <= reported.test <= self.expected[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyEvidence:
    """A study with the runs of all its steps."""

    name: str
    folder: Path
    """The folder of its runs."""
    command: str
    """The command that trains the missing runs."""
    steps: tuple[StudyStep, ...]
    ablations: tuple[Ablation, ...]
    """The ablations of its steps."""
    left_out: tuple[Path, ...]
    """The folders of other runs beside them, whose experiment files have changed since."""

    @property
    def is_ladder(self) -> bool:
        """Whether steps extend each other; otherwise they are compared as equals, the highest accuracy first."""
        return any(step.change for step in self.steps)

    @property
    def noun(self) -> str:
        """The word for one of its files."""
        return "step" if self.is_ladder or len(self.steps) == 1 else "experiment"

    @property
    def has_claims(self) -> bool:
        """Whether a source reports an accuracy of a step."""
        claims = [step.experiment.reported for step in self.steps]
        return any(claim is not None and (claim.train, claim.test) != (None, None) for claim in claims)

    @property
    def has_judged_claims(self) -> bool:
        """Whether a reported accuracy was compared with the spread of our seeds."""
        return any(step.as_reported is not None for step in self.steps)

    @property
    def measured(self) -> tuple[StudyStep, ...]:
        """The steps with a finished run."""
        return tuple(step for step in self.steps if step.seeds.finished)


def gather_study(
    study: Study | Path,
    runs_dir: Path,
    command: str = "",
    overrides: Sequence[str] = (),
    experiments: Sequence[Experiment] | None = None,
) -> StudyEvidence:
    """Reads the runs of a study; the steps are those of its files.

    *Arguments*: `study`: the study, or the folder of its runs, `RUNS/STUDY`, where its files are missing; then the
    steps are the experiments as they were trained. `runs_dir`: the folder of all runs. `overrides`: settings as in
    `--set`, for all files of the study. `experiments`: those of the study's files, where they are in memory already.

    *Raises* DrilldownError where no step has a run.
    """
    if isinstance(study, Path):
        folder = study
        steps = _link([_of_folder(path) for path in _step_folders(folder) if ABLATED not in path.name])
    else:
        folder = runs_dir / study.name
        if experiments is None:
            experiments = [read_experiment(file, overrides) for file in study.steps]
        steps = [Seeds.of(experiment, runs_dir) for experiment in experiments]
    if not any(seeds.n for seeds in steps):
        unfinished = sum(len(seeds.unfinished) for seeds in steps)
        reason = f"only {count_text(unfinished, 'unfinished run')}" if unfinished else "no runs here"
        suggestion = f"train them with {command}" if command else None
        raise DrilldownError(Problem(file=folder, found=reason, expected="a finished run", suggestion=suggestion))
    changes = _changes(steps)
    if not any(changes):
        steps.sort(key=lambda seeds: seeds.accuracy.mean if seeds.accuracy else -math.inf, reverse=True)
    ablations = [done for seeds in steps if (done := existing_ablation(seeds, folder.parent))]
    shown = [*steps, *(removal.seeds for done in ablations for removal in done.removals)]
    known = {
        run.path.parent.name
        for seeds in shown
        for run in (Run.of(seeds.experiment, 0, runs_dir), *Run.all_of(seeds.experiment, runs_dir))
    }
    return StudyEvidence(
        name=folder.resolve().name,
        folder=folder,
        command=command,
        steps=tuple(
            StudyStep(seeds=seeds, change=change) for seeds, change in zip(steps, _corrected(changes), strict=True)
        ),
        ablations=tuple(ablations),
        left_out=tuple(path for path in _step_folders(folder) if path.name not in known),
    )


def is_folder_of_runs(folder: Path) -> bool:
    """Returns whether a folder holds a study's runs."""
    return os.path.isdir(folder) and bool(_step_folders(folder))  # Path.is_dir raises where a name is too long


def _step_folders(folder: Path) -> list[Path]:
    return sorted({file.parent.parent for file in folder.glob("*/seed-*/experiment.toml")})


def _of_folder(folder: Path) -> Seeds:
    runs = [Run(file.parent) for file in sorted(folder.glob("seed-*/experiment.toml"))]
    return Seeds.among(runs[0].experiment, runs)


def _link(steps: Sequence[Seeds]) -> list[Seeds]:
    """Makes an earlier step the parent of the steps that extend it; a run holds only a nameless copy of its parent."""
    earlier: dict[str | None, Experiment] = {}
    linked = []
    for seeds in steps:
        experiment = seeds.experiment.located(parent=earlier.get(_parent(seeds.experiment)))
        earlier[experiment.fingerprint] = experiment
        linked.append(replace(seeds, experiment=experiment))
    return linked


def _changes(steps: Sequence[Seeds]) -> list[StepEffect | None]:
    """Compares each step with the step that it extends; None for a step that extends no other."""
    # By their files: a stranger may have the fingerprint of the parent, and is none.
    places = {_file(seeds.experiment): index for index, seeds in enumerate(steps)}
    changes: list[StepEffect | None] = []
    for index, seeds in enumerate(steps):
        parent = seeds.experiment.parent
        extended = places.get(_file(parent)) if parent else None
        changes.append(None if extended is None else _change(steps, extended, index))
    return changes


def _file(experiment: Experiment) -> str:
    return os.path.realpath(experiment.path or "")


def _change(steps: Sequence[Seeds], against: int, index: int) -> StepEffect:
    before, after = steps[against], steps[index]
    why_not = why_incomparable(before, after)
    accuracy, loss = (None, None) if why_not else measure_effect(before, after)
    if accuracy is None:
        why_not = why_not or "no seeds in common"
    return StepEffect(
        against=against,
        components=changed_components(before.experiment, after.experiment),
        difference=find_difference(before.experiment, after.experiment),
        accuracy=accuracy,
        loss=loss,
        why_not=why_not,
    )


def _parent(experiment: Experiment) -> str | None:
    try:
        return experiment.parent.fingerprint if experiment.parent else None
    except DrilldownError:  # of a user's module only the child's copy is kept with a run
        return None


def _corrected(changes: Sequence[StepEffect | None]) -> list[StepEffect | None]:
    """Marks the effects that stay measurable when all are tested together."""
    asked = [
        (index, change.accuracy.p)
        for index, change in enumerate(changes)
        if change and change.accuracy and not math.isnan(change.accuracy.p)
    ]
    adjusted = dict(zip([index for index, _ in asked], holm_adjust([p for _, p in asked]), strict=True))
    return [
        replace(change, among_all=adjusted.get(index, 1.0) < SIGNIFICANCE_LEVEL) if change else None
        for index, change in enumerate(changes)
    ]
