"""Ablation: the components of an experiment, the experiment without each of them, and the effects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from drilldown.analysis.seeds import Seeds
from drilldown.data.transforms import Augmentation
from drilldown.errors import DrilldownError, Problem
from drilldown.evaluation.effects import Effect, paired_effect
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.network import Network
from drilldown.experiment.optimizers import SGD
from drilldown.experiment.recipe import Recipe
from drilldown.experiment.schedules import ConstantSchedule, OneCycleSchedule
from drilldown.network.blocks import Block, map_layers, without_skips
from drilldown.network.layers import (
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    GlobalAveragePool,
    GroupNorm,
    Layer,
    LayerNorm,
    Linear,
    SeparableConv,
    SqueezeExcitation,
    parse_block,
)

Blocks = list[list[Layer | dict[str, Any]]]
"""The layers of each text, and each table as it is."""


class _AbsentError(Exception):
    """The experiment has no such component."""


class _NotRemovableError(Exception):
    """The component cannot be removed; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A component that cannot be removed."""

    component: str
    why: str


@dataclass(frozen=True, slots=True)
class Variation:
    """An experiment without one component."""

    component: str
    experiment: Experiment


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """The result without one component."""

    component: str
    seeds: Seeds
    effect: Effect | None
    """Without the component minus full, in points of the mean of the last epochs, paired by seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """An experiment, and the effect of removing each of its components."""

    full: Seeds
    removals: tuple[Removal, ...]
    """The largest loss first; components without which no seed finished come before all others."""
    skipped: tuple[Skipped, ...]

    @property
    def file(self) -> str:
        """The name of its report in the study's folder of runs."""
        return f"{self.full.experiment.name.partition('/')[2]}-ablation.md"


def list_variations(full: Experiment) -> tuple[list[Variation], list[Skipped]]:
    """Lists the experiment without each of its components in turn, and the components that cannot be removed.

    >>> variations, _ = list_variations(drilldown.load("eva5-s5/06"))
    >>> [variation.component for variation in variations]
    ['batch norm', 'dropout', 'gap head', 'augmentation', 'schedule', 'momentum']
    >>> variations[0].experiment.name
    'eva5-s5/06-dropout-without-batch-norm'
    >>> variations[1].experiment.name  # an earlier step
    'eva5-s5/05-rotation'
    """
    variations, skipped = [], []
    for component, change in _COMPONENTS.items():
        try:
            variations.append(Variation(component, _without(full, component, change(full))))
        except _AbsentError:
            continue
        except _NotRemovableError as reason:
            skipped.append(Skipped(component, str(reason)))
        except DrilldownError as error:
            skipped.append(Skipped(component, "; ".join(problem.found for problem in error.problems)))
    return variations, skipped


def measure_ablation(full: Seeds, runs_dir: Path) -> Ablation:
    """Reads the runs of an experiment's variations and compares them with its own runs.

    *Raises* DrilldownError where the experiment has no finished or diverged run.
    """
    if not full.n:
        raise DrilldownError(Problem(file=runs_dir, found=f"no finished run of {full.experiment.name}"))
    variations, skipped = list_variations(full.experiment)
    removals = []
    for variation in variations:
        seeds = Seeds.of(variation.experiment, runs_dir)
        effect = paired_effect(full.accuracies(), seeds.accuracies(full.hold))
        removals.append(Removal(component=variation.component, seeds=seeds, effect=effect))
    removals.sort(key=lambda removal: removal.effect.mean if removal.effect else float("-inf"))
    return Ablation(full=full, removals=tuple(removals), skipped=tuple(skipped))


def existing_ablation(full: Seeds, runs_dir: Path) -> Ablation | None:
    """Reads the variations of an experiment that were trained, and compares them with its own runs.

    None where the only variations with runs are earlier steps: the study reports their effects already.
    """
    if not full.n:
        return None
    ablation = measure_ablation(full, runs_dir)
    removals = tuple(removal for removal in ablation.removals if removal.seeds.n)
    trained = any(removal.seeds.experiment.parent is full.experiment for removal in removals)
    return replace(ablation, removals=removals) if trained else None


def _without(full: Experiment, component: str, changes: dict[str, Any]) -> Experiment:
    """Makes the experiment without a component, checked like one from a file."""
    network = changes.pop("network", full.network)
    experiment = Experiment(
        title=f"{full.title}, without {component}",
        target=f"Measure the effect of {component}.",
        reconstructed=full.reconstructed,
        network=network,
        recipe=Recipe.model_validate(dict(full.recipe) | changes),
        budget=full.budget,
    )
    experiment = experiment.located(
        path=full.path, parent=full, name=f"{full.name}-without-{component.replace(' ', '-')}"
    )
    experiment.layout  # noqa: B018 - the layout checks the shapes
    # If it equals an earlier step, the runs of that step are used, and nothing is trained twice.
    ancestor = full.parent
    while ancestor is not None:
        if ancestor.fingerprint == experiment.fingerprint:
            return ancestor
        ancestor = ancestor.parent
    return experiment


def _batch_norm(full: Experiment) -> dict[str, Any]:
    return _remove_layers(full, lambda layer: isinstance(layer, BatchNorm))


def _group_norm(full: Experiment) -> dict[str, Any]:
    return _remove_layers(full, lambda layer: isinstance(layer, GroupNorm))


def _layer_norm(full: Experiment) -> dict[str, Any]:
    return _remove_layers(full, lambda layer: isinstance(layer, LayerNorm))


def _excitation(full: Experiment) -> dict[str, Any]:
    return _remove_layers(full, lambda layer: isinstance(layer, SqueezeExcitation))


def _skips(full: Experiment) -> dict[str, Any]:
    """Each skip becomes its blocks, without the sum."""
    return _other_layers(full, without_skips(full.network.layers or ()))


def _expansion(full: Experiment) -> dict[str, Any]:
    """Each convolution is trained as it is, not as three wider ones."""

    def plain(layer: Layer) -> Layer:
        return replace(layer, expand=1) if isinstance(layer, Conv) else layer

    return _other_layers(full, map_layers(full.network.layers or (), plain))


def _dropout(full: Experiment) -> dict[str, Any]:
    return _remove_layers(full, lambda layer: isinstance(layer, Dropout) and layer.probability > 0)


def _pooled_head(full: Experiment) -> dict[str, Any]:
    """Replaces the global average by a layer with a weight for every position.

    `gap` before `linear` becomes `flatten`; a 1x1 convolution beside it becomes one that spans the image; where
    neither is there, `flatten` and a linear layer take its place.
    """
    blocks = _blocks(full)
    pooled = [item for item in full.layout or () if isinstance(item.layer, GlobalAveragePool)]
    if not pooled:
        raise _AbsentError
    _, height, width = pooled[-1].input
    if (height, width) == (1, 1):
        raise _AbsentError  # nothing to average
    if "." in pooled[-1].name:
        raise _NotRemovableError("the last gap is inside of a table")
    flat = [(b, i) for b, block in enumerate(blocks) for i in range(len(block))]
    at = max(n for n, (b, i) in enumerate(flat) if isinstance(blocks[b][i], GlobalAveragePool))
    weighted = (Conv, SeparableConv, Linear, dict)
    after = [n for n in range(at + 1, len(flat)) if isinstance(_layer_at(blocks, flat[n]), weighted)]
    block, index = flat[at]
    if after and isinstance(_layer_at(blocks, flat[after[0]]), Linear):
        blocks[block][index] = Flatten()
        return _network(blocks)
    wide = after[0] if after else at - 1
    conv = _layer_at(blocks, flat[wide]) if wide >= 0 else None
    if isinstance(conv, Conv) and conv.kernel == 1 and conv.stride == 1 and conv.pad == 0:
        if height != width:
            raise _NotRemovableError(f"a convolution over the whole image of {height}x{width} would not be square")
        b, i = flat[wide]
        blocks[b][i] = replace(conv, kernel=height)
        del blocks[block][index]
    elif after:
        found = "a table" if isinstance(conv, dict) else conv
        raise _NotRemovableError(f"the next layer with weights, {found}, is neither linear nor a 1x1 convolution")
    else:
        blocks[block][index : index + 1] = [Flatten(), Linear(full.image[1])]
    return _network(blocks)


def _augmentation(full: Experiment) -> dict[str, Any]:
    if not full.recipe.augment.active():
        raise _AbsentError
    return {"augment": Augmentation()}


def _schedule(full: Experiment) -> dict[str, Any]:
    """A constant learning rate, the peak. A warm-up is a separate component and stays; onecycle loses its rise."""
    schedule = full.recipe.schedule
    if isinstance(schedule, ConstantSchedule):
        raise _AbsentError
    warmup = 0.0 if isinstance(schedule, OneCycleSchedule) else schedule.warmup
    return {"schedule": ConstantSchedule(name="constant", warmup=warmup)}


def _warm_up(full: Experiment) -> dict[str, Any]:
    schedule = full.recipe.schedule
    if not schedule.warmup or isinstance(schedule, OneCycleSchedule):
        raise _AbsentError
    return {"schedule": type(schedule).model_validate(dict(schedule) | {"warmup": 0.0})}


def _averaging(full: Experiment) -> dict[str, Any]:
    if full.recipe.ema is None:
        raise _AbsentError
    return {"ema": None}


def _teacher(full: Experiment) -> dict[str, Any]:
    if full.recipe.teacher is None:
        raise _AbsentError
    return {"teacher": None}


def _smoothing(full: Experiment) -> dict[str, Any]:
    if not full.recipe.label_smoothing:
        raise _AbsentError
    return {"label_smoothing": 0.0}


def _l1_penalty(full: Experiment) -> dict[str, Any]:
    if not full.recipe.l1:
        raise _AbsentError
    return {"l1": 0.0}


def _decay(full: Experiment) -> dict[str, Any]:
    optimizer = full.recipe.optimizer
    if not optimizer.weight_decay:
        raise _AbsentError
    return {"optimizer": type(optimizer).model_validate(dict(optimizer) | {"weight_decay": 0.0})}


def _momentum(full: Experiment) -> dict[str, Any]:
    optimizer = full.recipe.optimizer
    if not isinstance(optimizer, SGD) or not optimizer.momentum:
        raise _AbsentError
    return {"optimizer": SGD.model_validate(dict(optimizer) | {"momentum": 0.0, "nesterov": False})}


def _nesterov(full: Experiment) -> dict[str, Any]:
    optimizer = full.recipe.optimizer
    if not isinstance(optimizer, SGD) or not optimizer.nesterov:
        raise _AbsentError
    return {"optimizer": SGD.model_validate(dict(optimizer) | {"nesterov": False})}


_COMPONENTS: dict[str, Callable[[Experiment], dict[str, Any]]] = {
    "batch norm": _batch_norm,
    "group norm": _group_norm,
    "layer norm": _layer_norm,
    "skip connections": _skips,
    "squeeze and excitation": _excitation,
    "expansion": _expansion,
    "dropout": _dropout,
    "gap head": _pooled_head,
    "augmentation": _augmentation,
    "schedule": _schedule,
    "warm-up": _warm_up,
    "weight averaging": _averaging,
    "teacher": _teacher,
    "label smoothing": _smoothing,
    "weight decay": _decay,
    "L1 penalty": _l1_penalty,
    "momentum": _momentum,
    "nesterov": _nesterov,
}


def _blocks(experiment: Experiment) -> Blocks:
    if experiment.network.layers is None:
        raise _AbsentError  # a Python module is one component
    return [list(parse_block(block)) if isinstance(block, str) else [block] for block in experiment.network.layers]


def _network(blocks: Blocks) -> dict[str, Any]:
    written = (block[0] if isinstance(block[0], dict) else ", ".join(map(str, block)) for block in blocks if block)
    return {"network": Network(layers=tuple(written))}


def _remove_layers(full: Experiment, unwanted: Callable[[Layer], bool]) -> dict[str, Any]:
    return _other_layers(full, map_layers(full.network.layers or (), lambda layer: None if unwanted(layer) else layer))


def _other_layers(full: Experiment, blocks: tuple[Block, ...]) -> dict[str, Any]:
    if blocks == (full.network.layers or ()):
        raise _AbsentError  # also for a Python module, which is one component
    return {"network": Network(layers=blocks)}


def _layer_at(blocks: Blocks, position: tuple[int, int]) -> Layer | dict[str, Any]:
    block, index = position
    return blocks[block][index]
