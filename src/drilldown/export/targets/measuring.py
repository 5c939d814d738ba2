"""Measures the int8 code on targets: what is installed gives figures, the rest is named as missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from drilldown.errors import DrilldownError
from drilldown.experiment.chip import TargetName
from drilldown.export.c.writing import Program
from drilldown.export.integer import IntegerConv, IntegerGraph
from drilldown.export.targets.building import Toolchain, find_toolchain, measure_sizes
from drilldown.export.targets.catalogue import target_of
from drilldown.export.targets.emulating import run_on_qemu, run_on_simavr
from drilldown.export.targets.figures import Execution, TargetFigures

MOST_MULTIPLY_ADDS = 10**9
"""The work of one target in an emulator, some seconds: it limits the number of test images."""
FEWEST_IMAGES = 20


def measure_target(
    name: TargetName, network: IntegerGraph, program: Program, images: torch.Tensor, wanted: torch.Tensor, folder: Path
) -> TargetFigures:
    """Compiles the int8 code for a target, measures it, and runs it on test images.

    *Arguments*: `images`: the test images, (N, channels, height, width), uint8. `wanted`: their logits by the
    reference, (N, classes), int32. `folder`: for the compiled files.
    """
    target = target_of(name)
    folder.mkdir(parents=True, exist_ok=True)
    program.write(folder)
    tools = find_toolchain(target, folder)
    compiler, sizes, execution, missing = "", None, None, list[str]()
    try:
        if isinstance(tools, str):
            missing.append(tools)
        else:
            compiler, sizes = tools.description, measure_sizes(tools)
            found = _execute(tools, sizes.stack, network, program, images, wanted)
            if isinstance(found, str):
                missing.append(f"the count of instructions: {found}")
            else:
                execution = found
    except DrilldownError as error:
        missing += map(str, error.problems)
    return TargetFigures(
        target=name,
        processor=target.processor,
        compiler=compiler,
        sizes=sizes,
        execution=execution,
        missing=tuple(missing),
    )


def _execute(
    tools: Toolchain, stack: int, network: IntegerGraph, program: Program, images: torch.Tensor, wanted: torch.Tensor
) -> Execution | str:
    """Runs the compiled code on the first test images, or says why it cannot run."""
    machine = tools.target.machine
    if machine is None:
        return "this machine has no emulator that counts"
    if shutil.which(machine.emulator) is None:
        return f"{machine.emulator} is not installed (Debian and Ubuntu: apt install {machine.package})"
    work = sum(
        node.weight.numel() * node.output[1] * node.output[2] for node in network.nodes if isinstance(node, IntegerConv)
    )
    count = min(machine.most_images, max(FEWEST_IMAGES, MOST_MULTIPLY_ADDS // work))
    if machine.board == "avr.c":
        return run_on_simavr(tools, machine, stack, images[:count], wanted[:count])
    return run_on_qemu(tools, machine, stack, images[:count], wanted[:count], program.steps)
