"""The figures of a run's int8 code on a chip: of its export, of its summary, or else measured."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from drilldown.errors import DrilldownError
from drilldown.evaluation.chips import ChipFigures, measure
from drilldown.experiment.chip import TargetName
from drilldown.experiment.experiment import Experiment
from drilldown.files import read_json
from drilldown.network.rounding import round_network
from drilldown.runs.folder import EXPORT, EXPORT_DOCUMENT
from drilldown.training.training import Training

_known: dict[tuple[str, TargetName], ChipFigures] = {}
"""The measured figures of this process, by the checksum of the weights and the chip: a command reads a run several
times."""


class TrainedRun(Protocol):
    """What is measured of a finished run: `Run` has it all."""

    @property
    def path(self) -> Path:
        """The run's folder."""
        ...

    @property
    def experiment(self) -> Experiment:
        """The experiment that holds."""
        ...

    @property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel."""
        ...

    @property
    def weights_digest(self) -> str:
        """The SHA-256 of the judged weights."""
        ...

    def model(self) -> nn.Module:
        """The judged network, in evaluation mode."""
        ...


def figures_of_training(training: Training) -> ChipFigures | None:
    """The figures of a finished training; None where the budget has no limit on a chip."""
    experiment, dataset = training.experiment, training.dataset
    if experiment.budget.chip is None:
        return None
    network = experiment.build(training.seed).eval()
    network.load_state_dict(training.engine.model().state_dict())
    return measure()(experiment, network, (dataset.mean, dataset.std), dataset.train.images, experiment.budget.chip)


def figures_of_run(run: TrainedRun, of_summary: ChipFigures | None, chip: TargetName | None) -> ChipFigures | None:
    """The figures of a finished run; None without a chip. Measures only where no file of the run has the figures.

    *Arguments*: `of_summary`: the figures at the end of the training.
    """
    if chip is None:
        return None
    try:
        weights = run.weights_digest
        found = _exported(run, weights, chip) or _known.get((weights, chip))
        if found is None and of_summary is not None and of_summary.chip == chip and not of_summary.missing:
            found = of_summary
        if found is not None:
            return found
        images = run.experiment.recipe.load_without_writers().train.images
        found = measure()(run.experiment, run.model(), run.normalisation, images, chip)
    except DrilldownError as error:  # the weights were deleted, or the dataset is not on this machine
        return ChipFigures(chip=chip, missing=str(error))
    if not found.missing:
        _known[weights, chip] = found
    return found


def figures_untrained(experiment: Experiment) -> ChipFigures | None:
    """The figures of a network before its training; None where the budget has no limit on a chip.

    The sizes depend on the layers alone, but for some bytes of code, where a constant of a skip has another length.
    """
    if experiment.budget.chip is None:
        return None
    random, channels = torch.Generator().manual_seed(0), experiment.image[0][0]
    network = experiment.build().eval()
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():  # the code stores equal arrays, such as biases of zeros, once
            tensor += torch.rand(tensor.shape, generator=random) / 10
    if experiment.recipe.precision == "int4":
        network = round_network(network)
    noise = torch.randint(0, 256, (2, *experiment.image[0]), dtype=torch.uint8, generator=random)
    normalisation = (0.5,) * channels, (0.25,) * channels
    return measure()(experiment, network, normalisation, noise, experiment.budget.chip)


def _exported(run: TrainedRun, weights: str, chip: TargetName) -> ChipFigures | None:
    """The figures that `drilldown export --target` has stored, where it exported the same weights."""
    try:
        document = read_json(run.path / EXPORT / EXPORT_DOCUMENT)
        if not document or document["weights"] != weights:
            return None
        (sizes,) = [target["sizes"] for target in document["targets"] if target["target"] == chip and target["sizes"]]
        return ChipFigures(chip=chip, flash=sizes["flash"], ram=sizes["ram"], stack=sizes["stack"])
    except (DrilldownError, LookupError, TypeError, ValueError):  # damaged, or without this chip: then it is measured
        return None
