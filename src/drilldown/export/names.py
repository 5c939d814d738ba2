"""The names of formats and schedules. The command line imports them without PyTorch."""

from __future__ import annotations

from typing import Literal, get_args

FormatName = Literal["onnx", "onnx-int8", "c", "c-int8"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)
"""All formats, in the order in which they are made."""
ScheduleName = Literal["rows", "layers", "tight"]
"""The order of the calculation in C: see `schedule.py`."""
