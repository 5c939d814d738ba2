"""Hints for wrong options: for a setting that is given as an option, and for names of other tools."""

from __future__ import annotations

from collections.abc import Sequence

OTHER_VALUES = {"gpu": "cuda", "cuda:0": "cuda", "mps": "cpu", "pytorch": "torch", "c++": "native"}
"""Values of other tools, and the value that they stand for here."""

WITH_SETTINGS = ("run", "lr", "study", "search", "summary", "verdict", "bench")
"""The commands with the option --set."""


def usage_hint(message: str, arguments: Sequence[str]) -> str | None:
    """A hint for typer's message about a wrong option, or None.

    *Arguments*: `arguments`: those of the command.

    >>> usage_hint("No such option: --epochs", ["run", "--epochs", "3"])
    'a setting is changed with --set recipe.epochs=3'
    >>> usage_hint("Invalid value for '--device': 'gpu' is not one of 'auto', 'cpu', 'cuda'.", [])
    'did you mean "cuda"?'
    """
    for word, value in OTHER_VALUES.items():
        if f"'{word}' is not one of" in message and f"'{value}'" in message:
            return f'did you mean "{value}"?'
    if "No such option" not in message or not set(arguments) & set(WITH_SETTINGS):
        return None
    from drilldown.experiment.hints import setting_called  # imports PyTorch

    for index, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        place = setting_called(option.removeprefix("--")) if option.startswith("--") and option in message else None
        if place:
            following = next(iter(arguments[index + 1 : index + 2]), "--")
            given = value if equals else "VALUE" if following.startswith("--") else following
            return f"a setting is changed with --set {place}={given}"
    return None
