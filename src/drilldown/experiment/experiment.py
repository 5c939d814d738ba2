"""Experiment, recipe and budget: what a TOML file says, typed, and what follows from it alone."""

from __future__ import annotations

import hashlib
import json
import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, StringConstraints, field_validator, model_validator
from torch import nn

from drilldown.data.augmentation import Augmentation
from drilldown.data.catalogue import check_dataset_name, is_dataset_folder
from drilldown.data.loading import dataset_info, load_dataset
from drilldown.errors import DrilldownError, InvalidValueError, Problem
from drilldown.experiment.budget import Budget
from drilldown.experiment.optimizers import SGD, Optimizer
from drilldown.experiment.schedules import ConstantSchedule, Schedule
from drilldown.experiment.toml_text import dump_toml
from drilldown.network.layers import Shape, parse_block
from drilldown.network.layout import PlacedLayer, build_network, lay_out
from drilldown.network.summary import ModelSummary, summarise_layers, summarise_module
from drilldown.network.user_module import PLACE, build_user_network
from drilldown.randomness import global_stream
from drilldown.shown import Shown
from drilldown.table import BelowOne, Percent, Table


def _canonical(block: str) -> str:
    return ", ".join(map(str, parse_block(block)))


class Network(Table):
    """The layers in block notation, or a user's own module."""

    layers: Annotated[tuple[Annotated[str, AfterValidator(_canonical)], ...], Field(strict=False)] | None = None
    """Blocks, from image to logits."""
    python: Annotated[str, StringConstraints(pattern=r"^[^/\\:]+\.py:[A-Za-z_]\w*$")] | None = None
    """`FILE.py:CLASS`, the file lying beside the experiment."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.layers is None) == (self.python is None):
            both = "neither" if self.layers is None else "both"
            raise ValueError(f'{both} of "layers" and "python" given, expected one of them')
        if self.layers == ():
            raise ValueError("no layers, expected at least one block")
        return self


class Recipe(Table):
    """Everything about training."""

    dataset: str = "mnist"
    """A name (mnist, fashion-mnist, kmnist, glyphs), or a folder of IDX files."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 15
    """Passes over the distinct training images."""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 128
    optimizer: Optimizer = SGD(name="sgd", lr=0.01, momentum=0.9)
    schedule: Schedule = ConstantSchedule(name="constant")
    augment: Augmentation = Augmentation()
    label_smoothing: BelowOne = 0.0
    """ε of (1 − ε)·onehot + ε/classes."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential average of the weights; with it, the averaged weights are the model."""
    holdout: Annotated[int, Field(ge=1)] | None = None
    """Training images taken away as a validation split, on which epochs are then measured and judged."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the training's arithmetic; weights and evaluation stay in fp32."""

    @model_validator(mode="after")
    def _floor_below_peak(self) -> Self:
        floor = getattr(self.schedule, "floor", 0.0)
        if floor > self.optimizer.lr:
            raise ValueError(f"schedule.floor = {floor} is above the peak, expected at most lr = {self.optimizer.lr}")
        return self

    @field_validator("dataset")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            return name if is_dataset_folder(name) else check_dataset_name(name)
        except DrilldownError as error:
            raise InvalidValueError(error.problems[0]) from None


class Reported(Table):
    """What a source claims to have reached; shown beside what was measured, never used."""

    train: Percent | None = None
    test: Percent | None = None
    figure: Literal["best", "final", "mean_last"] = "best"
    """Which of a run's accuracies they are: of the best epoch, of the last one, or of the last ones, about."""
    note: str | None = None

    @property
    def aside(self) -> str:
        """Of what they are, to be written behind them; nothing for the best epoch, the usual."""
        return "" if self.figure == "best" else f" ({self.epochs})"

    @property
    def epochs(self) -> str:
        """What they were taken of, in words."""
        return {"best": "best epoch", "final": "last epoch", "mean_last": "about, last epochs"}[self.figure]

    def __str__(self) -> str:
        said = ", ".join(
            f"{name} {value:.2f} %" for name, value in (("train", self.train), ("test", self.test)) if value is not None
        )
        return f"{said} ({self.epochs}). {self.note or ''}".rstrip() if said else self.note or "nothing"


class Experiment(Shown, Table):
    """An experiment file, resolved: what `extends` hands down is filled in.

    >>> experiment = drilldown.load("under-8k")
    >>> experiment.model_summary.parameters
    7662
    """

    title: Annotated[str, StringConstraints(min_length=1)]
    target: str = ""
    """What the step is after, in prose."""
    reconstructed: bool = False
    """Whether the network is ours, because its author published none."""
    remark: str = ""
    """Where the step comes from, and what was chosen because no source states it."""
    network: Network
    recipe: Recipe = Recipe()
    budget: Budget = Budget()
    reported: Reported | None = None

    _path: Path | None = PrivateAttr(default=None)
    _name: str | None = PrivateAttr(default=None)
    _parent: Experiment | None = PrivateAttr(default=None)

    def located(
        self, *, path: Path | None = None, name: str | None = None, parent: Experiment | None = None
    ) -> Experiment:
        """A copy that knows where it belongs; what is not given stays as it is.

        *Arguments*: `path`: the file that it was read from. `name`: `study/step`, where the path does not tell it.
        `parent`: the experiment that it extends.
        """
        copy = self.model_copy()
        if self.network.python is not None and path not in (None, self._path):  # the code lies beside the file
            for cached in ("layout", "model_summary", "fingerprint"):
                copy.__dict__.pop(cached, None)
        copy._path = path or self._path
        copy._name = name or self._name
        copy._parent = parent or self._parent
        return copy

    def __repr__(self) -> str:
        return f"<Experiment {self.name}: {self.title!r}, {self.recipe.epochs} epochs of {self.recipe.dataset}>"

    @property
    def path(self) -> Path | None:
        """The file that it was read from."""
        return self._path

    @property
    def parent(self) -> Experiment | None:
        """The experiment that it extends."""
        return self._parent

    @property
    def name(self) -> str:
        """`study/step`: the folder and the name of its file."""
        if self._name:
            return self._name
        return f"{self._path.resolve().parent.name}/{self._path.stem}" if self._path else "unnamed/experiment"

    @property
    def out_of_reach(self) -> str | None:
        """Why no training can meet its budget; None where one can."""
        if self.budget.accuracy is not None and self.recipe.epochs < self.budget.hold:
            return f"the budget judges the last {self.budget.hold} epochs, and recipe.epochs is {self.recipe.epochs}"
        return None

    @property
    def folder(self) -> Path:
        """The folder of the files that it names."""
        return self._path.parent if self._path else Path()

    @cached_property
    def image(self) -> tuple[Shape, int]:
        """Shape of an image (channels, height, width), and the number of classes."""
        info = dataset_info(self.recipe.dataset)
        return info.image_shape, info.classes

    @cached_property
    def layout(self) -> tuple[PlacedLayer, ...] | None:
        """The layers with their shapes; None for a network in Python.

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
        """The network with the initial weights of a seed: normalised images (N, C, H, W) to logits (N, classes)."""
        with global_stream(seed, "init"):
            if self.layout is not None:
                return build_network(self.layout)
            assert self.network.python is not None
            return build_user_network(self.network.python, self.folder, *self.image)

    def settings(self) -> dict[str, Any]:
        """Network, recipe and budget as plain values, defaults included: what two experiments differ in."""
        return self.model_dump(mode="json", include={"network", "recipe", "budget"}, exclude_none=True)

    @cached_property
    def fingerprint(self) -> str:
        """Eight hex digits over network, recipe, budget and data.

        Defaults are left out, so that an option added later does not rename the runs there are.
        """
        document = self.model_dump(mode="json", include={"network", "recipe", "budget"}, exclude_defaults=True)
        if self.network.layers is not None:
            document["network"] = ", ".join(self.network.layers)  # how layers are grouped into blocks is style
        elif self.network.python is not None:
            file = self.folder / self.network.python.partition(":")[0]
            if not os.path.isfile(file):  # Path's own raises where a name is too long
                raise DrilldownError(Problem(file=file, place=PLACE, found="no such file"))
            document["network"]["content"] = hashlib.sha256(file.read_bytes()).hexdigest()
        if is_dataset_folder(self.recipe.dataset):
            document["recipe"]["dataset"] = load_dataset(self.recipe.dataset).identity
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:8]

    def to_toml(self) -> str:
        """The resolved experiment as a file that reads back as itself."""
        document = self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        recipe = self.recipe.model_dump(mode="json", exclude_none=True)
        for key in ("optimizer", "schedule"):
            recipe[key] = {"name": recipe[key].pop("name"), **recipe[key]}
        recipe["augment"] = self.recipe.augment.model_dump(mode="json", exclude_defaults=True)
        budget = self.budget.model_dump(mode="json", exclude_none=True)
        reported = {"reported": document.pop("reported")} if "reported" in document else {}
        return dump_toml({**document, "recipe": recipe, "budget": budget, **reported})
