"""Tab completion in a notebook: it completes the names that `dir` returns.

IPython adds the names of the object's class to them, unless the class is registered here.
"""

from __future__ import annotations

from IPython.utils.generics import complete_object

from drilldown.shown import PublicNames


@complete_object.register
def complete_public_names(shown: PublicNames, names: list[str]) -> list[str]:  # noqa: ARG001
    """The public names alone."""
    return dir(shown)
