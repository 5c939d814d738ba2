"""Runs the int8 code on test images in an emulator: its logits, and the instructions or cycles that it takes."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch

from drilldown.errors import DrilldownError, Problem
from drilldown.export.c.compiling import find_compiler
from drilldown.export.c.text import number_lines
from drilldown.export.targets.building import OBJECT, Symbol, Toolchain, call
from drilldown.export.targets.catalogue import Machine
from drilldown.export.targets.figures import Execution, StepCost

HERE = Path(__file__).parent
BOARDS = HERE / "boards"
PROGRAM = "program.elf"
_OUTSIDE, _ORDER = 0, 1
"""The first owners of instructions: the program around the network, and the order of its steps."""
_STACK = 512
"""The bytes of the stack for the program around the network, with a margin."""
_AVR_BYTES = 32 * 1024
"""The flash of the emulated AVR that test images may take."""


def run_on_qemu(tools: Toolchain, machine: Machine, stack: int, images: torch.Tensor, wanted: torch.Tensor,
                steps: Sequence[str]) -> Execution:  # fmt: skip
    """Runs the code of `measure_sizes` on an emulated Cortex-M or RISC-V, and counts its instructions.

    *Arguments*: `stack`: the stack of the code, in bytes. `images`: (N, channels, height, width), uint8. `wanted`:
    their logits, (N, classes), int32. `steps`: the names of the network's steps.

    *Raises* DrilldownError where the network is too large for the machine, or where the emulator fails.
    """
    folder = tools.folder
    regions = (("flash", machine.flash), ("ram", machine.ram))
    lines = [f"  {name} : ORIGIN = {region.origin}, LENGTH = {region.size}" for name, region in regions]
    (folder / "regions.ld").write_text("\n".join(["MEMORY {", *lines, "}", ""]))
    sources = [str(BOARDS / name) for name in ("main.c", machine.board)]
    options = "-nostdlib", f"-T{BOARDS / 'memory.ld'}", f"-Wl,--defsym=stack_size={stack + _STACK}"
    tools.compile(*options, *sources, OBJECT, "-lgcc", "-o", PROGRAM)
    count_instructions(tools, machine, steps, images)
    counts = [int(line) / len(images) for line in (folder / "counts").read_text().split()]
    found = (folder / "logits").read_bytes()
    return Execution(
        emulator=_version(machine.emulator),
        images=len(images),
        differing=_differing(torch.frombuffer(bytearray(found), dtype=torch.int32), wanted),
        unit="instructions",
        count=sum(counts[_ORDER:]),
        steps=tuple(StepCost(name=name, count=counts[index + 2]) for index, name in enumerate(steps)),
    )


def count_instructions(tools: Toolchain, machine: Machine, steps: Sequence[str], images: torch.Tensor) -> None:
    """Runs `program.elf` with the plugin, which writes the file `counts`."""
    folder, version = tools.folder, re.search(r" (\d+)", _version(machine.emulator))
    plugin = 1 if version and int(version[1]) < 9 else 2  # the number of QEMU's interface for plugins
    call([*find_compiler(), "-shared", "-fPIC", "-O2", f"-DPLUGIN_VERSION={plugin}", str(HERE / "count.c"), "-o",
          "count.so"], folder)  # fmt: skip
    (folder / "ranges").write_text("".join(_ranges(tools.symbols(PROGRAM), steps)))
    (folder / "images").write_bytes(images.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
    for name in ("counts", "logits"):
        (folder / name).unlink(missing_ok=True)
    options = ["-nographic", "-monitor", "none", "-serial", "none", "-plugin", "./count.so", "-kernel", PROGRAM]
    call([machine.emulator, *machine.options, *options], folder)


def _ranges(symbols: Sequence[Symbol], steps: Sequence[str]) -> list[str]:
    """The addresses of all functions that own instructions; kernels and library functions work for their callers."""
    owners = {f"{name}_row": index + 2 for index, name in enumerate(steps)}
    owners |= dict.fromkeys(("net_run", "net_push_row", "net_start", "rows_needed"), _ORDER)
    owners |= dict.fromkeys(("judge", "ask", "open_file", "ask_computer"), _OUTSIDE)
    lines = []
    for symbol in symbols:
        owner = owners.get(symbol.name.partition(".")[0])
        if symbol.kind in "tT" and owner is not None:
            begin = symbol.begin & ~1  # of Thumb functions, the lowest bit says Thumb
            lines.append(f"{begin:x} {begin + symbol.size:x} {owner}\n")
    return lines


def run_on_simavr(
    tools: Toolchain, machine: Machine, stack: int, images: torch.Tensor, wanted: torch.Tensor
) -> Execution:
    """Runs the code of `measure_sizes` on an emulated AVR, which counts its own clock cycles.

    *Arguments* and *Raises*: as of `run_on_qemu`.
    """
    images = images[: max(1, _AVR_BYTES // images[0].numel())]
    pixels = (number_lines(map(str, image.flatten().tolist())) for image in images.permute(0, 2, 3, 1))
    rows = ",\n".join(f"    {{\n{text}\n    }}" for text in pixels)
    (tools.folder / "images.h").write_text(
        f"enum {{ IMAGES = {len(images)} }};\n"
        f"static const uint8_t images[IMAGES][{images[0].numel()}] PROGMEM = {{\n{rows}\n}};\n"
    )
    tools.compile(str(BOARDS / machine.board), OBJECT, "-o", PROGRAM)
    sizes = tools.sections(PROGRAM)
    needed = sizes["data"] + sizes["bss"] + stack + _STACK
    if needed > machine.ram.size:
        raise DrilldownError(
            Problem(found=f"the memory of the emulated machine is too small: {needed:,} B of {machine.ram.size:,} B")
        )
    output = call([machine.emulator, *machine.options, PROGRAM], tools.folder)
    lines = [[int(word, 16) for word in line.split()] for line in re.findall(r"(?:[0-9a-f]{8} )+[0-9a-f]{8}", output)]
    if len(lines) != len(images):
        raise DrilldownError(Problem(found=f"{machine.emulator} stopped after {len(lines)} of {len(images)} images"))
    found = torch.tensor([line[1:] for line in lines], dtype=torch.int64)
    found = torch.where(found >= 2**31, found - 2**32, found)
    return Execution(
        emulator=_version(machine.emulator),
        images=len(images),
        differing=_differing(found.to(torch.int32), wanted[: len(images)]),
        unit="cycles",
        count=sum(line[0] for line in lines) / len(images),
    )


def _differing(found: torch.Tensor, wanted: torch.Tensor) -> int:
    """The number of logits that are wrong; those that are missing are wrong too."""
    found, wanted = found.flatten(), wanted.flatten()
    common = min(len(found), len(wanted))
    return int((found[:common] != wanted[:common]).sum()) + len(wanted) - common


def _version(emulator: str) -> str:
    """The name of an emulator with its version, where it tells it."""
    done = subprocess.run([emulator, "--version"], capture_output=True, text=True, errors="replace", check=False)
    version = re.search(r"version (\d+(?:\.\d+)+)", done.stdout)
    return f"{emulator} {version[1]}" if version else emulator
