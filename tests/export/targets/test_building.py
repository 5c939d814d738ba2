"""The sizes are those that `size`, the linker and the compiler themselves report."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from drilldown.experiment.chip import TargetName
from drilldown.export.targets.building import find_toolchain, measure_sizes
from drilldown.export.targets.catalogue import target_of
from support.exports import every_layer_program, need_program

COMPILERS: dict[TargetName, tuple[str, str]] = {
    "cortex-m0": ("arm-none-eabi-", "gcc-arm-none-eabi"), "cortex-m4": ("arm-none-eabi-", "gcc-arm-none-eabi"),
    "riscv32": ("riscv64-unknown-elf-", "gcc-riscv64-unknown-elf"), "avr": ("avr-", "gcc-avr avr-libc"),
    "host": ("", "gcc"),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPILERS)
def test_the_sizes_are_those_of_other_tools(name: TargetName, tmp_path: Path) -> None:
    prefix, package = COMPILERS[name]
    need_program(f"{prefix}gcc", package)
    program, _, _ = every_layer_program("rows")
    program.write(tmp_path)
    tools = find_toolchain(target_of(name), tmp_path)
    assert not isinstance(tools, str)
    sizes = measure_sizes(tools)

    def tool(tool: str, *arguments: str) -> str:
        return subprocess.run([f"{prefix}{tool}", *arguments], cwd=tmp_path, check=True, text=True,
                              capture_output=True).stdout  # fmt: skip

    def of_whole(file: str) -> tuple[int, ...]:
        """text with rodata, data and bss, as `size` adds them."""
        return tuple(map(int, tool("size", file).splitlines()[1].split()[:3]))

    text, data, bss = of_whole("net.o")
    assert sizes.text + sizes.rodata + sizes.data - sizes.library == text + data
    assert sizes.bss == bss
    if name == "avr":  # `size` does not know that the linker copies these constants: here, pixels outside of an image
        assert 0 < sizes.data < 50
    else:
        assert sizes.data == data
    assert sum(of_whole("whole.o")[:2]) == sizes.flash == sizes.text + sizes.rodata + sizes.data
    assert sizes.rodata + sizes.data >= program.constants
    assert (sizes.library > 0) == (name in ("cortex-m0", "avr"))  # they have no instruction for a division
    state = sizes.ram - sizes.data - bss
    if name != "host":  # its pointers have 64 bits
        assert state == program.ram
    source = f'#include "net_int8.h"\ntypedef char right[sizeof(struct net) == {state} ? 1 : -1];\n'
    (tmp_path / "claim.c").write_text(source)
    tool("gcc", *target_of(name).flags, "-c", "claim.c", "-o", "claim.o")
    assert Path(tools.description.split()[0]).name in (f"{prefix}gcc", "cc", "gcc", "clang")
