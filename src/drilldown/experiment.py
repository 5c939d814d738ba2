"""Experiment, recipe and budget: what a TOML file says, typed, and what follows from it alone."""

from __future__ import annotations

import hashlib
import json
import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import AfterValidator, Field, PrivateAttr, StringConstraints, field_validator, model_validator
from torch import nn

from drilldown import anatomy, data, layers, network, toml_text, user_module
from drilldown.augment import Augment
from drilldown.errors import DrilldownError, InvalidValue, Problem
from drilldown.layers import Shape
from drilldown.randomness import global_stream
from drilldown.schedule import Constant, Schedule
from drilldown.table import BelowOne, NonNegative, Positive, Table

Percent = Annotated[float, Field(ge=0, le=100)]


def _canonical(block: str) -> str:
    return ", ".join(map(str, layers.parse_block(block)))


class Network(Table):
    """The layers in block notation, or a user's own module."""

    layers: Annotated[tuple[Annotated[str, AfterValidator(_canonical)], ...], Field(strict=False)] | None = None
    """Blocks, from image to class scores."""
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


class SGD(Table):
    """Stochastic gradient descent as PyTorch defines it: decay in the gradient, first buffer = first gradient."""

    name: Literal["sgd"]
    lr: Positive
    """Learning rate; the peak, where a schedule changes it."""
    momentum: BelowOne = 0.0
    nesterov: bool = False
    weight_decay: NonNegative = 0.0

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov = true without momentum, expected a momentum above 0")
        return self

    def create(self, network: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
        """PyTorch's optimizer over the network's parameters."""
        return torch.optim.SGD(
            network.parameters(), self.lr, self.momentum,
            nesterov=self.nesterov, weight_decay=self.weight_decay, fused=fused,
        )  # fmt: skip


class _AdamTable(Table):
    lr: Positive
    """Learning rate; the peak, where a schedule changes it."""
    betas: tuple[BelowOne, BelowOne] = Field(default=(0.9, 0.999), strict=False)
    """Decay of the running means of gradient and squared gradient."""
    eps: Positive = 1e-8


class Adam(_AdamTable):
    """Adam, weight decay in the gradient (Kingma and Ba, 2015)."""

    name: Literal["adam"]
    weight_decay: NonNegative = 0.0

    def create(self, network: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
        """PyTorch's optimizer over the network's parameters."""
        return torch.optim.Adam(network.parameters(), self.lr, self.betas, self.eps, self.weight_decay, fused=fused)


class AdamW(_AdamTable):
    """Adam, weight decay apart from the gradient (Loshchilov and Hutter, 2019)."""

    name: Literal["adamw"]
    weight_decay: NonNegative = 0.01

    def create(self, network: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
        """PyTorch's optimizer over the network's parameters."""
        return torch.optim.AdamW(network.parameters(), self.lr, self.betas, self.eps, self.weight_decay, fused=fused)


Optimizer = Annotated[SGD | Adam | AdamW, Field(discriminator="name")]


class Recipe(Table):
    """Everything about training."""

    dataset: str = "mnist"
    """A name (mnist, fashion-mnist, kmnist, glyphs), or a folder of IDX files."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 15
    """Passes over the distinct training images."""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 128
    optimizer: Optimizer = SGD(name="sgd", lr=0.01, momentum=0.9)
    schedule: Schedule = Constant(name="constant")
    augment: Augment = Augment()
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
            return name if data.is_folder(name) else data.check_name(name)
        except DrilldownError as error:
            raise InvalidValue(error.problems[0]) from None


def _not_a_fraction(accuracy: float) -> float:
    if 0 < accuracy <= 1:
        raise ValueError(f"found {accuracy}, expected percent, such as {100 * accuracy:g}")
    return accuracy


class Budget(Table):
    """At most so many parameters and epochs, and a bar for the last epochs; a line left out is not judged."""

    parameters: Annotated[int, Field(ge=1)] | None = None
    epochs: Annotated[int, Field(ge=1)] | None = None
    accuracy: Annotated[Percent, AfterValidator(_not_a_fraction)] | None = None
    """Percent that every one of the last `hold` epochs must reach."""
    hold: Annotated[int, Field(ge=1)] = 5


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


class Experiment(Table):
    """An experiment file, resolved: what `extends` hands down is filled in.

    >>> experiment = drilldown.load("under-8k")
    >>> experiment.anatomy.parameters
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

    def __repr__(self) -> str:
        return f"<Experiment {self.name}: {self.title!r}, {self.recipe.epochs} epochs of {self.recipe.dataset}>"

    def __str__(self) -> str:
        from drilldown import display

        return display.text(display.print_anatomy, self)

    def _repr_html_(self) -> str:
        from drilldown import notebook

        return notebook.experiment(self)

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
        """Why its budget cannot be met, however well it trains; None where it can."""
        if self.budget.accuracy is not None and self.recipe.epochs < self.budget.hold:
            return f"the budget asks for the last {self.budget.hold} epochs, and recipe.epochs is {self.recipe.epochs}"
        return None

    @property
    def folder(self) -> Path:
        """Where the files that it names lie."""
        return self._path.parent if self._path else Path()

    @cached_property
    def image(self) -> tuple[Shape, int]:
        """Shape of an image (channels, height, width), and the number of classes."""
        return data.shape_of(self.recipe.dataset)

    @cached_property
    def anatomy(self) -> anatomy.Anatomy:
        """The layer table; raises DrilldownError where the network does not fit the images."""
        if self.network.layers is not None:
            return anatomy.of_layers(network.place(self.network.layers, *self.image))
        return anatomy.of_module(self.build(), self.image[0])

    def build(self, seed: int = 0) -> nn.Module:
        """The network with the initial weights of a seed: images (N, C, H, W), normalised, to scores (N, classes)."""
        with global_stream(seed, "init"):
            if self.network.layers is not None:
                return network.build(network.place(self.network.layers, *self.image))
            assert self.network.python is not None
            return user_module.build(self.network.python, self.folder, *self.image)

    def settings(self) -> dict[str, Any]:
        """Network, recipe and budget as plain values, defaults included: what two experiments differ in."""
        return self.model_dump(mode="json", include={"network", "recipe", "budget"}, exclude_none=True)

    @cached_property
    def fingerprint(self) -> str:
        """Eight hex digits over network, recipe, budget and data.

        Defaults are left out, so that an option added later does not rename the runs there are.
        """
        said = self.model_dump(mode="json", include={"network", "recipe", "budget"}, exclude_defaults=True)
        if self.network.layers is not None:
            said["network"] = ", ".join(self.network.layers)  # how layers are grouped into blocks is style
        elif self.network.python is not None:
            file = self.folder / self.network.python.partition(":")[0]
            if not os.path.isfile(file):  # Path's own raises where a name is too long
                raise DrilldownError(Problem(file=file, place=user_module.PLACE, found="no such file"))
            said["network"]["content"] = hashlib.sha256(file.read_bytes()).hexdigest()
        if data.is_folder(self.recipe.dataset):
            said["recipe"]["dataset"] = data.load(self.recipe.dataset).identity
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]

    def to_toml(self) -> str:
        """The resolved experiment as a file that reads back as itself."""
        said = self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        recipe = self.recipe.model_dump(mode="json", exclude_none=True)
        for key in ("optimizer", "schedule"):
            recipe[key] = {"name": recipe[key].pop("name"), **recipe[key]}
        recipe["augment"] = self.recipe.augment.model_dump(mode="json", exclude_defaults=True)
        budget = self.budget.model_dump(mode="json", exclude_none=True)
        reported = {"reported": said.pop("reported")} if "reported" in said else {}
        return toml_text.dumps({**said, "recipe": recipe, "budget": budget, **reported})
