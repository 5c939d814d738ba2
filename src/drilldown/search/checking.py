"""The problems of a search file that its tables alone do not show: names, clashes, and values that fit nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from random import Random

from pydantic import BaseModel

from drilldown.errors import DrilldownError, Problem, did_you_mean, quoted
from drilldown.experiment.origins import Origin
from drilldown.experiment.problems import tables_of, toml_literal
from drilldown.experiment.recipe import Recipe
from drilldown.network.layout import place_text
from drilldown.search.names import VALID_NAME, names_in, stray_brace
from drilldown.search.space import SETTING, Space
from drilldown.search.tables import Choice, Dimension, Value

DEEPEST = 20
"""The largest number of names within names."""
TRIES = 20
"""The number of candidates that are tried with a value before it is reported to fit nothing."""


def name_problems(
    template: Sequence[tuple[str, Origin]] | None,
    dimensions: Mapping[str, Dimension | None],
    origins: Mapping[str, Origin],
) -> Iterator[Problem]:
    """Yields the problems with names: unknown, unused, circular, badly written, or twice for one setting.

    *Arguments*: `template`: the texts of layers, each with its origin; None where there is no list of blocks.
    `dimensions`: by name; None for one that has a problem of its own. `origins`: the position of each dimension in the
    file.
    """
    for text, origin in template or ():
        place = f'{place_text(origin.key_path or ())} "{text}"'
        yield from (origin.problem(("network",), problem) for problem in _text_problems(text, place, dimensions))
    used = _reachable([name for block, _ in template or () for name in names_in(block)], dimensions)
    circular = {name for name in dimensions if _is_circular(name, dimensions)}
    for name, dimension in dimensions.items():
        problems: list[Problem] = []
        if not name.startswith(SETTING):
            problems += _choice_problems(name, dimension, dimensions)
            if name in circular:
                problems.append(Problem(place=f"space.{name}", found=f'circular: its texts lead back to "{name}"'))
            elif not circular and _depth(name, dimensions) > DEEPEST:
                problems.append(Problem(place=f"space.{name}", found=f"more than {DEEPEST} names within names"))
            if not VALID_NAME.fullmatch(name):
                problems.append(_bad_name(name))
            elif template is not None and name not in used:
                problems.append(_unused(name, has_layers=bool(template)))
        else:
            others = [other for other in dimensions if name.startswith(f"{other}.")]
            problems += [
                Problem(place=f"space.{name}", found=f'"{other}" sets it too', expected="one of the two")
                for other in others
            ]
        yield from (origins[name].problem(("space", name), problem) for problem in problems)


def value_problems(space: Space) -> list[Problem]:
    """Returns the problems of values: a middle that makes no experiment, and values with which no candidate does.

    A value is tried with the middle of all other dimensions, then with random values of them.
    """
    try:
        space.base  # noqa: B018 - makes the experiment
        in_the_middle: tuple[Problem, ...] = ()
    except DrilldownError as error:
        in_the_middle = error.problems
    problems: list[Problem] = []
    wrong: set[str] = set()
    for name, dimension in space.dimensions.items():
        for value in dimension.ends:
            found = [problem for problem in _problems_with(space, name, value) if problem not in in_the_middle]
            if any(problem.place == name for problem in found):
                wrong.add(name)
            problems += [_about_value(problem, space, name, value) for problem in found]
    # Where the values of a setting are wrong, its middle has the same error.
    return [_with_middle(problem, space) for problem in in_the_middle if problem.place not in wrong] + problems


def _problems_with(space: Space, name: str, value: Value) -> tuple[Problem, ...]:
    """Returns the problems of the first candidate with this value; none where some candidate has no problem."""
    first: tuple[Problem, ...] = ()
    rng = Random(0)
    tried: list[dict[str, Value]] = []
    for attempt in range(TRIES):
        values = {**(space.sample(rng) if attempt else space.centre), name: value}
        if values in tried or name not in space.used(values):
            continue
        tried.append(values)
        try:
            space.experiment(values)
        except DrilldownError as error:
            first = first or error.problems
        else:
            return ()
    return first


def _about_value(problem: Problem, space: Space, name: str, value: Value) -> Problem:
    place = f"space.{name} = {toml_literal(value)}"
    if problem.place and problem.place != name:
        place = f"{place}: {problem.place}"
    return space.origin(name).problem(("space", name), dataclasses.replace(problem, place=place))


def _with_middle(problem: Problem, space: Space) -> Problem:
    """Adds the values of the middle to a problem with the layers."""
    names = [name for name in space.dimensions if name in space.used(space.centre) and not name.startswith(SETTING)]
    if problem.suggestion or not names or not (problem.place or "").startswith("network.layers"):
        return problem
    values = ", ".join(f"{name} = {toml_literal(space.centre[name])}" for name in names)
    return dataclasses.replace(problem, suggestion=f"the middle of the space must make an experiment: {values}")


def _text_problems(text: str, place: str, dimensions: Mapping[str, object]) -> Iterator[Problem]:
    brace = stray_brace(text)
    if brace:
        yield Problem(place=place, found=f'found a single "{brace}"', expected="a name in braces, as in {w1}")
    names = [name for name in dimensions if not name.startswith(SETTING)]
    for name in dict.fromkeys(names_in(text)):
        if name.startswith(SETTING) and name in dimensions:
            found = f'"{name}" is a setting of the recipe'
            yield Problem(place=place, found=found, expected="a name of [space] without dots")
        elif name not in dimensions:
            expected = f"one of {quoted(names)}" if names else f"a dimension in [space], as in {name or 'w1'} = "
            expected += "" if names else "{ int = [4, 16] }"
            yield Problem(
                place=place, found=f'unknown name "{name}"', expected=expected, suggestion=did_you_mean(name, names)
            )


def _choice_problems(name: str, dimension: Dimension | None, dimensions: Mapping[str, object]) -> Iterator[Problem]:
    """Yields the problems with names in the texts of a choice."""
    for value in dimension.values if isinstance(dimension, Choice) else ():
        if isinstance(value, str):
            yield from _text_problems(value, f'space.{name} = "{value}"', dimensions)


def _is_circular(name: str, dimensions: Mapping[str, Dimension | None]) -> bool:
    return name in _reachable(_names_within(dimensions[name]), dimensions)


def _depth(name: str, dimensions: Mapping[str, Dimension | None]) -> int:
    """Returns the number of names within names below this one, or a number above DEEPEST; nothing may be circular."""
    level, depth = {name}, -1
    while level and depth <= DEEPEST:
        level = {inner for outer in level for inner in _names_within(dimensions.get(outer))}
        depth += 1
    return depth


def _names_within(dimension: Dimension | None) -> list[str]:
    texts = [value for value in dimension.values if isinstance(value, str)] if isinstance(dimension, Choice) else []
    return [name for text in texts for name in names_in(text)]


def _reachable(names: Sequence[str], dimensions: Mapping[str, Dimension | None]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _names_within(dimensions.get(name))
    return found


def _bad_name(name: str) -> Problem:
    if "." in name:
        return Problem(
            place=f"space.{name}",
            found="not a setting that a search can vary",
            expected='a setting of the recipe, such as "recipe.optimizer.lr"',
            suggestion=did_you_mean(name, setting_names()),
        )
    return Problem(
        place=f"space.{name}",
        found=f'found the name "{name}"',
        expected='letters, digits, "_" and "-", with a letter or "_" first',
    )


def _unused(name: str, *, has_layers: bool) -> Problem:
    settings = [setting for setting in setting_names() if setting.rpartition(".")[2] == name]
    suggestion = None if has_layers else "layers in Python have no names"
    if settings:
        suggestion = f"did you mean {quoted(settings)}?"
    return Problem(
        place=f"space.{name}", found="is never used", expected=f"{{{name}}} in a layer", suggestion=suggestion
    )


def setting_names() -> list[str]:
    """Lists all settings of a recipe, of all optimizers and schedules.

    >>> "recipe.optimizer.lr" in setting_names()
    True
    """

    def walk(prefix: str, table: type[BaseModel]) -> Iterator[str]:
        for key, field in table.model_fields.items():
            yield f"{prefix}.{key}"
            for inner in tables_of(field.annotation):
                yield from walk(f"{prefix}.{key}", inner)

    return list(dict.fromkeys(walk("recipe", Recipe)))
