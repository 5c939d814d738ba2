"""Measures the int8 code for the limits on a chip that a budget has: what the verdict and a search ask for."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import nn

from drilldown.errors import DrilldownError
from drilldown.evaluation.chips import ChipFigures
from drilldown.experiment.chip import TargetName
from drilldown.experiment.experiment import Experiment
from drilldown.export.c.writing import write_program
from drilldown.export.folding import fold_experiment
from drilldown.export.quantise import calibration_images, quantise, why_no_int8
from drilldown.export.targets.building import find_toolchain, measure_sizes
from drilldown.export.targets.catalogue import target_of


def measure_chip(
    experiment: Experiment,
    network: nn.Module,
    normalisation: tuple[tuple[float, ...], tuple[float, ...]],
    images: torch.Tensor,
    chip: TargetName,
) -> ChipFigures:
    """The sizes of the int8 code on a chip, or the reason why they are not known.

    It compiles the code that `drilldown export --to c-int8 --target` measures, and runs nothing. *Arguments*: as of
    `drilldown.evaluation.chips.Measure`.
    """
    if experiment.layout is None:
        return ChipFigures(chip=chip, missing="a network in Python code has no form in C")
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            tools = find_toolchain(target_of(chip), Path(folder))
            if isinstance(tools, str):
                return ChipFigures(chip=chip, missing=tools)
            graph = fold_experiment(experiment, network, normalisation)
            obstacle = why_no_int8(graph)
            if obstacle is not None:
                return ChipFigures(chip=chip, missing=f"{obstacle.place}: {obstacle.found}")
            write_program(quantise(graph, calibration_images(images)), "for the budget").write(Path(folder))
            sizes = measure_sizes(tools)
    except DrilldownError as error:
        return ChipFigures(chip=chip, missing=str(error))
    return ChipFigures(chip=chip, flash=sizes.flash, ram=sizes.ram, stack=sizes.stack)
