"""Several runs in one chart each for accuracy, loss and learning rate, with a name for each that says what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from drilldown.data.transforms import Augmentation
from drilldown.evaluation.records import EpochRecord
from drilldown.experiment.difference import ABSENT, find_difference
from drilldown.experiment.experiment import Experiment
from drilldown.report.axes import MARGIN, Axis, drawable_accuracy
from drilldown.report.chart import Chart, Series, step_style
from drilldown.report.run.charts import MIN_LOSS

MAX_PARTS = 2
"""The largest number of settings of one table in a name; where more differ, the table's name stands for them."""
Figures = Sequence[tuple[str, Sequence[EpochRecord]]]
"""Runs by name, with their epochs."""


class Trained(Protocol):
    """A run or a training."""

    @property
    def experiment(self) -> Experiment:
        """The experiment that is trained."""
        ...

    @property
    def epochs(self) -> tuple[EpochRecord, ...]:
        """The finished epochs."""
        ...

    @property
    def seed(self) -> int:
        """The seed."""
        ...


def overlay_charts(runs: Figures, experiments: Sequence[Experiment]) -> tuple[Chart, Chart, Chart]:
    """Accuracy and loss on the images that epochs are judged on, and learning rate, by epoch: a line for each run.

    *Arguments*: `runs`: at least one epoch for each. `experiments`: those of the runs, for the bars of their budgets.
    """
    splits = {"validation" if epochs[0].held_out else "test" for _, epochs in runs}
    split = " or ".join(sorted(splits))
    total = max(epoch.test.total for _, epochs in runs for epoch in epochs)
    bars = sorted({bar for experiment in experiments if (bar := experiment.budget.accuracy) is not None})

    def accuracy(epoch: EpochRecord) -> float:
        return drawable_accuracy(float(epoch.test.accuracy), total)

    def loss(epoch: EpochRecord) -> float:
        return max(epoch.test.loss, MIN_LOSS)

    accuracies = [accuracy(epoch) for _, epochs in runs for epoch in epochs]
    losses = [loss(epoch) for _, epochs in runs for epoch in epochs]
    rates = [epoch.lr for _, epochs in runs for epoch in epochs]
    levels = tuple((drawable_accuracy(bar, total), f"bar {bar:g} %") for bar in bars)
    return (
        _chart(
            "accuracy", f"Accuracy on {split} images, %", runs, accuracy, "{:.2f} %",
            Axis.accuracy("accuracy, %", [*accuracies, *(level for level, _ in levels)]), bars=levels,
        ),
        _chart(
            "loss", f"Cross-entropy on {split} images", runs, loss, "{:.4f}",
            Axis.log("cross-entropy", min(losses) / MARGIN, max(losses) * MARGIN),
        ),
        _chart(
            "rate", "Learning rate", runs, lambda epoch: epoch.lr, "{:.3g}",
            Axis.linear("learning rate", 0, (max(rates) or 1.0) * 1.03),
        ),
    )  # fmt: skip


def _chart(
    name: str,
    title: str,
    runs: Figures,
    figure: Callable[[EpochRecord], float],
    text: str,
    y: Axis,
    bars: tuple[tuple[float, str], ...] = (),
) -> Chart:
    ends = ", ".join(f"{run} {text.format(figure(epochs[-1]))}" for run, epochs in runs)
    return Chart(
        name=name,
        title=title,
        description=f"After the last epoch: {ends}.",
        x=Axis.epochs(max(len(epochs) for _, epochs in runs)),
        y=y,
        series=tuple(
            Series(
                name=run,
                style=step_style(index),
                x=tuple(range(1, len(epochs) + 1)),
                y=tuple(map(figure, epochs)),
                text=tuple(text.format(figure(epoch)) for epoch in epochs),
            )
            for index, (run, epochs) in enumerate(runs)
        ),
        bars=bars,
    )


def names_by_difference(runs: Sequence[Trained]) -> list[str]:
    """A name for each run that says what differs from the others: settings, else titles; and seeds.

    >>> slow, fast = (drilldown.load("under-8k", [f"recipe.optimizer.lr={lr}"]) for lr in (0.1, 0.2))
    >>> names_by_difference([drilldown.Training(slow), drilldown.Training(fast)])
    ['lr 0.1', 'lr 0.2']
    >>> names_by_difference([drilldown.Training(slow, seed=seed) for seed in (3, 4)])
    ['seed 3', 'seed 4']
    """
    experiments = [run.experiment for run in runs]
    parts = [_experiment_names(experiments)]
    if len({run.seed for run in runs}) > 1:
        parts.append([f"seed {run.seed}" for run in runs])
    names = _joined(parts)
    if len(set(names)) < len(names) and len({experiment.fingerprint for experiment in experiments}) > 1:
        names = _joined([names, [experiment.fingerprint for experiment in experiments]])  # other code of a module
    names = [name or experiment.title for name, experiment in zip(names, experiments, strict=True)]
    counts, seen = Counter(names), Counter[str]()
    for index, name in enumerate(names):
        seen[name] += 1
        names[index] = f"{name} ({seen[name]})" if counts[name] > 1 else name
    return names


def _joined(parts: Sequence[Sequence[str]]) -> list[str]:
    return [", ".join(filter(None, of_run)) for of_run in zip(*parts, strict=True)]


def _experiment_names(experiments: Sequence[Experiment]) -> list[str]:
    """The settings that differ, where the layers are the same; else titles or sizes."""
    differences = [find_difference(experiments[0], other) for other in experiments]
    if any(difference.layers for difference in differences):
        if len({experiment.title for experiment in experiments}) == len({each.fingerprint for each in experiments}):
            return [experiment.title for experiment in experiments]
        return [f"{experiment.model_summary.parameters:,} parameters" for experiment in experiments]
    before = {change.name: change.before for difference in differences for change in difference.settings}
    in_training = {name: value for name, value in before.items() if not name.startswith("budget.")}
    before = in_training or before
    tables = dict.fromkeys(".".join(name.split(".")[:2]) for name in before)
    names = []
    for experiment, difference in zip(experiments, differences, strict=True):
        values = before | {change.name: change.after for change in difference.settings if change.name in before}
        absent = {"recipe.augment"} if experiment.recipe.augment == Augmentation() else set()
        names.append(", ".join(_setting_name(table, values, absent=table in absent) for table in tables))
    return names


def _setting_name(table: str, values: dict[str, str], *, absent: bool = False) -> str:
    """The differing part of one setting, such as `recipe.optimizer`.

    *Arguments*: `values`: the differing settings of one run. `absent`: whether it has nothing of this setting.

    >>> _setting_name("recipe.augment", {"recipe.augment.rotate": "6", "recipe.epochs": "3"})
    'rotate 6'
    >>> _setting_name("recipe.holdout", {"recipe.holdout": "—"})
    'no holdout'
    """
    own = {key: value for key, value in values.items() if key == table or key.startswith(f"{table}.")}
    short = table.rpartition(".")[2]
    if absent or all(value == ABSENT for value in own.values()):
        return f"no {short}"
    if f"{table}.name" in own:
        return f"{short} {own[f'{table}.name']}"
    parts = [f"{key.rpartition('.')[2]} {value}" for key, value in own.items() if value != ABSENT]
    return short if len(own) > MAX_PARTS else ", ".join(parts)
