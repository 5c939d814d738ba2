"""The space of a search: from the values of its dimensions to an experiment."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from pydantic import ValidationError

from drilldown.data.image_settings import ImageSettings
from drilldown.data.loading import dataset_info
from drilldown.errors import DrilldownError, Problem
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.loading import Parent, anchor_paths, check_experiment, set_value
from drilldown.experiment.origins import Origin, Source
from drilldown.experiment.problems import toml_literal
from drilldown.experiment.recipe import Recipe
from drilldown.experiment.toml_lines import KeyPath
from drilldown.network.blocks import Block, map_texts, texts_in
from drilldown.network.layers import Shape
from drilldown.search.names import names_in, replace_names, width_names
from drilldown.search.tables import Choice, Dimension, IntDimension, Value

SETTING = "recipe."
"""The beginning of the name of a dimension that is a setting of the recipe; any other name stands in layers."""
DRAWS = 100
"""The number of draws before `neighbours` gives up."""
Values = Mapping[str, Value]
"""A value for each dimension."""


@dataclass(frozen=True)
class Space:
    """An experiment whose layers contain names, and the dimensions that say what the names and settings can be.

    >>> from drilldown.search.reading import read_search
    >>> space = read_search("under-8k").space
    >>> sorted(space.widths)
    ['w1', 'w2', 'w3', 'w4', 'w5', 'w6']
    >>> space.experiment(space.original).fingerprint == drilldown.load("under-8k").fingerprint
    True
    """

    dimensions: Mapping[str, Dimension]
    """The dimensions by name: a name in layers, or a setting such as `recipe.optimizer.lr`."""
    source: Source
    """The values of the experiment's file; its layers contain names."""
    path: Path
    """The file of the search, or of the experiment that is varied."""
    parent: Parent = None
    """The experiment that the file extends."""
    origins: Mapping[str, Origin] = dataclasses.field(default_factory=dict)
    """The position of each dimension in the file, for messages."""
    name: str | None = None
    """The name of the experiment as `study/step`, where the path does not give it."""

    @property
    def template(self) -> tuple[Block, ...] | None:
        """The blocks of layers with names; None where the file has no list of texts and tables."""
        network = self.source.values.get("network")
        layers = network.get("layers") if isinstance(network, dict) else None
        if not isinstance(layers, list) or not all(isinstance(block, str | dict) for block in layers):
            return None  # a network in Python, or an error, found later
        return tuple(layers)

    @property
    def texts(self) -> list[str]:
        """All texts of the template."""
        return [text for _, text in texts_in(self.template or ())]

    @cached_property
    def settings(self) -> dict[str, Dimension]:
        """The dimensions that are settings of the recipe."""
        return {name: dimension for name, dimension in self.dimensions.items() if name.startswith(SETTING)}

    @cached_property
    def widths(self) -> frozenset[str]:
        """The names that stand for a number of output channels in some candidate, with a range of whole numbers."""
        found: set[str] = set()
        seen: set[str] = set()
        waiting = self.texts
        while waiting:
            text = waiting.pop()
            if text in seen:
                continue
            seen.add(text)
            layers = text.split(",")
            choice = next((name for name in names_in(text) if isinstance(self.dimensions[name], Choice)), None)
            if len(layers) > 1:
                waiting += layers
            elif choice is None:
                found.update(self._numbers(width_names(text)))
            else:
                waiting += [replace_names(text, {choice: _text(value)}) for value in self.dimensions[choice].ends]
        return frozenset(found)

    def widths_of(self, values: Values) -> tuple[str, ...]:
        """Returns the names of widths that stand in the layers of one candidate, from the image to the logits."""
        texts = [text for _, text in texts_in(self.outline(values))]
        names = self._numbers(name for text in texts for name in width_names(text))
        return tuple(dict.fromkeys(names))

    def used(self, values: Values) -> frozenset[str]:
        """Returns the dimensions that have an effect on one candidate: a choice can leave out the names of others."""
        found = set(self.settings)
        waiting = [name for text in self.texts for name in names_in(text)]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                if isinstance(self.dimensions[name], Choice):
                    waiting += names_in(_text(values[name]))
        return frozenset(found)

    def outline(self, values: Values) -> tuple[Block, ...]:
        """Returns the blocks of one candidate after all choices; only the names of numbers remain."""
        return tuple(self._outline(values).values())

    def layers(self, values: Values) -> tuple[Block, ...]:
        """Returns the blocks of one candidate."""
        return tuple(self._layers(values).values())

    def image(self, values: Values) -> tuple[Shape, int]:
        """Returns the shape of an image, (channels, height, width), and the number of classes of one candidate."""
        if "recipe.dataset" not in self.dimensions:
            return self.base.image
        source = self._with_setting("recipe.dataset", values["recipe.dataset"])
        recipe = source.values["recipe"]
        image = recipe.get("image")
        settings = None if image is None else ImageSettings.model_validate(image)
        info = dataset_info(recipe["dataset"], recipe.get("orientation"), settings)
        return info.image_shape, info.classes

    def experiment(self, values: Values, number: int | None = None) -> Experiment:
        """Makes the experiment of one candidate.

        *Arguments*: `number`: the candidate's number; title and name then tell it.

        *Raises* DrilldownError where these values make no experiment, or are not in the space.
        """
        self._check_values(values)
        source = Source(dict(self.source.values), dict(self.source.origins), self.source.own)
        if number is not None:
            source.values["title"] = f"{source.values['title']}, candidate {number}"
            for key in ("remark", "reconstructed", "reported"):  # they are about the experiment that is varied
                source.values.pop(key, None)
        for setting in self.settings:
            set_value(source, tuple(setting.split(".")), copy.deepcopy(values[setting]), self.origin(setting))
        blocks = self._set_layers(source, values)
        try:
            experiment = check_experiment(source, self.path, self.parent).located(name=self.name)
        except DrilldownError as error:
            raise DrilldownError(*(_with_index_of_file(problem, blocks) for problem in error.problems)) from None
        return experiment if number is None else experiment.located(name=f"{experiment.name}-candidate-{number}")

    @cached_property
    def base(self) -> Experiment:
        """The experiment at the starts of all dimensions, and in the middle of those without a start."""
        return self.experiment(self.centre)

    @property
    def centre(self) -> dict[str, Value]:
        """The start of each dimension, and the middle of those without a start."""
        return {
            name: dimension.middle if self._starts[name] is None else self._starts[name]  # type: ignore[misc]
            for name, dimension in self.dimensions.items()
        }

    @property
    def original(self) -> dict[str, Value] | None:
        """The values of the first candidate; None where a dimension has no start.

        The start of a setting is the recipe's own value, where the dimension has it.
        """
        return None if None in self._starts.values() else self.centre

    def sample(self, rng: Random) -> dict[str, Value]:
        """Draws a value for each dimension."""
        return {name: dimension.sample(rng) for name, dimension in self.dimensions.items()}

    def neighbours(self, values: Values, rng: Random) -> dict[str, Value]:
        """Draws a candidate near another one: one or two of its dimensions have a nearby value.

        *Returns* values that make an experiment; the same values where no draw gives others.
        """
        names = sorted(name for name in self.used(values) if self.dimensions[name].changes)
        for _ in range(DRAWS if names else 0):
            chosen = rng.sample(names, min(rng.choice((1, 2)), len(names)))
            near = dict(values)
            for name in chosen:
                near[name] = self.dimensions[name].nearby(values[name], rng)  # type: ignore[arg-type]
            with contextlib.suppress(DrilldownError):
                self.experiment(near)
                return near
        return dict(values)

    @cached_property
    def _starts(self) -> dict[str, Value | None]:
        recipe = self._own_recipe
        starts: dict[str, Value | None] = {}
        for name, dimension in self.dimensions.items():
            if name in self.settings:
                own = None if recipe is None else self._own_value(name, dimension, recipe)
                starts[name] = own if dimension.start is None else dimension.start
            else:
                starts[name] = dimension.middle if isinstance(dimension, Choice) else dimension.start
        return starts

    @cached_property
    def _own_recipe(self) -> Recipe | None:
        """The recipe of the file; None where it is not complete without the dimensions."""
        try:
            return Recipe.model_validate(self.source.values.get("recipe", {}))
        except ValidationError:
            return None

    def _own_value(self, name: str, dimension: Dimension, recipe: Recipe) -> Value | None:
        """Returns the value of the dimension that leaves the recipe as it is, or None."""
        if isinstance(dimension, Choice):
            # Compared as recipes: a table with a default left out is equal to one with the default.
            return next((value for value in dimension.values if self._recipe_with(name, value) == recipe), None)
        value: Any = recipe.model_dump(mode="json")
        for key in name.split(".")[1:]:
            value = value.get(key) if isinstance(value, dict) else None
        return value if dimension.contains(value) else None

    def _recipe_with(self, name: str, value: Value) -> Recipe | None:
        try:
            return Recipe.model_validate(self._with_setting(name, value).values["recipe"])
        except (DrilldownError, ValidationError):
            return None

    def _with_setting(self, name: str, value: Value) -> Source:
        """Returns the file's values with one setting; raises DrilldownError where a key above it is not a table."""
        source = Source(dict(self.source.values), dict(self.source.origins), self.source.own)
        set_value(source, tuple(name.split(".")), copy.deepcopy(value), self.origin(name))
        anchor_paths(source)  # a value can be a folder, relative to the file
        return source

    def origin(self, name: str) -> Origin:
        """Returns the position of a dimension in the file."""
        return self.origins.get(name) or self.source.own

    def _numbers(self, names: Iterator[str]) -> Iterator[str]:
        return (name for name in names if isinstance(self.dimensions.get(name), IntDimension))

    def _outline(self, values: Values) -> dict[int, Block]:
        """Returns the blocks after all choices by their index in the file; blocks without layers are left out."""
        texts = {
            name: _text(values[name])
            for name, dimension in self.dimensions.items()
            if isinstance(dimension, Choice) and name not in self.settings
        }

        def replaced(text: str) -> str | None:
            # An empty text that the user wrote is an error, found later.
            return replace_names(text, texts) or (None if names_in(text) else text)

        return {
            index: changed
            for index, block in enumerate(self.template or ())
            for changed in map_texts([block], replaced)
        }

    def _layers(self, values: Values) -> dict[int, Block]:
        texts = {name: _text(value) for name, value in values.items() if name not in self.settings}
        return {
            index: changed
            for index, block in self._outline(values).items()
            for changed in map_texts([block], lambda text: replace_names(text, texts))
        }

    def _set_layers(self, source: Source, values: Values) -> list[int]:
        """Sets the layers of a candidate; returns the index in the file of each of its blocks."""
        if self.template is None:
            return []
        blocks = self._layers(values)
        source.values["network"] = {**source.values["network"], "layers": list(blocks.values())}
        for position, index in enumerate(blocks):
            in_file: KeyPath = ("network", "layers", index)
            origin = self.source.origin(in_file)
            source.origins["network", "layers", position] = dataclasses.replace(origin, key_path=in_file)
        return list(blocks)

    def _check_values(self, values: Values) -> None:
        """Raises DrilldownError where a value is missing, has no dimension, or is not in its dimension."""
        problems = [
            Problem(place=f"space.{name}", found="no such dimension") for name in values.keys() - self.dimensions.keys()
        ]
        for name, dimension in self.dimensions.items():
            if name not in values:
                problems.append(Problem(place=f"space.{name}", found="no value", expected=dimension.description))
            elif not dimension.contains(values[name]):
                found = f"found {toml_literal(values[name])}"
                problems.append(Problem(place=f"space.{name}", found=found, expected=dimension.description))
        if problems:
            raise DrilldownError(*problems)


def _text(value: Value) -> str:
    """Returns the text of a value in a layer."""
    if isinstance(value, str):
        return value
    return repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else toml_literal(value)


def _with_index_of_file(problem: Problem, blocks: list[int]) -> Problem:
    """Returns a problem with the index of a block in the file, not among the blocks that are left."""
    match = re.match(r"network\.layers\[(\d+)\]", problem.place or "")
    if match is None or int(match[1]) >= len(blocks):
        return problem
    place = f"network.layers[{blocks[int(match[1])]}]{(problem.place or '')[match.end() :]}"
    return dataclasses.replace(problem, place=place)
