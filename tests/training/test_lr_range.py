"""The learning-rate range test: its steps, its suggestion, and that it changes nothing."""

from __future__ import annotations

import itertools
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from drilldown import Compute, Training, load
from drilldown.data.dataset import Dataset
from drilldown.errors import DrilldownError
from drilldown.experiment.experiment import Experiment
from drilldown.training import lr_range
from drilldown.training.lr_range import HIGHEST, LOWEST, STEPS, LrRange, RangeStep, measure_lr_range

SMALL = [
    "recipe.dataset=glyphs",
    "recipe.epochs=2",
    'network.layers=["conv 3x3 4, bn, relu, dropout 0.1", "maxpool 4", "gap, linear 10"]',
]
TORCH = Compute(engine="torch")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of few steps, where only their sameness counts."""
    monkeypatch.setattr(lr_range, "STEPS", 40)


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return load("under-8k", SMALL)


@pytest.fixture(scope="module")
def measured(experiment: Experiment, tiny: Dataset) -> LrRange:
    return measure_lr_range(experiment, tiny)


def result(losses: list[float]) -> LrRange:
    """A range test with these smoothed losses at 0.001, 0.01, 0.1, …"""
    steps = tuple(RangeStep(10.0 ** (place - 3), loss, loss) for place, loss in enumerate(losses))
    return LrRange(experiment=load("under-8k", SMALL), seed=0, engine="torch", device="cpu", threads=1, steps=steps)


def test_learning_rates_rise_by_the_same_factor(measured: LrRange) -> None:
    lrs = [step.lr for step in measured.steps]
    assert lrs[0] == LOWEST
    factors = {round(after / before, 9) for before, after in itertools.pairwise(lrs)}
    assert factors == {round((HIGHEST / LOWEST) ** (1 / (STEPS - 1)), 9)}
    assert len(lrs) <= STEPS


def test_the_suggestion_is_a_tenth_of_the_lowest_point() -> None:
    assert result([2.3, 1.0, 0.5, 0.4, 1.5]).suggestion == pytest.approx(0.1)
    assert result([2.3, 1.0, 0.3, 0.4, 1.5]).suggestion == pytest.approx(0.01)


@pytest.mark.parametrize("losses", [[], [2.3], [2.3, 2.29, 2.3], [2.3, 2.4, 5.0]], ids=str)
def test_without_a_clear_fall_there_is_no_suggestion(losses: list[float]) -> None:
    assert result(losses).suggestion is None
    assert json.loads(json.dumps(result(losses).to_json()))["suggested_lr"] is None


def test_the_test_ends_where_the_loss_diverges(tiny: Dataset) -> None:
    found = measure_lr_range(load("under-8k", [*SMALL, 'network.layers=["flatten, linear 10"]']), tiny)
    assert found.diverged
    assert found.suggestion is not None
    assert all(math.isfinite(step.loss) and math.isfinite(step.smoothed) for step in found.steps)


@pytest.mark.usefixtures("short")
def test_both_engines_see_the_same_losses(tiny: Dataset) -> None:
    """Their dropout masks differ, so a network without dropout is measured."""
    plain = load("under-8k", [*SMALL, 'network.layers=["conv 3x3 4, bn, relu", "maxpool 4", "gap, linear 10"]'])
    native, pytorch = (measure_lr_range(plain, tiny, compute=Compute(engine=name)) for name in ("native", "torch"))
    assert (native.engine, pytorch.engine) == ("native", "torch")
    first = [[step.loss for step in found.steps[:25]] for found in (native, pytorch)]
    assert first[0] == pytest.approx(first[1], rel=1e-4)


@pytest.mark.usefixtures("short")
def test_a_range_test_between_two_trainings_changes_no_bit(experiment: Experiment, tiny: Dataset) -> None:
    def train() -> tuple[list[torch.Tensor], list[float]]:
        training = Training(experiment, tiny, compute=TORCH)
        records = list(training)
        return list(training.engine.state().values()), [record.test.loss for record in records]

    def generators() -> tuple[torch.Tensor, bytes, object]:
        return torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].tobytes(), random.getstate()

    before, streams = train(), generators()
    measure_lr_range(experiment, tiny, compute=TORCH)
    (numbers, *others), (numbers_after, *others_after) = streams, generators()
    assert torch.equal(numbers, numbers_after)
    assert others == others_after
    after = train()
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    assert before[1] == after[1]


@pytest.mark.usefixtures("short")
def test_the_same_seed_gives_the_same_losses_and_another_one_others(experiment: Experiment, tiny: Dataset) -> None:
    first, same, other = (measure_lr_range(experiment, tiny, seed=seed, compute=TORCH) for seed in (0, 0, 1))
    assert first.steps == same.steps
    assert first.steps != other.steps


@pytest.mark.parametrize("change", ["recipe.ema=0.9", "recipe.holdout=50", 'recipe.optimizer={name="adam", lr=0.01}'])
def test_every_recipe_can_be_measured(change: str, tiny: Dataset) -> None:
    found = measure_lr_range(load("under-8k", [*SMALL, change]), tiny)
    assert found.suggestion is not None
    assert found.to_json()["optimizer"] in ("sgd", "adam")


def test_an_own_module_that_fails_is_named(tmp_path: Path, tiny: Dataset) -> None:
    (tmp_path / "model.py").write_text(
        "from torch import nn\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.out = nn.Linear(784, 10)\n\n    def forward(self, images):\n"
        "        if self.training:\n            raise ValueError('odd')\n        return self.out(images.flatten(1))\n"
    )
    (tmp_path / "a.toml").write_text('title = "A"\n[network]\npython = "model.py:Net"\n[recipe]\ndataset = "glyphs"\n')
    with pytest.raises(DrilldownError, match=r"model\.py.*ValueError: odd"):
        measure_lr_range(load(tmp_path / "a.toml"), tiny)
