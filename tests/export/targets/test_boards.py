"""The examples for boards: both build as a user builds them, and give the answers of the reference."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from drilldown.data.glyphs import draw_glyphs
from drilldown.export.c.writing import write_program
from drilldown.export.integer import IntegerGraph
from drilldown.export.quantise import quantise
from support.exports import folded, need_program

ROOT = Path(__file__).parents[3]
BOARDS = ROOT / "examples" / "boards"
ARDUINO = Path("/usr/share/arduino/hardware/arduino/avr")
SIMAVR = Path("/usr/include/simavr/sim_avr.h")
FLAGSHIP = ["conv 3x3 8, bn, relu", "conv 3x3 8, bn, relu", "maxpool 2", "conv 3x3 12, bn, relu",
            "conv 3x3 14, bn, relu", "conv 3x3 16, bn, relu", "conv 3x3 16, bn, relu", "gap", "linear 10"]  # fmt: skip
RAM_BEGIN, RAM_END = 0x100, 0x900
"""Of an ATmega328P."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, IntegerGraph]:
    """A folder with the flagship in C, with the schedule `tight`, and its reference."""
    folder = tmp_path_factory.mktemp("export")
    (images, _), _ = draw_glyphs(50, 1)
    network = quantise(folded(FLAGSHIP, (1, 28, 28), 10), images.view(-1, 1, 28, 28))
    write_program(network, "flagship", "tight").write(folder)
    return folder, network


def digit() -> torch.Tensor:
    """The image in digit.h, (1, 1, 28, 28)."""
    rows = [line.split('"')[1] for line in (BOARDS / "digit.h").read_text().splitlines() if line.startswith('    "')]
    return torch.tensor([[0 if char == " " else 255 for char in row] for row in rows], dtype=torch.uint8)[None, None]


def classes(network: IntegerGraph, images: torch.Tensor) -> list[int]:
    return network.logits(images).argmax(1).tolist()


def make(example: str, folder: Path, *targets: str) -> str:
    command = ["make", "-C", str(BOARDS / example), f"NET={folder}", f"BUILD={folder}", *targets]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_program_for_a_cortex_m_classifies_its_image(exported) -> None:
    need_program("arm-none-eabi-gcc", "gcc-arm-none-eabi")
    need_program("qemu-system-arm", "qemu-system-arm")
    folder, network = exported
    (wanted,) = classes(network, digit())
    assert f"class {wanted}\n" in make("cortex-m", folder, "run")


def need_uno() -> None:
    need_program("avr-gcc", "gcc-avr avr-libc")
    for file, package in ((ARDUINO, "arduino-core-avr"), (SIMAVR, "libsimavr-dev")):
        if not file.exists():
            reason = f"{file} is missing (Debian and Ubuntu: apt install {package})"
            pytest.fail(reason) if os.environ.get("CI") and sys.platform == "linux" else pytest.skip(reason)


def test_the_sketch_answers_over_the_serial_port_and_its_stack_fits_the_uno(exported, tmp_path) -> None:
    need_uno()
    folder, network = exported
    make("uno", folder)
    harness = ROOT / "tests" / "support" / "uno.c"
    subprocess.run(["gcc", "-O2", "-w", str(harness), "-o", str(tmp_path / "uno"), "-lsimavr"], check=True)
    (images, _), _ = draw_glyphs(3, 1)
    images = images.view(-1, 1, 28, 28)
    done = subprocess.run([str(tmp_path / "uno"), str(folder / "uno.elf")], input=images.numpy().tobytes(),
                          capture_output=True, check=True, timeout=100)  # fmt: skip
    *answers, cycles, lowest = [int(word) for word in done.stdout.decode().split() if word.isdigit()][-6:]
    assert answers == classes(network, torch.cat([digit(), images]))
    assert cycles <= 16_000_000  # a second at 16 MHz, with the transfer
    sections = subprocess.run(["avr-size", str(folder / "uno.elf")], capture_output=True, text=True, check=True).stdout
    text, data, bss = map(int, sections.splitlines()[1].split()[:3])
    assert text + data <= 32_256  # beside Arduino's boot loader
    assert RAM_BEGIN + data + bss < lowest < RAM_END


def test_a_picture_is_sent_row_by_row_when_the_board_asks(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(BOARDS / "uno"))
    import pty  # not on Windows

    classify = importlib.import_module("send").classify
    board, port = pty.openpty()
    os.system(f"stty raw -echo < {os.ttyname(port)}")
    image = bytes(range(28)) * 28
    answers = b"7\n" + b">" * 28 + b"4\n"
    os.write(board, answers)
    assert classify(port, image) == "4"
    received = b""
    while len(received) < len(image):
        received += os.read(board, 1024)
    assert received == image
