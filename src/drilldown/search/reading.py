"""Reading a search from a TOML file: an experiment whose file also has `[search]` and `[space]`."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from drilldown.errors import DrilldownError, Problem, did_you_mean, quoted
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.loading import INHERITED, SEARCH_TABLES, check_experiment, in_order_of_lines, read_source
from drilldown.experiment.origins import Origin, Source
from drilldown.experiment.problems import explain_validation_error, toml_literal
from drilldown.experiment.studies import find_experiment_file
from drilldown.experiment.toml_lines import KeyPath
from drilldown.experiment.toml_text import dump_toml
from drilldown.network.blocks import texts_in
from drilldown.search.checking import name_problems, value_problems
from drilldown.search.default_space import default_space
from drilldown.search.names import names_in
from drilldown.search.space import SETTING, Space
from drilldown.search.tables import KINDS, Dimension, SearchSettings

MOST_DIMENSIONS = 200
"""The largest number of dimensions: no sampler learns anything about more."""


@dataclass(frozen=True)
class SearchFile:
    """A search: its settings, and the space of its candidates.

    >>> search = read_search("under-8k", ["search.candidates=20"])
    >>> search.settings.candidates, len(search.space.dimensions)
    (20, 13)
    """

    path: Path
    """The file of the search, or of the experiment that is varied."""
    settings: SearchSettings
    """The aim and the extent of the search."""
    space: Space
    """The dimensions, and how their values make an experiment."""

    @property
    def name(self) -> str:
        """The name as `study/step`."""
        return self.base.name

    @property
    def base(self) -> Experiment:
        """The experiment at the starts of all dimensions, and in the middle of those without a start."""
        return self.space.base

    @cached_property
    def fingerprint(self) -> str:
        """A checksum of everything that decides which candidates are proposed: eight hex digits.

        The number of candidates and hours are left out, so that a search can be repeated with more of them.
        """
        settings = self.settings.model_dump(mode="json", exclude={"candidates", "hours"}, exclude_defaults=True)
        document = {
            "base": self.base.earlier_fingerprint,  # with the budget, by which candidates are chosen
            "search": settings, "space": self._space_table(), "template": self.space.template,
        }  # fmt: skip
        if self.base.network.python is not None:
            document["code"] = self.base.fingerprint
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:8]

    def to_toml(self) -> str:
        """Returns a TOML document with the whole search, without `extends`; reading it gives the same search."""
        values = self.space.source.values
        settings = self.settings.model_dump(mode="json", exclude_none=True)
        document = {"search": settings, "space": self._space_table()}
        in_order = [key for key in Experiment.model_fields if key in values]  # inherited tables would come last
        return dump_toml(document | {key: values[key] for key in in_order})

    def _space_table(self) -> dict[str, Any]:
        return {
            name: dimension.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            for name, dimension in self.space.dimensions.items()
        }


def read_search(reference: str | Path, overrides: Sequence[str] = (), *, name: str | None = None) -> SearchFile:
    """Reads a search.

    Any experiment is a search too: without `[space]`, the dimensions are those of `default_space`. `[search]` and
    `[space]` are not inherited, and a search cannot be extended: a candidate's parent is always an experiment.

    *Arguments*: `reference`: a path, `study/step`, an unambiguous start of it, or a study's name for its last step.
    `overrides`: settings as in `--set`, such as `search.candidates=20` or `recipe.epochs=3`. `name`: `study/step`,
    where the path does not give it.

    *Raises* DrilldownError with all errors of the file.
    """
    path = find_experiment_file(str(reference))
    source, parent = read_source(path, overrides, (*INHERITED, *SEARCH_TABLES))
    has_space = "space" in source.values
    settings_table, space_table = (source.values.pop(table, {}) for table in SEARCH_TABLES)
    settings, problems = _read_settings(settings_table, source)
    template = _template(source)
    if not has_space and not any(names_in(block) for block, _ in template or ()):
        try:
            experiment = check_experiment(source, path, parent)
        except DrilldownError as error:
            raise DrilldownError(*in_order_of_lines([*problems, *error.problems])) from None
        space = dataclasses.replace(default_space(experiment, source), name=name)
    else:
        dimensions, origins, of_dimensions = _read_space(space_table, source)
        problems += [*of_dimensions, *name_problems(template, dimensions, origins)]
        readable = {name: dimension for name, dimension in dimensions.items() if dimension is not None}
        space = Space(readable, source, path, parent, origins, name)
        problems += _other_problems(source, origins) if problems else value_problems(space)
    if settings is None or problems:
        raise DrilldownError(*in_order_of_lines(dict.fromkeys(problems)))
    search = SearchFile(path, settings, space)
    if settings.goal == "smallest" and search.base.budget.accuracy is None:
        problem = Problem(
            place="search.goal",
            found='found "smallest" without budget.accuracy',
            expected="an accuracy that the smallest network must reach",
            suggestion="add it to [budget]",
        )
        raise DrilldownError(source.origin(("search", "goal")).problem(("search", "goal"), problem))
    return search


def _read_settings(table: object, source: Source) -> tuple[SearchSettings | None, list[Problem]]:
    try:
        return SearchSettings.model_validate(table), []
    except ValidationError as error:
        return None, list(explain_validation_error(error, source, table=SearchSettings, at=("search",)))


def _template(source: Source) -> list[tuple[str, Origin]] | None:
    """Returns the texts with their origins, none for a network in Python; None where there is no list of blocks."""
    network = source.values.get("network")
    layers = network.get("layers", []) if isinstance(network, dict) else None
    if not isinstance(layers, list) or not all(isinstance(block, str | dict) for block in layers):
        return None
    return [
        (text, dataclasses.replace(source.origin(at), key_path=at))
        for at, text in texts_in(layers, ("network", "layers"))
    ]


def _read_space(table: object, source: Source) -> tuple[dict[str, Dimension | None], dict[str, Origin], list[Problem]]:
    """Reads the dimensions; returns them by name (None where one is wrong), their origins, and the problems."""
    dimensions: dict[str, Dimension | None] = {}
    origins: dict[str, Origin] = {}
    problems: list[Problem] = []
    if not isinstance(table, dict) or not table:
        found = "no dimensions" if table == {} else f"found {toml_literal(table)}"
        problem = Problem(place="space", found=found, expected="a table of dimensions, such as w1 = { int = [4, 16] }")
        return {}, {}, [source.origin(("space",)).problem(("space",), problem)]
    entries = list(_entries("", ("space",), table))
    if len(entries) > MOST_DIMENSIONS:
        problem = Problem(
            place="space", found=f"{len(entries):,} dimensions", expected=f"at most {MOST_DIMENSIONS} in one search"
        )
        raise DrilldownError(source.origin(("space",)).problem(("space",), problem))
    for name, key_path, value in entries:
        origin = dataclasses.replace(source.origin(key_path), key_path=key_path)
        if name in dimensions:
            problems.append(origin.problem(key_path, Problem(place=f"space.{name}", found="is given twice")))
            continue
        origins[name] = origin
        dimensions[name] = None
        try:
            dimensions[name] = _read_dimension(name, value)
        except ValidationError as error:
            kind = KINDS[next(iter(KINDS.keys() & value.keys()))]
            problems += explain_validation_error(error, source, table=kind, at=key_path)
        except DrilldownError as error:
            problems += [origin.problem(key_path, problem) for problem in error.problems]
    return dimensions, origins, problems


def _entries(prefix: str, at: KeyPath, table: dict[str, Any]) -> Iterator[tuple[str, KeyPath, Any]]:
    """Yields name, key path and value of each dimension.

    A setting without quotation marks, as in `recipe.optimizer.lr = …`, is a table in a table for TOML.
    """
    for key, value in table.items():
        name, key_path = f"{prefix}{key}", (*at, key)
        is_outer = f"{name}.".startswith(SETTING) and isinstance(value, dict) and not KINDS.keys() & value.keys()
        if is_outer and value and all(isinstance(inner, dict) for inner in value.values()):
            yield from _entries(f"{name}.", key_path, value)
        else:
            yield name, key_path, value


def _read_dimension(name: str, value: object) -> Dimension:
    """Reads one dimension; raises DrilldownError where its kind is not clear, ValidationError where it is wrong."""
    example = "as in { int = [4, 16] }, { float = [0.1, 1.0] } or { one_of = [16, 32] }"
    if not isinstance(value, dict):
        raise DrilldownError(
            Problem(place=f"space.{name}", found=f"found {toml_literal(value)}", expected=f"a table, {example}")
        )
    kinds = KINDS.keys() & value.keys()
    if len(kinds) != 1:
        unknown = next((key for key in value if key not in KINDS), "")
        both = " and ".join(f'"{kind}"' for kind in KINDS if kind in kinds)
        raise DrilldownError(
            Problem(
                place=f"space.{name}",
                found=f"found {both or toml_literal(value)}",
                expected=f"one of {quoted(KINDS)}, {example}",
                suggestion=None if kinds else did_you_mean(unknown, KINDS),
            )
        )
    return KINDS[kinds.pop()].model_validate(value)


def _without_names(block: Any) -> Any:
    """A block with a neutral layer, or a single pass, in place of each text with names."""
    if isinstance(block, str):
        return "relu" if set(block) & set("{}") else block
    if not isinstance(block, dict):
        return block
    once = {**block, "repeat": 1} if isinstance(block.get("repeat"), str) else block
    return {k: list(map(_without_names, value)) if isinstance(value, list) else value for k, value in once.items()}


def _other_problems(source: Source, dimensions: Collection[str]) -> Iterator[Problem]:
    """Yields the problems of the rest of a file whose names or dimensions are wrong: those without any dimension."""
    values = copy.deepcopy(source.values)
    network = values.get("network")
    if isinstance(network, dict) and isinstance(network.get("layers"), list):
        # A neutral layer keeps the indices of the others.
        network["layers"] = [_without_names(block) for block in network["layers"]]
    try:
        Experiment.model_validate(values)
    except ValidationError as error:
        for problem in explain_validation_error(error, source):
            if problem.place not in dimensions:  # the dimension gives the value
                yield problem
