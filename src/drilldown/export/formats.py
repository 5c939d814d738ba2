"""The formats of an export, and the reasons why a network has no files in one."""

from __future__ import annotations

from collections.abc import Sequence

from drilldown.errors import DrilldownError, Problem, did_you_mean, quoted
from drilldown.experiment.experiment import Experiment
from drilldown.export.graph import Graph
from drilldown.export.names import FORMATS, FormatName
from drilldown.export.quantise import why_no_int8


def parse_formats(text: str) -> tuple[FormatName, ...]:
    """Reads a list of formats, such as `c-int8,onnx`; raises DrilldownError.

    >>> parse_formats("c-int8,onnx")
    ('onnx', 'c-int8')
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in FORMATS:
            raise DrilldownError(
                Problem(
                    place="--to",
                    found=f'found "{name}"',
                    expected=f"a list of {quoted(FORMATS)}",
                    suggestion=did_you_mean(name, FORMATS),
                )
            )
    return tuple(name for name in FORMATS if name in names)


def why_refused(name: FormatName, experiment: Experiment, network: Graph | None) -> str | None:
    """Why a network has no files in a format; None where it has.

    *Arguments*: `network`: the folded network; None for a network in Python.
    """
    if network is None:
        if name == "onnx":
            return None
        return f"the network is Python code ({experiment.network.python}): only onnx is possible"
    if name in ("onnx-int8", "c-int8"):
        obstacle = why_no_int8(network)
        return None if obstacle is None else f"{obstacle.place}: {obstacle.found}"
    return None


def choose_formats(
    asked: Sequence[FormatName] | None, experiment: Experiment, network: Graph | None
) -> tuple[tuple[FormatName, ...], dict[FormatName, str]]:
    """The formats to make, and the refused ones with their reasons.

    *Arguments*: `asked`: the formats that the user wants; None for all that are possible.

    *Raises* DrilldownError where one that the user wants is not possible.
    """
    reasons = {name: why_refused(name, experiment, network) for name in asked or FORMATS}
    refused = {name: reason for name, reason in reasons.items() if reason is not None}
    if asked is not None and refused:
        raise DrilldownError(
            *(Problem(place=f"--to {name}", found=f"not possible: {reason}") for name, reason in refused.items())
        )
    return tuple(name for name in reasons if name not in refused), refused
