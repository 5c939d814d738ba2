"""Figures from emulators: the bits of the reference, and exact counts; what is not installed is named."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drilldown.experiment.chip import TARGETS, TargetName
from drilldown.export.c.writing import Program, write_program
from drilldown.export.quantise import quantise
from drilldown.export.targets.building import find_toolchain, measure_sizes
from drilldown.export.targets.catalogue import target_of
from drilldown.export.targets.emulating import run_on_qemu
from drilldown.export.targets.measuring import measure_target
from support.exports import HEADS, every_layer_program, folded, int8_networks, need_program, random_images, rounded
from support.networks import CLASSES

ARM = ("arm-none-eabi-gcc", "gcc-arm-none-eabi"), ("qemu-system-arm", "qemu-system-arm")
TOOLS = dict.fromkeys(("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7"), ARM) | {
    "riscv32": (("riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf"), ("qemu-system-riscv32", "qemu-system-misc")),
    "avr": (("avr-gcc", "gcc-avr avr-libc"), ("simavr", "simavr")),
}


def need_tools(name: str) -> None:
    for program, package in TOOLS[name]:
        need_program(program, package)


@pytest.mark.parametrize(
    ("name", "schedule", "head"),
    [("cortex-m0", "rows", 0), ("cortex-m3", "layers", 1), ("cortex-m4", "rows", 2), ("cortex-m4", "layers", 3),
     ("cortex-m7", "tight", 4), ("riscv32", "rows", 5), ("avr", "layers", 0), ("avr", "tight", 1)],
)  # fmt: skip
def test_every_layer_gives_the_bits_of_the_reference_on_every_target(name, schedule, head, tmp_path) -> None:
    need_tools(name)
    program, images, network = every_layer_program(schedule, HEADS[head])
    figures = measure_target(name, network, program, images, network.logits(images), tmp_path)
    assert figures.missing == ()
    assert figures.missed is None
    run = figures.execution
    assert run is not None
    assert (run.images, run.differing) == (5 if name == "avr" else 8, 0)
    if name != "avr":
        assert [step.name for step in run.steps] == list(program.steps)
        assert all(step.count > 0 for step in run.steps)
        order = run.count - sum(step.count for step in run.steps)
        assert 0 < order < 0.1 * run.count


@pytest.mark.parametrize("name", ["cortex-m0", "cortex-m4", "riscv32", "avr"])
def test_weights_of_4_bits_give_the_bits_of_the_reference_on_every_target(name, tmp_path) -> None:
    need_tools(name)
    images = random_images(5, (1, 9, 8))
    layers = ["conv 3x3 5, bn, relu, sep 3x3 7 pad=same, relu, conv 3x3 6 stride=2, leaky 0.1, conv 1x1 3", HEADS[5]]
    graph, _ = rounded(layers, (1, 9, 8))
    network = quantise(graph, images)
    program = write_program(network, "test")
    assert "packed_sums" in program.source
    assert "packed_linear_sum" in program.source
    figures = measure_target(name, network, program, images, network.logits(images), tmp_path)
    assert (figures.missed, figures.missing) == (None, ())
    assert figures.execution is not None
    assert figures.execution.differing == 0


@pytest.mark.parametrize(
    "blocks",
    [
        ["conv 1x1 2", "gap, linear 4"],
        ["conv 3x3 5, relu, conv 2x2 3, relu, conv 1x1 1", "flatten, linear 7, relu, linear 4"],
        ["conv 1x1 2", {"skip": ["conv 1x1 2 stride=2, conv 1x1 6 stride=2"]}, "flatten, linear 4"],
    ],
)
def test_small_networks_that_compilers_found_hard_give_the_bits_of_the_reference(blocks, tmp_path) -> None:
    """A Cortex-M4 calculates four channels at once: here there are fewer, or not a multiple of four.

    In the last network, gcc 12 removed the whole step of flatten, before the kernels were functions of their own.
    """
    need_tools("cortex-m4")
    images = random_images(6, (1, 4, 5))
    network = quantise(folded(blocks, (1, 4, 5), CLASSES), images)
    figures = measure_target(
        "cortex-m4", network, write_program(network, "test"), images, network.logits(images), tmp_path
    )
    assert (figures.missed, figures.missing) == (None, ())


LOOPS = """
#include "net_int8.h"
/* Each turn of the loop has two instructions. */
static void loop(int turns)
{
    __asm__ volatile("1: sub%s %%0, %%0, #1\\n\\tbne 1b" : "+r"(turns) : : "cc");
}
__attribute__((noinline)) static void one_row(void) { loop(%d); }
__attribute__((noinline)) static void two_row(void) { loop(%d); }
void net_run(struct net *net, const uint8_t *image, int32_t *logits)
{
    one_row();
    two_row();
    two_row();
    logits[0] = net->memory + image[0];
}
"""
HEADER = """#include <stdint.h>
enum { NET_CHANNELS = 1, NET_HEIGHT = 1, NET_WIDTH = 1, NET_CLASSES = 1 };
struct net { int memory; };
void net_run(struct net *net, const uint8_t *image, int32_t *logits);
"""


def count_loops(name: TargetName, folder: Path, one: int, two: int) -> list[float]:
    source = LOOPS % ("" if name == "cortex-m0" else "s", one, two)
    Program("net_int8", HEADER, source, 0, 4, ("one", "two")).write(folder)
    target = target_of(name)
    tools = find_toolchain(target, folder)
    assert not isinstance(tools, str)
    assert target.machine is not None
    stack = measure_sizes(tools).stack
    images = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1)
    run = run_on_qemu(tools, target.machine, stack, images, images.flatten(1).to(torch.int32), ("one", "two"))
    assert run.differing == 0
    return [run.count, *(step.count for step in run.steps)]


@pytest.mark.parametrize("name", ["cortex-m0", "cortex-m4"])
def test_the_instructions_of_a_known_loop_are_counted_exactly(name, tmp_path) -> None:
    need_tools(name)
    few = count_loops(name, tmp_path, 10, 20)
    many = count_loops(name, tmp_path, 150, 220)  # the same code with other numbers: only the loops differ
    assert [b - a for a, b in zip(few, many, strict=True)] == [2 * 140 + 2 * 2 * 200, 2 * 140, 2 * 2 * 200]


def test_wrong_logits_on_a_target_are_counted_and_named(tmp_path) -> None:
    need_tools("cortex-m3")
    program, images, network = every_layer_program()
    wanted = network.logits(images).clone()
    wanted[2, 1] += 1
    wanted[7, 3] -= 1
    figures = measure_target("cortex-m3", network, program, images, wanted, tmp_path)
    assert figures.missed == "on cortex-m3, 2 logits of 8 images differ from the reference"


@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [
        ("cortex-m0", 20_000, "will not fit in region .ram"),
        ("cortex-m0", 15_700, "the memory of the emulated machine is too small"),  # too little is left for the stack
        ("avr", 20_000, "not within region .data"),
    ],
)
def test_a_network_that_is_too_large_for_the_emulated_machine_is_named(name, size, reason, tmp_path) -> None:
    """Both machines have 16 KiB."""
    need_tools(name)
    program, images, network = every_layer_program()
    header = re.sub(r"memory\[\d+\]", f"memory[{size}]", program.header)
    large = Program(program.name, header, program.source, 0, 0, program.steps)
    figures = measure_target(name, network, large, images, network.logits(images), tmp_path)
    assert figures.sizes is not None
    assert figures.execution is None
    assert re.search(reason, figures.missing[0])


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "host"])
def test_a_missing_compiler_is_named_with_its_package(name, tmp_path, monkeypatch) -> None:
    program, images, network = every_layer_program()
    monkeypatch.setenv("PATH", str(tmp_path))
    figures = measure_target(name, network, program, images, network.logits(images), tmp_path)
    assert figures.sizes is None
    (compiler, package), _ = TOOLS[name]
    assert figures.missing == (f"{compiler} is not installed (Debian and Ubuntu: apt install {package})",)


def test_a_missing_emulator_is_named_and_the_sizes_are_there(tmp_path, monkeypatch) -> None:
    need_program(*ARM[0])
    program, images, network = every_layer_program()
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("gcc", "nm", "size", "objdump"):
        found = shutil.which(f"arm-none-eabi-{tool}")
        assert found is not None
        (folder / f"arm-none-eabi-{tool}").symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
    figures = measure_target("cortex-m4", network, program, images, network.logits(images), tmp_path)
    assert figures.sizes is not None
    assert figures.missing == (
        "the count of instructions: qemu-system-arm is not installed (Debian and Ubuntu: apt install qemu-system-arm)",
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cortex-m0", "cortex-m4", "riscv32"])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(network=int8_networks(), seed=st.integers(0, 999), schedule=st.sampled_from(["rows", "layers", "tight"]))
def test_random_networks_give_the_bits_of_the_reference(name, network, seed, schedule, tmp_path) -> None:
    need_tools(name)
    blocks, image = network
    images = random_images(12, image, seed)
    integers = quantise(folded(blocks, image, CLASSES, seed), images[:8])
    program = write_program(integers, "test", schedule)
    figures = measure_target(name, integers, program, images, integers.logits(images), tmp_path)
    if figures.execution is None:  # too large for the 16 KiB of the emulated Cortex-M0
        assert name == "cortex-m0"
        assert any("ram" in reason or "too small" in reason for reason in figures.missing)
        return
    assert (figures.missed, figures.missing) == (None, ())
