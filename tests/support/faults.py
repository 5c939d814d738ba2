"""What the battery of faults shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from drilldown.errors import DrilldownError

EPOCHS = 30
"""The epochs of the runs that are damaged and killed."""

Result = TypeVar("Result")


def attempt(action: Callable[[], Result]) -> tuple[Result | None, DrilldownError | None]:
    """Returns the result of an action, or the error that its user would see; every other exception is a bug."""
    try:
        return action(), None
    except DrilldownError as error:
        return None, error
