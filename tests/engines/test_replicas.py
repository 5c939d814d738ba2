"""Several seeds at once, held against the single run of each."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from drilldown.engines.replicas import Replicas
from drilldown.engines.torch import TorchEngine
from drilldown.errors import DrilldownError, TrainingDivergedError
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.network import Network
from drilldown.experiment.optimizers import SGD, Adam
from drilldown.experiment.recipe import Recipe
from drilldown.network.blocks import Block
from support.engine_networks import WORDS, network_of
from support.engines import make_dataset, make_plan

CPU = torch.device("cpu")
SEEDS = (0, 1, 2)
SGD_RECIPE = Recipe(batch_size=17, optimizer=SGD(name="sgd", lr=0.1, momentum=0.9, weight_decay=0.01), ema=0.9)
ADAM_RECIPE = Recipe(batch_size=17, optimizer=Adam(name="adam", lr=0.1, eps=0.01), l1=1e-3, label_smoothing=0.1)
WITHOUT_DROPOUT = [word for word in WORDS if "dropout" not in str(WORDS[word])]


def compare(layers: list[Block], recipe: Recipe, *, taught: bool = False) -> None:
    dataset = make_dataset(51, (9, 10), taught=taught)
    experiment = Experiment(title="replicas", network=Network(layers=tuple(layers)), recipe=recipe)
    experiment.__dict__["image"] = (dataset.image_shape, dataset.classes)
    networks = [experiment.build_for_training(seed) for seed in SEEDS]
    orders = [torch.randperm(51, generator=torch.Generator().manual_seed(seed)) for seed in SEEDS]
    plans = [make_plan(order, [0.1, 0.05, 0.02]) for order in orders]
    singles = [TorchEngine(copy.deepcopy(network), recipe, dataset, device=CPU) for network in networks]
    replicas = Replicas(networks, recipe, dataset, device=CPU)
    tallies = replicas.train_epoch(plans)
    evaluations = replicas.evaluate(dataset.test)
    for number, (engine, plan) in enumerate(zip(singles, plans, strict=True)):
        assert tallies[number].loss == pytest.approx(engine.train_epoch(plan).loss, rel=1e-4)
        found, expected = replicas.model(number).state_dict(), engine.model().state_dict()
        for name, tensor in expected.items():
            assert torch.allclose(found[name], tensor, rtol=1e-3, atol=1e-4), name
        assert evaluations[number].tally.loss == pytest.approx(engine.evaluate(dataset.test).tally.loss, rel=1e-3)


@pytest.mark.parametrize("word", WITHOUT_DROPOUT)
def test_each_replica_trains_as_its_single_run(word: str) -> None:
    compare(network_of(word), SGD_RECIPE)


def test_replicas_take_adam_l1_smoothing_and_a_teacher() -> None:
    compare(["conv 3x3 5, bn, relu, gap, linear 4"], ADAM_RECIPE, taught=True)


def test_replicas_train_layers_that_the_native_engine_declines() -> None:
    compare(["conv 3x3 6, gn 2, relu, se 2, blurpool, conv 3x3 4, ln, gap, linear 4"], SGD_RECIPE)


def test_replicas_have_rounded_weights() -> None:
    compare(["conv 3x3 4, bn, relu, conv 3x3 5, gap, linear 4"], SGD_RECIPE.model_copy(update={"precision": "int4"}))


def test_replicas_draw_dropout_masks_of_their_own() -> None:
    dataset = make_dataset(32, (6, 6))
    experiment = Experiment(
        title="dropout", network=Network(layers=("flatten, dropout 0.5, linear 4",)), recipe=Recipe()
    )
    experiment.__dict__["image"] = (dataset.image_shape, dataset.classes)
    same = [experiment.build_for_training(0)] * 2
    recipe = Recipe(batch_size=32, optimizer=SGD(name="sgd", lr=0.1))
    replicas = Replicas(same, recipe, dataset, device=CPU)
    first, second = replicas.train_epoch([make_plan(torch.arange(32), [0.1])] * 2)
    assert first.loss != second.loss


def test_a_replica_that_diverges_is_named_by_its_step() -> None:
    dataset = make_dataset(20, (6, 6))
    experiment = Experiment(title="diverges", network=Network(layers=("flatten, linear 4",)), recipe=Recipe())
    experiment.__dict__["image"] = (dataset.image_shape, dataset.classes)
    recipe = Recipe(batch_size=10, optimizer=SGD(name="sgd", lr=0.1))
    replicas = Replicas([experiment.build_for_training(seed) for seed in (0, 1)], recipe, dataset, device=CPU)
    with pytest.raises(TrainingDivergedError, match="step 2 of 2"):
        replicas.train_epoch([make_plan(torch.arange(20), [math.inf, 0.1])] * 2)


def test_seeds_with_different_learning_rates_are_refused() -> None:
    dataset = make_dataset(20, (6, 6))
    experiment = Experiment(title="plateau", network=Network(layers=("flatten, linear 4",)), recipe=Recipe())
    experiment.__dict__["image"] = (dataset.image_shape, dataset.classes)
    recipe = Recipe(batch_size=10, optimizer=SGD(name="sgd", lr=0.1))
    replicas = Replicas([experiment.build_for_training(seed) for seed in (0, 1)], recipe, dataset, device=CPU)
    with pytest.raises(DrilldownError, match="learning rates that differ between seeds"):
        replicas.train_epoch([make_plan(torch.arange(20), [rate, 0.1]) for rate in (0.1, 0.2)])
