"""Writes the header and the source of a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from drilldown.export.c.operations import operations_of, plan_memory
from drilldown.export.c.steps import Steps
from drilldown.export.graph import Graph
from drilldown.export.integer import IntegerGraph
from drilldown.export.names import ScheduleName
from drilldown.network.layout import IMAGE

INT8, FLOAT = "net_int8", "net_f32"
"""The names of the files, without endings."""

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("drilldown.export.c", "templates"),
    undefined=jinja2.StrictUndefined,
    autoescape=False,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True, slots=True)
class Program:
    """A network as C."""

    name: str
    """The name of its files, without endings."""
    header: str
    source: str
    constants: int
    """The size of all arrays of constants, in bytes."""
    ram: int
    """The size of `struct net`, in bytes, on a processor with pointers of 32 bits."""
    steps: tuple[str, ...]
    """The names of the steps; the function of a step has `_row` behind its name."""

    def write(self, folder: Path) -> None:
        """Writes header and source into a folder."""
        (folder / f"{self.name}.h").write_text(self.header, "utf-8")
        (folder / f"{self.name}.c").write_text(self.source, "utf-8")


def render(template: str, **context: Any) -> str:
    """A file of C from a template."""
    return _TEMPLATES.get_template(template).render(context)


def write_program(network: Graph | IntegerGraph, title: str, schedule: ScheduleName = "rows") -> Program:
    """Writes a network as C.

    *Arguments*: `network`: in floating point or in integers. `title`: the first line of both files.
    """
    is_float = isinstance(network, Graph)
    operations = operations_of(network)
    memory = plan_memory(schedule, network.image, operations, is_float=is_float)
    steps = Steps(network.image, operations, memory, schedule, is_float=is_float)
    codes = [steps.write(index) for index in range(len(operations))]
    most = max([network.image[1], *(code.turns for code in codes)])
    counter, counter_bytes = ("uint8_t", 1) if most <= 255 else ("uint16_t", 2)
    name = FLOAT if is_float else INT8
    context: dict[str, Any] = {
        "title": " ".join(title.replace("*/", "* /").replace("/*", "/ *").split()),
        "header": f"{name}.h",
        "is_float": is_float,
        "value": steps.value,
        "logit": "float" if is_float else "int32_t",
        "sum_type": "float" if is_float else "int32_t",
        "sums": steps.places.sum_count,
        "counter": counter,
        "size": "int16_t" if steps.largest_field < 2**15 else "int32_t",
        "schedule": schedule,
        "image": network.image,
        "classes": network.classes,
        "memory": memory,
        "operations": operations,
        "steps": codes,
        "used": steps.used,
        "packs": bool({"packed", "packed_linear"} & steps.used),
        "functions": list(steps.functions.values()),
        "arrays": list(steps.constants.arrays.values()),
        "waits": any("rows_needed" in need.rows for code in codes for need in code.needs),
        "image_row": steps.places.new_row(IMAGE, "done[0]"),
        "counters": len(operations) + 1 + len(steps.places.kept),
        "tight": schedule == "tight",
        "keeps": bool(steps.places.kept),
        "ending": steps.ending(),
        "includes": ["math.h"] if "math" in steps.used else [],
        "kernels": "kernels_f32.c.j2" if is_float else "kernels_int8.c.j2",
        "levels": None if isinstance(network, Graph) else network.levels,
    }
    context["about"] = render(f"about_{'f32' if is_float else 'int8'}.j2", **context).rstrip()
    counters = counter_bytes * context["counters"] if schedule != "layers" else 0
    pointer = 4 if schedule == "layers" and not is_float else 0
    used = 4 * steps.places.sum_count + counters + pointer + (4 if is_float else 1) * max(1, memory.size)
    word = 4 if is_float or steps.places.sum_count or pointer else counter_bytes
    return Program(
        name=name,
        header=render("net.h.j2", **context),
        source=render("net.c.j2", **context),
        constants=steps.constants.bytes,
        ram=-(-used // word) * word,
        steps=tuple(code.name for code in codes),
    )
