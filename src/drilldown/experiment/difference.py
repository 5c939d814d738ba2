"""The difference between two experiments: settings by name, layers as a diff."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from drilldown.experiment.experiment import Experiment
from drilldown.network.blocks import block_lines, layers_in, network_text, without_skips
from drilldown.network.layers import (
    BatchNorm,
    Dropout,
    GlobalAveragePool,
    GroupNorm,
    Layer,
    LayerNorm,
    SqueezeExcitation,
)

ABSENT = "—"
"""The text in place of a setting that one experiment does not have."""
_NAMES = {
    "ema": "weight averaging",
    "l1": "L1 penalty",
    "augment": "augmentation",
    "holdout": "validation split",
    "python": "network",
    "arguments": "network",
}
"""The component names of settings whose key is not a usual name."""
_KINDS: tuple[tuple[str, type[Layer]], ...] = (
    ("batch norm", BatchNorm), ("group norm", GroupNorm), ("layer norm", LayerNorm), ("dropout", Dropout),
    ("squeeze and excitation", SqueezeExcitation), ("global average pooling", GlobalAveragePool),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One setting with different values."""

    name: str
    """The key path, such as `recipe.optimizer.lr`."""
    before: str
    """The first experiment's value, or ABSENT."""
    after: str
    """The second experiment's value, or ABSENT."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference between two experiments; false if there is none."""

    settings: tuple[SettingChange, ...]
    """The settings that differ."""
    layers: tuple[str, ...]
    """The blocks as a diff, each line beginning with a space, `+` or `-`; empty if they are the same."""

    def __bool__(self) -> bool:
        return bool(self.settings or self.layers)


def find_difference(before: Experiment, after: Experiment) -> Difference:
    """Compares network, recipe and budget of two experiments.

    >>> first, second = drilldown.load("eva5-s5/05"), drilldown.load("eva5-s5/05", ["recipe.epochs=3"])
    >>> find_difference(first, second).settings
    (SettingChange(name='recipe.epochs', before='15', after='3'),)
    """
    old, new = _settings(before), _settings(after)
    names = [*old, *(name for name in new if name not in old)]
    changes = [
        SettingChange(name, old.get(name, ABSENT), new.get(name, ABSENT))
        for name in names
        if old.get(name) != new.get(name)
    ]
    one, other = (list(block_lines(experiment.network.layers or ())) for experiment in (before, after))
    layers = [line.rstrip() for line in difflib.ndiff(one, other) if line[0] != "?"] if one != other else []
    return Difference(tuple(changes), tuple(layers))


def changed_components(before: Experiment, after: Experiment) -> tuple[str, ...]:
    """Names the components of a recipe that `after` changed; the budget is left out, since it does not affect training.

    >>> plain = drilldown.load("eva5-s5/05")
    >>> changed_components(plain, drilldown.load("eva5-s5/06")), changed_components(plain, plain)
    (('dropout',), ())
    """
    both = [experiment.network.layers or () for experiment in (before, after)]
    old, new = (list(layers_in(blocks)) for blocks in both)
    components: dict[str, None] = {}  # a set that keeps its order
    kinds = tuple(kind for _, kind in _KINDS)
    if [layer for layer in old if not isinstance(layer, kinds)] != [
        layer for layer in new if not isinstance(layer, kinds)
    ]:
        components["layers"] = None
    for name, kind in _KINDS:
        before_of_kind, after_of_kind = (
            [layer for layer in layers if isinstance(layer, kind)] for layers in (old, new)
        )
        # If other layers changed too, the number of these layers follows from them, and only new arguments count.
        if set(before_of_kind) != set(after_of_kind) or (
            "layers" not in components and before_of_kind != after_of_kind
        ):
            components[name] = None
    plain = [network_text(without_skips(blocks)) for blocks in both]
    if old != new and not components:
        components["order of layers"] = None
    elif plain[0] != plain[1] and not components:
        components["repetition"] = None
    if old == new and plain[0] == plain[1] and network_text(both[0]) != network_text(both[1]):
        components["skip connections"] = None
    for change in find_difference(before, after).settings:
        table, _, rest = change.name.partition(".")
        if table != "budget":
            key = rest.partition(".")[0]
            components[_NAMES.get(key, key.replace("_", " "))] = None
    return tuple(components)


def _settings(experiment: Experiment) -> dict[str, str]:
    """Returns each setting as text, by its key path."""
    settings = experiment.settings()
    if experiment.recipe.holdout is not None:  # one setting, whether it is written as a number or as a table
        settings["recipe"]["holdout"] = str(experiment.recipe.holdout)
    return dict(_flat(settings))


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields each setting with its key path; layers are left out, because they are compared as blocks."""
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        elif name != "network.layers":
            yield name, setting_text(value)


def setting_text(value: object) -> str:
    """Formats the value of a setting.

    >>> setting_text(10000.0), setting_text([0.9, 1.1]), setting_text(True)
    ('10,000', '[0.9, 1.1]', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if (isinstance(value, float) and value.is_integer()) or isinstance(value, int):
        return f"{int(value):,}"
    return str(value)
