"""The C code of each step: the call that makes one row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from drilldown.export.c.operations import Operation
from drilldown.export.c.packing import is_packed, pack
from drilldown.export.c.places import Places
from drilldown.export.c.text import Constants, float_text
from drilldown.export.graph import Conv
from drilldown.export.integer import IntegerConv, IntegerMean
from drilldown.export.names import ScheduleName
from drilldown.export.schedule import Memory, last_uses
from drilldown.network.layout import IMAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a step waits for."""

    source: int
    """The position of the counter in `done`."""
    rows: str
    """The value that it must have, as C."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """A newest row that is copied among the others of its tensor."""

    made: int
    """The position of the counter of its tensor's rows in `done`."""
    kept: int
    """The position of the counter of those that are kept."""
    arguments: str
    """The first ones of `keep_row`, as C."""


@dataclass(slots=True, kw_only=True)
class StepCode:
    """The C code of a step."""

    name: str
    comment: str
    turns: int
    needs: list[Need]
    lines: list[str] = field(default_factory=list)
    constants: list[tuple[str, str]] = field(default_factory=list)
    """The fields of its `struct conv`."""
    keeps: list[Keep] = field(default_factory=list)
    """The rows that are kept when the step has read them."""
    gives_logits: bool = False


class Steps:
    """Writes the steps of a network one after another, and remembers what they use."""

    def __init__(
        self, image: tuple[int, int, int], operations: Sequence[Operation], memory: Memory, schedule: ScheduleName,
        *, is_float: bool,
    ) -> None:  # fmt: skip
        self.operations = operations
        self.last_uses = last_uses([operation.step for operation in operations])
        self.places = Places(image, operations, memory, schedule, is_float=is_float)
        self.is_float, self.value = is_float, "float" if is_float else "uint8_t"
        self.constants = Constants(in_flash=not is_float)
        self.used: set[str] = set()
        """The functions and the fields that the code needs."""
        self.functions: dict[str, str] = {}
        """The activations in floating point: name and code."""
        self.largest_field = 0
        """The largest number in a `struct conv`."""
        convolutions = [operation for operation in operations if operation.kind == "conv"]
        self.has_pools = any(operation.pool > 1 for operation in convolutions)
        self.has_activations = any(operation.activation is not None for operation in convolutions)
        self.has_windows = any(
            operation.node.pad or operation.node.groups > 1 or operation.node.dilation > 1 for operation in convolutions
        )
        self.used |= {name for name, is_used in (("pool", self.has_pools), ("windows", self.has_windows)) if is_used}
        if self.has_activations:
            self.used.add("activation" if is_float else "table")

    def write(self, index: int) -> StepCode:
        """The code of one operation."""
        operation = self.operations[index]
        step = operation.step
        code = StepCode(
            name=operation.name,
            comment=_comment(operation),
            turns=step.turns,
            needs=[self._need(index, source) for source in dict.fromkeys(operation.sources)],
        )
        getattr(self, f"_{operation.kind}")(index, operation, code)
        for source, kept in self.places.kept.items():
            if self.last_uses[source] == index:
                places = self.places
                arguments = places.base(source), places.fresh(source), places.row_size(source), places.capacity(source)
                code.keeps.append(Keep(made=source + 1, kept=kept, arguments=", ".join(map(str, arguments))))
        if not any(re.search(r"\by\b", line) for line in code.lines):
            code.lines.insert(0, "(void)y;")
        return code

    def _need(self, index: int, source: int) -> Need:
        step = self.operations[index].step
        factor = 1 if source == IMAGE else self.operations[source].step.turns // self.operations[source].step.rows
        done = f"done[{index + 1}]"
        rows = f"rows_needed({done}, {step.stride}, {step.first + step.reach}, {step.height})"
        if step.keeps or step.height == 1:
            return Need(source=source + 1, rows=str(step.height * factor))
        return Need(source=source + 1, rows=rows if factor == 1 else f"{factor} * {rows}")

    def _rows(self, operation: Operation, count: int, distance: int = 1) -> list[str]:
        """Finds the rows of a window."""
        (source,) = operation.sources
        node, height = operation.node, operation.node.input[1]
        first = "y" if node.stride == 1 else f"y * {node.stride}"
        first += f" - {node.pad}" if node.pad else ""
        base, size, kept = self.places.base(source), self.places.row_size(source), self.places.capacity(source)
        common = f"rows, {count}, {base}, {size}, {kept}, {first}"
        newest = (
            f", {self.places.kept_rows(source)}, {self.places.fresh(source) or base}" if self.places.is_tight else ""
        )
        self.used.add("blurpool" if operation.kind == "blurpool" else "rows")
        call = (
            f"find_mirrored_rows({common}, {height}{newest});"
            if operation.kind == "blurpool"
            else f"find_rows({common}, {distance}, {height}{newest});"
        )
        return [f"const {self.value} *rows[{count}];", call]

    # The kinds of operations.

    def _conv(self, index: int, operation: Operation, code: StepCode) -> None:
        node: Any = operation.node
        self._add_conv_constants(operation)
        name, channels = operation.name, node.output[0]
        is_logits = isinstance(node, IntegerConv) and node.multiplier is None
        code.gives_logits = is_logits and not operation.is_summed
        source = None if operation.sources[0] == IMAGE else self.operations[operation.sources[0]].node
        if isinstance(source, IntegerMean) and source.is_sum:
            count, sums = node.input[0], self.places.sums(operation.sources[0])
            weights, bias = self.constants.name(f"{name}_weights"), self.constants.name(f"{name}_bias")
            first = "channel / 2" if is_packed(node) else "channel"
            value = f"linear_sum({weights} + {first} * {count}, {sums}, {count}, {bias}[channel])"
            if is_packed(node):
                value = f"packed_{value.removesuffix(')')}, channel % 2 * 4)"
            self.used.add("packed_linear" if is_packed(node) else "linear")
            if not is_logits:
                self.used.add("rescale")
                scales = (self.constants.name(f"{name}_{key}") for key in ("multipliers", "shifts"))
                value = f"rescale({value}, {', '.join(f'{scale} + channel' for scale in scales)})"
            if operation.activation is not None:
                value = f"{self.constants.name(f'{name}_table')}[{value}]"
            cast = "" if is_logits or operation.activation is not None else "(uint8_t)"
            code.lines += [
                *([] if is_logits else [f"uint8_t *out = {self.places.new_row(index, 'y')};"]),
                "int channel;",
                f"for (channel = 0; channel < {channels}; channel++) {{",
                f"    {'logits' if is_logits else 'out'}[channel] = {cast}{value};",
                "}",
            ]
            return
        self.used |= {"conv", "packed"} if is_packed(node) else {"conv"}
        code.constants = self._conv_fields(operation)
        code.lines += self._rows(operation, node.kernel, node.dilation)
        if operation.is_summed:
            self.used.add("conv_sums")
            code.lines.append(f"conv_sums(&{name}, rows, {self.places.add_sums(index, channels)}, y == 0);")
            return
        if is_logits:
            self.used.add("conv_logits")
            code.lines.append(f"conv_logits(&{name}, rows, logits);")
            return
        self.used |= {"conv_row", "rescale"}
        y = "y" if operation.pool == 1 else f"y / {operation.pool}"
        out = self.places.new_row(index, f"({y})" if " " in y else y)
        fresh = f", {'1' if operation.pool == 1 else f'y % {operation.pool} == 0'}" if self.has_pools else ""
        code.lines.append(f"conv_row(&{name}, rows, {out}{fresh});")

    def _add_conv_constants(self, operation: Operation) -> None:
        node, name, add = operation.node, operation.name, self.constants.add
        weights = node.weight.permute(0, 2, 3, 1)
        if is_packed(node):
            add(f"{name}_weights", "uint8_t", pack(weights))
        else:
            add(f"{name}_weights", "float" if self.is_float else "int8_t", weights)
        add(f"{name}_bias", "float" if self.is_float else "int32_t", node.bias)
        if isinstance(node, IntegerConv) and node.multiplier is not None and node.shift is not None:
            add(f"{name}_multipliers", "uint8_t", node.multiplier)
            add(f"{name}_shifts", "uint8_t", node.shift - 1)  # see `rescale` in the C code
        if operation.activation is not None and not self.is_float:
            add(f"{name}_table", "uint8_t", operation.activation.table)
        if node.pad:
            padding = node.padding if node.padding is not None else torch.zeros(node.input[0])
            add(f"{name}_padding", self.value, padding, is_pixel=True)

    def _conv_fields(self, operation: Operation) -> list[tuple[str, str]]:
        """The fields of a `struct conv`."""
        node, name, known = operation.node, operation.name, self.constants.name
        weights = "packed" if is_packed(node) else "weights"
        fields = [(weights, known(f"{name}_weights")), ("bias", known(f"{name}_bias"))]
        if isinstance(node, IntegerConv) and node.multiplier is not None:
            fields += [(key, known(f"{name}_{key}")) for key in ("multipliers", "shifts")]
        if operation.activation is not None:
            given = self._function(operation.name, operation.activation) if self.is_float else known(f"{name}_table")
            fields.append(("activation" if self.is_float else "table", given))
        if node.pad:
            fields.append(("padding", known(f"{name}_padding")))
        out_width = node.output[2] if operation.is_summed else operation.output[2] * operation.pool
        numbers = {
            "channels": node.input[0], "width": node.input[2], "out_channels": node.output[0], "out_width": out_width,
            "kernel": node.kernel, "stride": node.stride,
        }  # fmt: skip
        if not self.is_float:
            numbers |= {"size": node.weight[0].numel(), "row_size": node.weight[0, :, 0].numel()}
        if self.has_windows:
            numbers |= {"pad": node.pad, "dilation": node.dilation, "groups": node.groups}
        if self.has_pools:
            numbers["pool"] = operation.pool
        if isinstance(node, Conv):
            numbers["relu"] = int(node.relu)
        self.largest_field = max(self.largest_field, *numbers.values())
        return [*fields, *((key, str(number)) for key, number in numbers.items())]

    def _function(self, name: str, node: Any) -> str:
        """The name of the C function of an activation."""
        function = f"{name}_activation"
        formula = {
            "relu": "x > 0 ? x : 0",
            "leaky": f"x > 0 ? x : {float_text(node.slope)} * x",
            "silu": "x / (1 + expf(-x))",
            "gelu": "0.5f * x * (1 + erff(x * 0.70710678f))",
            "hardswish": "x <= -3 ? 0 : x >= 3 ? x : x * (x + 3) / 6",
        }[node.function]
        self.functions[function] = (
            f"/* {node.function} */\nstatic float {function}(float x)\n{{\n    return {formula};\n}}"
        )
        if "expf" in formula or "erff" in formula:
            self.used.add("math")
        return function

    def _activation(self, index: int, operation: Operation, code: StepCode) -> None:
        self.used.add("activation_row")
        function = self._function(operation.name, operation.node)
        code.lines.append(
            f"activation_row({self._out_and_in(index, operation)}, {function}, {self.places.row_size(index)});"
        )

    def _table(self, index: int, operation: Operation, code: StepCode) -> None:
        self.used.add("table_row")
        table = self.constants.add(f"{operation.name}_table", "uint8_t", operation.node.table)
        code.lines.append(f"table_row({self._out_and_in(index, operation)}, {table}, {self.places.row_size(index)});")

    def _out_and_in(self, index: int, operation: Operation) -> str:
        return ", ".join(
            [self.places.new_row(index, "y"), *(self.places.row(source, "y") for source in operation.sources)]
        )

    def _pool(self, index: int, operation: Operation, code: StepCode, *more: str, weights: str = "") -> None:
        node, kind = operation.node, operation.kind
        self.used.add(kind)
        code.lines += self._rows(operation, node.size)
        pad = [] if kind == "blurpool" else [str(node.pad)]
        numbers = [weights] * bool(weights) + [str(node.size), str(node.stride), *pad, str(node.input[2])]
        numbers += [str(node.input[0]), str(node.output[2]), *more]
        code.lines.append(f"{kind}_row({self.places.new_row(index, 'y')}, rows, {', '.join(numbers)});")

    def _maxpool(self, index: int, operation: Operation, code: StepCode) -> None:
        self._pool(index, operation, code)

    def _avgpool(self, index: int, operation: Operation, code: StepCode) -> None:
        self._pool(index, operation, code, *([] if self.is_float else [str(operation.node.levels.zero)]))

    def _blurpool(self, index: int, operation: Operation, code: StepCode) -> None:
        row = torch.tensor(operation.node.row, dtype=torch.float64)
        if self.is_float:
            row = row / 2 ** (operation.node.size - 1)
        name = self.constants.add(f"{operation.name}_weights", "float" if self.is_float else "uint16_t", row)
        self._pool(index, operation, code, weights=name)

    def _gap(self, index: int, operation: Operation, code: StepCode) -> None:
        node = operation.node
        channels, height, width = node.input
        self.used.add("gap")
        sums = self.places.add_sums(index, channels)
        code.lines.append(
            f"sum_row({sums}, {self.places.row(operation.sources[0], 'y')}, {width}, {channels}, y == 0);"
        )
        if not getattr(node, "is_sum", False):
            self.used.add("mean")
            code.lines += [
                f"if (y == {height - 1}) {{",
                f"    mean_row({self.places.new_row(index, '0')}, {sums}, {channels}, {height * width});",
                "}",
            ]

    def _flatten(self, index: int, operation: Operation, code: StepCode) -> None:
        channels, height, width = operation.node.input
        self.used.add("flatten")
        row = self.places.row(operation.sources[0], "y")
        code.lines.append(f"flatten_row({self.places.new_row(index, '0')}, {row}, y, {width}, {channels}, {height});")

    def _add(self, index: int, operation: Operation, code: StepCode) -> None:
        node = operation.node
        self.used.add("add")
        numbers = [int(node.relu)] if self.is_float else [*node.multipliers, node.offset, node.shift]
        arguments = ", ".join(map(str, [self.places.row_size(index), *numbers]))
        code.lines.append(f"add_row({self._out_and_in(index, operation)}, {arguments});")

    def _gn(self, index: int, operation: Operation, code: StepCode) -> None:
        node = operation.node
        channels, height, width = node.input
        self.used |= {"gn", "math"}
        sums, size = self.places.add_sums(index, 2 * node.groups), channels // node.groups
        weights = self.constants.add(f"{operation.name}_weights", "float", node.weight)
        bias = self.constants.add(f"{operation.name}_bias", "float", node.bias)
        base = self.places.base(operation.sources[0])
        code.lines += [
            "int group;",
            f"for (group = 0; y == 0 && group < {node.groups}; group++) {{",
            f"    find_moments({sums} + 2 * group, {base}, {height * width}, {channels}, group * {size}, {size}, "
            f"{float_text(node.epsilon)});",
            "}",
            f"norm_row({self._out_and_in(index, operation)}, {sums}, {weights}, {bias}, {width}, {channels}, "
            f"{node.groups});",
        ]

    def _se(self, index: int, operation: Operation, code: StepCode) -> None:
        node = operation.node
        channels, height, width = node.input
        self.used |= {"se", "math"}
        factors = self.places.add_sums(index, 2 * channels)
        arrays = ", ".join(
            self.constants.add(f"{operation.name}_{name}", "float", getattr(node, name))
            for name in ("squeeze", "squeeze_bias", "excite", "excite_bias")
        )
        base = self.places.base(operation.sources[0])
        code.lines += [
            "if (y == 0) {",
            f"    find_factors({factors}, {factors} + {channels}, {base}, {height * width}, {channels}, "
            f"{len(node.squeeze)}, {arrays});",
            "}",
            f"factor_row({self._out_and_in(index, operation)}, {factors}, {width}, {channels});",
        ]

    def ending(self) -> list[str]:
        """Gives the logits to the caller, where the last step does not."""
        index = len(self.operations) - 1
        node = self.operations[index].node
        is_summed = self.operations[index].is_summed
        if isinstance(node, IntegerConv) and node.multiplier is None and not is_summed:
            return []
        is_sum = is_summed or getattr(node, "is_sum", False)
        place = self.places.sums(index) if is_sum else self.places.row(index, "0")
        kind = "int32_t" if is_sum else self.value
        return [
            "{",
            f"    const volatile {kind} *values = {place}; /* volatile: no call of memcpy */",
            "    int c;",
            "    for (c = 0; c < NET_CLASSES; c++) {",
            "        logits[c] = values[c];",
            "    }",
            "}",
        ]


def _comment(operation: Operation) -> str:
    """The operation in words."""
    node = operation.node
    shape = "x".join(map(str, operation.output))
    parts = [f"{operation.name}: {operation.kind}"]
    if operation.kind == "conv":
        is_linear = node.input[1:] == (1, 1) and node.kernel == 1
        parts[0] = f"{operation.name}: {'linear' if is_linear else f'conv {node.kernel}x{node.kernel}'}"
        parts += ["weights of 4 bits"] * is_packed(node)
        parts += ["relu"] * bool(node.relu)
        parts += [operation.activation.function] if operation.activation is not None else []
        parts += [f"maxpool {operation.pool}"] if operation.pool > 1 else []
    return f"{', '.join(parts)}; gives {shape}"
