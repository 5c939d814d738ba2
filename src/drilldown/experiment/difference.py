"""What one experiment changed from another: settings by name, layers as a diff."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from drilldown.experiment.experiment import Experiment
from drilldown.network.layers import BatchNorm, Dropout, GlobalAveragePool, Layer, parse_block

ABSENT = "—"
_NAMES = {
    "ema": "weight averaging",
    "augment": "augmentation",
    "holdout": "validation split",
    "python": "network",
}
"""Settings whose names are not what one says."""
_KINDS: tuple[tuple[str, type[Layer]], ...] = (
    ("batch norm", BatchNorm), ("dropout", Dropout), ("global average pooling", GlobalAveragePool)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One setting that differs."""

    name: str
    """Where it stands in the file, such as `recipe.optimizer.lr`."""
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs between two experiments."""

    settings: tuple[SettingChange, ...]
    layers: tuple[str, ...]
    """The blocks as a unified diff: each line begins with a space, `+` or `-`; empty where they are the same."""

    def __bool__(self) -> bool:
        return bool(self.settings or self.layers)


def find_difference(before: Experiment, after: Experiment) -> Difference:
    """What `after` changed."""
    old, new = dict(_flat(before.settings())), dict(_flat(after.settings()))
    names = [*old, *(name for name in new if name not in old)]
    changes = [
        SettingChange(name, old.get(name, ABSENT), new.get(name, ABSENT))
        for name in names
        if old.get(name) != new.get(name)
    ]
    blocks = before.network.layers or (), after.network.layers or ()
    layers = [line.rstrip() for line in difflib.ndiff(*blocks) if line[0] != "?"] if blocks[0] != blocks[1] else []
    return Difference(tuple(changes), tuple(layers))


def changed_components(before: Experiment, after: Experiment) -> tuple[str, ...]:
    """What `after` changed, in the words of a recipe; the budget is none of them: it judges and does not train.

    >>> plain = drilldown.load("eva5-s5/05")
    >>> components(plain, drilldown.load("eva5-s5/06")), components(plain, plain)
    (('dropout',), ())
    """
    old, new = (
        [layer for block in experiment.network.layers or () for layer in parse_block(block)]
        for experiment in (before, after)
    )
    found: dict[str, None] = {}  # in order, each once
    kinds = tuple(kind for _, kind in _KINDS)
    if [layer for layer in old if not isinstance(layer, kinds)] != [
        layer for layer in new if not isinstance(layer, kinds)
    ]:
        found["layers"] = None
    for name, kind in _KINDS:
        here, there = ([layer for layer in layers if isinstance(layer, kind)] for layers in (old, new))
        # Where other layers differ too, there are as many of these as they need: only another kind of them is news.
        if set(here) != set(there) or ("layers" not in found and here != there):
            found[name] = None
    if old != new and not found:
        found["order of layers"] = None
    for change in find_difference(before, after).settings:
        table, _, rest = change.name.partition(".")
        if table != "budget":
            key = rest.partition(".")[0]
            found[_NAMES.get(key, key.replace("_", " "))] = None
    return tuple(found)


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each setting with its dotted name, layers left out: they are compared as blocks."""
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        elif name != "network.layers":
            yield name, setting_text(value)


def setting_text(value: object) -> str:
    """A setting as one would write it.

    >>> setting_text(10000.0), setting_text([0.9, 1.1]), setting_text(True)
    ('10,000', '[0.9, 1.1]', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if (isinstance(value, float) and value.is_integer()) or isinstance(value, int):
        return f"{int(value):,}"
    return str(value)
