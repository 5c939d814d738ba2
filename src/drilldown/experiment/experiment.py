"""An experiment: its tables together, its fingerprint, and the network that it describes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    PrivateAttr,
    StringConstraints,
    ValidationError,
)
from torch import nn

from drilldown.data.catalogue import is_dataset_path
from drilldown.errors import DrilldownError, Problem
from drilldown.experiment.budget import Budget
from drilldown.experiment.dictionary import plain_values
from drilldown.experiment.network import Network
from drilldown.experiment.recipe import Recipe
from drilldown.experiment.reported import Reported
from drilldown.experiment.toml_text import dump_toml
from drilldown.network.blocks import network_text
from drilldown.network.cell_module import MODULE, cell_module, store_cell_module
from drilldown.network.layers import Shape
from drilldown.network.layout import PlacedLayer, lay_out
from drilldown.network.module_code import code_digest, module_files
from drilldown.network.modules import build_network, fold_network
from drilldown.network.summary import ModelSummary, summarise_layers, summarise_module
from drilldown.network.user_module import build_user_network
from drilldown.randomness import global_stream
from drilldown.shown import Shown
from drilldown.table import Table

TRAINED = ("network", "recipe")
"""The tables of an experiment that a training depends on; the others can change after it."""


class Experiment(Shown, Table):
    """An experiment file with all settings: those of its own, those inherited by `extends`, and the defaults.

    >>> experiment = drilldown.load("under-8k")
    >>> experiment.model_summary.parameters
    7662
    """

    title: Annotated[str, StringConstraints(min_length=1)]
    """A short title in words."""
    target: str = ""
    """The aim of the experiment, in one sentence."""
    analysis: str = ""
    """The author's own words about the result, in Markdown; they can be written after the training."""
    reconstructed: bool = False
    """Whether the network is a reconstruction, because its author did not publish it."""
    remark: str = ""
    """The source of the experiment, and the settings that no source states."""
    network: Network
    """The network."""
    recipe: Recipe = Recipe()
    """The recipe of the training."""
    budget: Budget = Budget()
    """The limits that a run must meet."""
    reported: Reported | None = None
    """The accuracies that the source reports."""

    _completed: ClassVar[tuple[str, ...]] = (
        "analysis", "budget", "build", "fingerprint", "model_summary", "name", "network", "parent", "path", "recipe",
        "reconstructed", "remark", "reported", "settings", "target", "title", "to_toml", "with_network",
    )  # fmt: skip
    _path: Path | None = PrivateAttr(default=None)
    _name: str | None = PrivateAttr(default=None)
    _parent: Experiment | None = PrivateAttr(default=None)

    def located(
        self, *, path: Path | None = None, name: str | None = None, parent: Experiment | None = None
    ) -> Experiment:
        """Returns a copy with another path, name or parent; missing arguments keep their present values.

        *Arguments*: `path`: the file of the experiment. `name`: `study/step`, where the path does not give it.
        `parent`: the experiment that it extends.
        """
        moved = self.network.python is not None and path not in (None, self._path)  # to another folder's module
        copy = self.model_copy(update={"network": self.network} if moved else None)
        copy._path = path or self._path
        copy._name = name or self._name
        copy._parent = parent or self._parent
        return copy

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Returns a copy with other values; cached properties are computed again, since they may follow from them."""
        copy = super().model_copy(update=update, deep=deep)
        if update:
            for cached in ("image", "layout", "model_summary", "fingerprint", "earlier_fingerprint"):
                copy.__dict__.pop(cached, None)
        return copy

    def __repr__(self) -> str:
        return f"<Experiment {self.name}: {self.title!r}, {self.recipe.epochs} epochs of {self.recipe.dataset}>"

    @property
    def path(self) -> Path | None:
        """The file of the experiment; None if it was not read from a file."""
        return self._path

    @property
    def parent(self) -> Experiment | None:
        """The experiment that it extends, or None."""
        return self._parent

    @property
    def name(self) -> str:
        """The name as `study/step`: the folder and the name of its file."""
        if self._name:
            return self._name
        return f"{self._path.resolve().parent.name}/{self._path.stem}" if self._path else "unnamed/experiment"

    @property
    def out_of_reach(self) -> str | None:
        """The reason why no run can meet the budget, or None."""
        if self.budget.accuracy is not None and self.recipe.epochs < self.budget.hold:
            return f"it judges the last {self.budget.hold} epochs, and recipe.epochs is {self.recipe.epochs}"
        return None

    @property
    def doubt(self) -> str | None:
        """The reason why the budget's accuracy is probably a mistake, or None."""
        accuracy, (_, classes) = self.budget.accuracy, self.image
        if not accuracy or accuracy > 100 / classes:
            return None
        guess = f"; did you mean {90 + accuracy:g}?" if accuracy < 10 else ""
        return f"budget.accuracy is {accuracy:g} %; guessing among {classes} classes gives {100 / classes:.3g} %{guess}"

    def reworded(self, source: Experiment) -> Experiment:
        """Returns a copy with the words and the budget of another experiment, which trains the same."""
        names = set(Experiment.model_fields) - set(TRAINED)
        copy = super().model_copy(update={name: getattr(source, name) for name in names})  # keeps the layout
        copy.__dict__.pop("earlier_fingerprint", None)
        return copy

    @property
    def folder(self) -> Path:
        """The folder of the experiment's file; a network in Python is there too."""
        return self._path.parent if self._path else Path()

    @property
    def code_files(self) -> dict[str, bytes]:
        """The Python files of the network, by their names relative to the folder; empty for block notation.

        *Raises* DrilldownError where the module is missing.
        """
        return {} if self.network.python is None else module_files(self.network.python, self.folder)

    @cached_property
    def image(self) -> tuple[Shape, int]:
        """The shape of an image, (channels, height, width), and the number of classes."""
        info = self.recipe.dataset_info
        return info.image_shape, info.classes

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes; None where they are the numbers from 0."""
        return self.recipe.dataset_info.class_names

    @cached_property
    def layout(self) -> tuple[PlacedLayer, ...] | None:
        """The layers with their names and shapes; None for a network in Python.

        *Raises* DrilldownError where the network does not fit the images.
        """
        return None if self.network.layers is None else tuple(lay_out(self.network.layers, *self.image))

    @cached_property
    def model_summary(self) -> ModelSummary:
        """The layer table; raises DrilldownError where the network does not fit the images."""
        if self.layout is not None:
            return summarise_layers(self.layout)
        return summarise_module(self.build(), self.image[0])

    def build(self, seed: int = 0) -> nn.Module:
        """Makes the network with the initial weights of a seed: the network that is counted, judged and saved.

        *Returns* a module that maps normalised images (N, channels, height, width) to logits (N, classes).
        """
        return fold_network(self.build_for_training(seed))

    def build_for_training(self, seed: int = 0) -> nn.Module:
        """Makes the network that is trained, with the initial weights of a seed.

        Convolutions with `expand=` are wider than in the network of `build`; `drilldown.network.layout.fold_network`
        makes the latter from the trained one. Without them, both are the same.
        """
        with global_stream(seed, "init"):
            if self.layout is not None:
                return build_network(self.layout, training=True)
            assert self.network.python is not None
            return build_user_network(self.network.python, self.folder, *self.image, self.network.arguments)

    def with_network(self, network: Callable[..., nn.Module], /, **arguments: Any) -> Experiment:
        """Returns a copy with a network that is defined in a cell of a notebook, or in a script.

        Its source is stored as `model.py` in the user's cache and, like any network in Python, in each run folder. The
        fingerprint follows from this source.

        *Arguments*: `network`: a class, or a function that returns a module. It can use imports and other classes and
        functions, but no variables of the notebook. `arguments`: its keyword arguments.

        *Raises* DrilldownError where the source is unknown or uses variables, or where the network fails.
        """
        module = cell_module(network)
        try:
            settings = Network(python=f"{MODULE}:{network.__name__}", arguments=plain_values(arguments))
        except ValidationError as error:
            messages = [detail["msg"].removeprefix("Value error, ") for detail in error.errors()]
            raise DrilldownError(*(Problem(place="with_network", found=message) for message in messages)) from None
        copy = self.model_copy(update={"network": settings})
        copy = copy.located(path=store_cell_module(module, copy.to_toml()), name=self.name)
        copy.model_summary  # noqa: B018 - it calls the network, whose errors belong to this cell
        return copy

    def settings(self) -> dict[str, Any]:
        """Returns network, recipe and budget as plain values, including defaults."""
        return self.model_dump(mode="json", include={"network", "recipe", "budget"}, exclude_none=True)

    @cached_property
    def fingerprint(self) -> str:
        """A checksum of network, recipe and data: eight hex digits. Any budget can judge the same run.

        Defaults are left out, so that existing runs keep their fingerprints when drilldown gets a new setting.
        """
        return self._checksum(TRAINED, code_digest)

    @cached_property
    def earlier_fingerprint(self) -> str:
        """The checksum that names the run folders of version 0.1: with the budget, and all bytes of a module's file."""

        def hash_module(files: dict[str, bytes]) -> str:
            return hashlib.sha256(next(iter(files.values()))).hexdigest()

        return self._checksum((*TRAINED, "budget"), hash_module)

    def _checksum(self, tables: Iterable[str], code: Callable[[dict[str, bytes]], str]) -> str:
        document = self.model_dump(mode="json", include=set(tables), exclude_defaults=True)
        if self.network.layers is not None:
            document["network"] = network_text(self.network.layers)  # the grouping of layers into blocks has no effect
        elif self.network.python is not None:
            document["network"]["content"] = code(self.code_files)
        if is_dataset_path(self.recipe.dataset):
            document["recipe"]["dataset"] = self.recipe.load_without_writers().identity
        if (targets := self.recipe.targets) is not None:
            document["recipe"]["teacher"] = targets.identity
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:8]

    def to_toml(self) -> str:
        """Returns a TOML document with all settings; reading it gives the same experiment."""
        document = self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        recipe = self.recipe.model_dump(mode="json", exclude_none=True)
        for key in ("optimizer", "schedule"):
            recipe[key] = {"name": recipe[key].pop("name"), **recipe[key]}
        recipe["augment"] = self.recipe.augment.model_dump(mode="json", exclude_defaults=True)
        budget = self.budget.model_dump(mode="json", exclude_none=True)
        reported = {"reported": document.pop("reported")} if "reported" in document else {}
        return dump_toml({**document, "recipe": recipe, "budget": budget, **reported})
