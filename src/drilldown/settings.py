"""The settings of a training beside its experiment: how to compute, and where files lie.

Both are frozen values without open files or devices, so they can be sent to another process or machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from drilldown.errors import DrilldownError, Problem, quoted

EngineName = Literal["auto", "native", "torch"]
DeviceName = Literal["auto", "cpu", "cuda"]

CREW_PORT = 8786
"""The default port of a crew's scheduler."""
RUNS_DIR = Path("runs")
"""The default folder of all runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """The engine, device and threads of a training.

    >>> drilldown.Compute(engine="torch", threads=1)
    Compute(engine='torch', device='auto', threads=1)
    """

    engine: EngineName = "auto"
    """`auto` takes the native engine where it supports the experiment, else PyTorch."""
    device: DeviceName = "auto"
    """`auto` takes a CUDA device where PyTorch finds one."""
    threads: int | None = None
    """CPU threads; None takes all cores, and with PyTorch fewer where a measurement shows that they train faster."""

    def __post_init__(self) -> None:
        for name, choices in (("engine", get_args(EngineName)), ("device", get_args(DeviceName))):
            value = getattr(self, name)
            if value not in choices:
                raise DrilldownError(
                    Problem(place=name, found=f"found {value!r}", expected=f"one of {quoted(choices)}")
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where datasets and runs lie.

    >>> drilldown.Folders(runs="elsewhere").runs.name
    'elsewhere'
    """

    data: Path | None = None
    """The first place to look for datasets (`--data`), before `$DRILLDOWN_DATA` and the user's cache."""
    runs: Path = RUNS_DIR
    """The folder of all runs (`--runs`)."""

    def __post_init__(self) -> None:
        if self.data is not None:
            object.__setattr__(self, "data", Path(self.data))  # in a notebook people write strings
        object.__setattr__(self, "runs", Path(self.runs))
