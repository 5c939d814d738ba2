"""The origins of an experiment's values, and the position in a message."""

from __future__ import annotations

from pathlib import Path

from drilldown.errors import Problem
from drilldown.experiment.origins import LONGEST_PART, Origin, Source, one_line

FILE = Origin(Path("child.toml"), "[recipe]\nepochs = 3\n")
PARENT = Origin(Path("parent.toml"), "# first line\n[recipe]\nbatch_size = 0\n")
OVERRIDE = Origin("--set recipe.optimizer.lr=1")
SOURCE = Source(
    {},
    {("recipe", "batch_size"): PARENT, ("recipe", "optimizer"): PARENT, ("recipe", "optimizer", "lr"): OVERRIDE},
    FILE,
)


def test_the_longest_known_key_path_gives_the_origin() -> None:
    assert SOURCE.origin(("recipe", "epochs")) is FILE
    assert SOURCE.origin(("recipe", "batch_size")) is PARENT
    assert SOURCE.origin(("recipe", "optimizer", "momentum")) is PARENT
    assert SOURCE.origin(("recipe", "optimizer", "lr")) is OVERRIDE
    assert SOURCE.origin(("recipe",)) is FILE


def test_a_problem_gets_the_file_and_the_line_of_its_origin() -> None:
    problem = Problem(place="recipe.batch_size", found="found 0")
    assert str(PARENT.problem(("recipe", "batch_size"), problem)) == "parent.toml:3: recipe.batch_size: found 0"
    assert str(OVERRIDE.problem(("recipe", "optimizer", "lr"), problem)).startswith(
        "--set recipe.optimizer.lr=1: recipe."
    )


def test_the_line_is_that_of_the_key_that_gives_the_value() -> None:
    text = '[space]\n"recipe.epochs" = { int = [0, 3] }\n[recipe]\nepochs = 5\n'
    dimension = Origin(Path("search.toml"), text, ("space", "recipe.epochs"))
    problem = Problem(place="recipe.epochs", found="found 0")
    assert str(dimension.problem(("recipe", "epochs"), problem)) == "search.toml:2: recipe.epochs: found 0"


def test_every_part_of_a_message_is_one_short_line() -> None:
    problem = Problem(place="a\nb", found="x" * 10_000, expected="c\td", suggestion="\x1b[31m")
    message = str(FILE.problem(("recipe",), problem))
    assert message.isprintable()
    assert len(message) < LONGEST_PART + 100
    assert one_line("short and plain") == "short and plain"
