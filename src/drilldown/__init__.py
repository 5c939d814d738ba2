"""drilldown: a lab for image classifiers that are tiny on purpose.

>>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
>>> training = drilldown.Training(experiment, seed=0)
>>> [epoch.test.total for epoch in training]
[1000]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drilldown.errors import DrilldownError, TrainingDiverged
    from drilldown.lab import perform
    from drilldown.loading import load
    from drilldown.runs import Run
    from drilldown.train import Training

__all__ = ["DrilldownError", "Run", "Training", "TrainingDiverged", "load", "perform"]

_HOMES = {
    "DrilldownError": "errors",
    "TrainingDiverged": "errors",
    "Run": "runs",
    "Training": "train",
    "load": "loading",
    "perform": "lab",
}


def __getattr__(name: str) -> object:
    """Loads what is asked for when it is asked for: PyTorch takes seconds, and `drilldown --help` needs none of it."""
    if name in _HOMES:
        return getattr(import_module(f"drilldown.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'drilldown' has no attribute {name!r}")
