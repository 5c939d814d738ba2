"""The targets: processors that the int8 code is compiled for, and the machines that run it here."""

from __future__ import annotations

from dataclasses import dataclass

from drilldown.errors import DrilldownError, Problem, did_you_mean, quoted
from drilldown.experiment.chip import TARGETS, TargetName


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a machine's memory."""

    origin: int
    size: int
    """In bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """An emulated machine that runs the code on test images."""

    emulator: str
    package: str
    """Debian's package with the emulator."""
    options: tuple[str, ...]
    board: str
    """The file in `boards/` with the start of the program."""
    flash: Region = Region(0, 0)
    ram: Region = Region(0, 0)
    most_images: int = 1000
    """The largest number of test images that it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A processor with its compiler."""

    name: TargetName
    processor: str
    prefix: str
    """The first part of the names of the compiler and of its tools; empty for the compiler of this machine."""
    package: str
    """Debian's packages with the compiler, as `apt install` takes them."""
    flags: tuple[str, ...]
    machine: Machine | None = None
    copies_constants: bool = False
    """Whether constants outside of `__flash` are copied into the RAM: it reads the flash by other instructions."""

    @property
    def compiler(self) -> str:
        """The name of the compiler's program."""
        return f"{self.prefix}gcc"


KIB = 1024
_SEMIHOSTING = ("-semihosting-config", "enable=on,target=native")


def _cortex(name: TargetName, processor: str, machine: str, flash: int, ram: int) -> Target:
    return Target(
        name=name, processor=processor, prefix="arm-none-eabi-", package="gcc-arm-none-eabi",
        flags=(f"-mcpu={name}", "-mthumb"),
        machine=Machine(
            emulator="qemu-system-arm", package="qemu-system-arm", options=("-M", machine, *_SEMIHOSTING),
            board="cortex.c", flash=Region(0, flash), ram=Region(0x2000_0000, ram),
        ),
    )  # fmt: skip


_CATALOGUE = {
    target.name: target
    for target in (
        _cortex("cortex-m0", "Cortex-M0", "microbit", 256 * KIB, 16 * KIB),
        _cortex("cortex-m3", "Cortex-M3", "mps2-an385", 4096 * KIB, 4096 * KIB),
        _cortex("cortex-m4", "Cortex-M4", "mps2-an386", 4096 * KIB, 4096 * KIB),
        _cortex("cortex-m7", "Cortex-M7", "mps2-an500", 4096 * KIB, 4096 * KIB),
        Target(
            name="riscv32", processor="RV32IMC", prefix="riscv64-unknown-elf-", package="gcc-riscv64-unknown-elf",
            flags=("-march=rv32imc", "-mabi=ilp32", "-ffreestanding"),
            machine=Machine(
                emulator="qemu-system-riscv32", package="qemu-system-misc",
                options=("-M", "virt", "-bios", "none", *_SEMIHOSTING), board="riscv.c",
                flash=Region(0x8000_0000, 4096 * KIB), ram=Region(0x8040_0000, 4096 * KIB),
            ),
        ),
        Target(
            name="avr", processor="ATmega1284P", prefix="avr-", package="gcc-avr avr-libc",
            flags=("-mmcu=atmega1284p", "-std=gnu99"), copies_constants=True,
            machine=Machine(
                emulator="simavr", package="simavr", options=("-m", "atmega1284p", "-f", "16000000"), board="avr.c",
                ram=Region(0x100, 16 * KIB),
                most_images=5,
            ),
        ),
        Target(
            name="host", processor="this machine", prefix="", package="gcc",
            flags=("-fno-pie", "-fno-asynchronous-unwind-tables", "-fcf-protection=none"),  # as on a chip
        ),
    )
}  # fmt: skip


def target_of(name: TargetName) -> Target:
    """The target with a name."""
    return _CATALOGUE[name]


def parse_targets(texts: list[str]) -> tuple[TargetName, ...]:
    """Reads targets, each text with one or more of them; raises DrilldownError.

    >>> parse_targets(["host,cortex-m4", "avr"])
    ('cortex-m4', 'avr', 'host')
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    for name in names:
        if name not in TARGETS:
            raise DrilldownError(
                Problem(
                    place="--target",
                    found=f'found "{name}"',
                    expected=f"a list of {quoted(TARGETS)}",
                    suggestion=did_you_mean(name, TARGETS),
                )
            )
    return tuple(name for name in TARGETS if name in names)
