"""The stack that the code needs: the frames of `-fstack-usage`, summed along the deepest chain of calls."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from drilldown.errors import DrilldownError, Problem

_HEADER = re.compile(r"^[0-9a-f]+ <(?P<name>[^>]+)>:$")
_INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\s+(?P<code>\S+)\s*(?P<operands>.*)$")
_POINTER_CALL = re.compile(r"^(blx r\d|i?e?icall|jalr|(call|callq) +\*)")
_CALLS = ("bl", "blx", "call", "callq", "rcall", "jal")
_RETURN_BYTES = {"avr": 2}
"""The bytes of a return address that a call itself puts on the stack; the frames of gcc contain them."""


@dataclass(slots=True)
class Function:
    """A function as the disassembly shows it."""

    calls: set[str] = field(default_factory=set)
    jumps: set[str] = field(default_factory=set)
    """The functions that go on in its place."""
    pushed: int = 0
    """The bytes that its own instructions put on the stack."""
    calls_pointers: bool = False


def read_frames(usage: str) -> dict[str, int]:
    """The bytes of each function's frame, from the file that gcc writes with `-fstack-usage`.

    Copies of a function, such as f.constprop.0 and f.constprop.1, have one name there: the larger one counts.

    *Raises* DrilldownError where a frame has no fixed size.

    >>> read_frames("net.c:3:5:net_run\\t40\\tstatic")
    {'net_run': 40}
    """
    frames: dict[str, int] = {}
    for line in usage.splitlines():
        place, size, kind = line.split("\t")
        name = _stem(place.rpartition(":")[2])
        if kind == "dynamic":
            raise DrilldownError(Problem(place=name, found="its stack has no fixed size"))
        frames[name] = max(frames.get(name, 0), int(size))
    return frames


def _stem(name: str) -> str:
    """The name of a function without the number of its copy."""
    return re.sub(r"\.\d+$", "", name)


def read_functions(disassembly: str) -> dict[str, Function]:
    """The functions of a program, from `objdump -d --no-show-raw-insn`."""
    functions: dict[str, Function] = {}
    name, current = "", Function()
    for line in disassembly.splitlines():
        if header := _HEADER.match(line):
            name = header["name"]
            current = functions.setdefault(name, Function())
        elif instruction := _INSTRUCTION.match(line):
            code, operands = instruction["code"], instruction["operands"]
            for target, inside in re.findall(r"<([^>+]+)(\+0x[0-9a-f]+)?>", operands):
                if code in _CALLS and not inside:
                    current.calls.add(target)
                elif target != name:
                    current.jumps.add(target)
            current.calls_pointers |= bool(_POINTER_CALL.match(f"{code} {operands}"))
            current.pushed += _pushed(code, operands)
    for function in functions.values():
        function.calls &= set(functions)
        function.jumps &= set(functions)  # not the addresses of variables
    return functions


def _pushed(code: str, operands: str) -> int:
    """The bytes that an instruction puts on the stack.

    >>> _pushed("push", "{r4, lr}"), _pushed("addi", "sp,sp,-16"), _pushed("push", "r28"), _pushed("adds", "r0, #1")
    (8, 16, 1, 0)
    """
    if registers := re.search(r"\{(.+)\}", operands) if code.startswith(("push", "stmdb")) else None:
        return 4 * len(registers[1].split(","))
    if code == "push":
        return 1
    moved = re.match(r"sp,(?:sp,)?-(\d+)", operands) if code == "addi" else None
    moved = moved or (re.match(r"sp, (?:sp, )?#(\d+)", operands) if code.startswith("sub") else None)
    return int(moved[1]) if moved else 0


def deepest_stack(
    entries: Iterable[str], functions: Mapping[str, Function], frames: Mapping[str, int], family: str = ""
) -> int:
    """The bytes of the deepest chain of calls that begins at one of the entries.

    *Arguments*: `frames`: of the functions that gcc compiled; those of its library, which have none there, count with
    the bytes that they push. `family`: `avr` where a call pushes the return address; `host` where pushes are not known.

    *Raises* DrilldownError for a recursion, for a call by a pointer, and for a frame that is not known.

    >>> functions = {"net_run": Function({"step", "small"}), "step": Function({"small"}), "small": Function()}
    >>> deepest_stack(["net_run"], functions, {"net_run": 40, "step": 8, "small": 4})
    52
    """
    known: dict[str, int] = {}

    def depth(name: str, above: tuple[str, ...], called: int) -> int:
        """Of a function below others; those from the position `called` on jumped to the next one."""
        if name in above:
            if above.index(name) < called:
                raise DrilldownError(Problem(place=name, found="it calls itself, so its stack has no limit"))
            return 0  # a loop
        if name not in known:
            function, path = functions[name], (*above, name)
            own = _frame(name, function, frames, family)
            below = [depth(callee, path, len(path)) for callee in function.calls]
            below += [depth(callee, path, called) for callee in function.jumps]
            known[name] = own + max(below, default=0)
        return known[name]

    return max(depth(entry, (), 0) for entry in entries)


def _frame(name: str, function: Function, frames: Mapping[str, int], family: str) -> int:
    """The bytes of one function."""
    if function.calls_pointers:
        raise DrilldownError(Problem(place=name, found="it calls a function by a pointer, so its stack is not known"))
    own = frames.get(_stem(name))
    if own is not None:
        return own
    if family == "host":
        raise DrilldownError(Problem(place=name, found="the size of its stack is not known"))
    return function.pushed + _RETURN_BYTES.get(family, 0)
