"""Compiles the int8 code for a target, and measures the result: sizes, stack, and the places of its functions."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from drilldown.errors import DrilldownError, Problem
from drilldown.export.c.compiling import TIMEOUT_SECONDS, find_compiler
from drilldown.export.c.writing import INT8
from drilldown.export.targets.catalogue import Target
from drilldown.export.targets.figures import Sizes
from drilldown.export.targets.stack import deepest_stack, read_frames, read_functions

FLAGS = ("-std=c99", "-Os")
"""The flags for each target, besides its own."""
OBJECT = "net.o"
ENTRIES = ("net_run", "net_push_row", "net_start", "net_class")
"""The functions that a program calls."""
_CONSTANTS = (".rodata", ".srodata", ".progmem", ".ARM.exidx")


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function or a variable in a compiled file."""

    name: str
    begin: int
    size: int
    kind: str
    """A letter of `nm`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """A target's compiler with its tools, and a folder that they work in."""

    target: Target
    compiler: tuple[str, ...]
    folder: Path
    """With `net_int8.h` and `net_int8.c`."""

    @property
    def description(self) -> str:
        """The compiler, its version and the flags."""
        first = call([*self.compiler, "--version"], self.folder).partition("\n")[0]
        version = re.search(r"\d+(\.\d+)+", re.sub(r"\(.*?\)", "", first))
        return " ".join([Path(self.compiler[0]).name, version[0] if version else "", *FLAGS, *self.target.flags])

    def compile(self, *arguments: str) -> None:
        """Calls the compiler with the target's flags."""
        call([*self.compiler, *FLAGS, *self.target.flags, "-I.", *arguments], self.folder)

    def call(self, tool: str, *arguments: str) -> str:
        """Calls another tool, such as `nm`, and returns its output."""
        return call([f"{self.target.prefix}{tool}", *arguments], self.folder)

    def symbols(self, file: str) -> list[Symbol]:
        """The functions and variables of a compiled file that have a size."""
        lines = (line.split() for line in self.call("nm", "-S", "--defined-only", file).splitlines())
        return [Symbol(line[3], int(line[0], 16), int(line[1], 16), line[2]) for line in lines if len(line) == 4]

    def sections(self, file: str) -> dict[str, int]:
        """The bytes of text, rodata, data and bss in a compiled file."""
        sizes = dict.fromkeys(("text", "rodata", "data", "bss"), 0)
        for line in self.call("size", "-A", file).splitlines():
            name, *numbers = line.split() or [""]
            kind = "rodata" if name.startswith(_CONSTANTS) else name.split(".")[1] if name.startswith(".") else ""
            if self.target.copies_constants and name.startswith(".rodata"):
                kind = "data"
            if kind in sizes:
                sizes[kind] += int(numbers[0])
        return sizes


def find_toolchain(target: Target, folder: Path) -> Toolchain | str:
    """The compiler of a target, or the reason why it is missing."""
    compiler = (target.compiler,) if target.prefix else tuple(find_compiler())
    for program in (compiler[0], *(f"{target.prefix}{tool}" for tool in ("nm", "size", "objdump"))):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian and Ubuntu: apt install {target.package})"
    return Toolchain(target=target, compiler=compiler, folder=folder)


def measure_sizes(tools: Toolchain) -> Sizes:
    """Compiles the code, and measures its sizes and its stack.

    *Raises* DrilldownError where it does not compile, where it needs a library, or where its stack has no limit.
    """
    tools.compile("-fstack-usage", "-c", f"{INT8}.c", "-o", OBJECT)
    tools.compile("-r", "-nostdlib", OBJECT, "-lgcc", "-o", "whole.o")
    tools.compile("-nostdlib", "-static", "-Wl,--entry=net_run", "whole.o", "-o", "whole.elf")
    (tools.folder / "size.c").write_text(f'#include "{INT8}.h"\nchar size_of_net[sizeof(struct net)];\n')
    tools.compile("-c", "size.c", "-o", "size.o")
    (state,) = (symbol.size for symbol in tools.symbols("size.o"))
    sizes = tools.sections(OBJECT)
    library = _flash(tools.sections("whole.o")) - _flash(sizes)
    functions = read_functions(tools.call("objdump", "-d", "--no-show-raw-insn", "whole.elf"))
    entries = [name for name in ENTRIES if name in functions]
    frames = read_frames((tools.folder / "net.su").read_text())
    sizes["text"] += library
    return Sizes(
        **sizes,
        flash=_flash(sizes),
        library=library,
        ram=state + sizes["data"] + sizes["bss"],
        stack=deepest_stack(entries, functions, frames, tools.target.name),
    )


def _flash(sizes: dict[str, int]) -> int:
    return sizes["text"] + sizes["rodata"] + sizes["data"]


def call(command: list[str], folder: Path) -> str:
    """Calls a program in a folder, and returns its output with its messages; raises DrilldownError where it fails."""
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", timeout=TIMEOUT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise DrilldownError(
            Problem(found=f"{shlex.join(command[:1])} takes more than {TIMEOUT_SECONDS} seconds")
        ) from None
    if done.returncode:
        lines = [line.strip() for line in done.stdout.splitlines() if re.search("error|region|undefined|small", line)]
        reason = (lines or [done.stdout.strip() or "no reason"])[0]
        raise DrilldownError(Problem(found=f"{shlex.join(command[:1])} fails ({reason})"))
    return done.stdout
