"""What the battery of faults shares."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from drilldown.errors import DrilldownError

EPOCHS = 30
"""The epochs of the runs that are damaged and killed."""

SOURCE = Path(__file__).with_name("faults.cpp")

Result = TypeVar("Result")


def compile_faults(folder: Path) -> Path:
    """Compiles the library that makes system calls fail; a command loads it with LD_PRELOAD."""
    shim = folder / "faults.so"
    subprocess.run(["c++", "-shared", "-fPIC", "-O1", str(SOURCE), "-o", str(shim), "-ldl"], check=True)
    return shim


def attempt(action: Callable[[], Result]) -> tuple[Result | None, DrilldownError | None]:
    """Returns the result of an action, or the error that its user would see; every other exception is a bug."""
    try:
        return action(), None
    except DrilldownError as error:
        return None, error
