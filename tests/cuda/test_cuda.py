"""Training on a GPU: the contract, resume, bf16, too little memory, several seeds at once."""

from __future__ import annotations

import copy

import pytest
import torch

from drilldown import load
from drilldown.data.dataset import Dataset
from drilldown.engines.replicas import Replicas
from drilldown.engines.torch import TorchEngine
from drilldown.errors import CannotTrainError
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.network import Network
from drilldown.experiment.optimizers import SGD, Adam, AdamW
from drilldown.experiment.recipe import Recipe
from drilldown.settings import Compute
from drilldown.training.training import Training
from support.engine_networks import WORDS, network_of
from support.engines import make_dataset, make_plan

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
CUDA = Compute(engine="torch", device="cuda")
RECIPES = {
    "sgd": Recipe(batch_size=17, optimizer=SGD(name="sgd", lr=0.1, momentum=0.9, weight_decay=0.01), ema=0.9),
    "adam": Recipe(batch_size=17, optimizer=Adam(name="adam", lr=0.1, eps=0.01), l1=1e-3),
    "adamw": Recipe(batch_size=17, optimizer=AdamW(name="adamw", lr=0.1, eps=0.01, weight_decay=0.1)),
}
QUICK = ["recipe.dataset=glyphs", "recipe.epochs=2"]
WITHOUT_DROPOUT = [word for word in WORDS if "dropout" not in str(WORDS[word])]


def make_experiment(layers: list[object], recipe: Recipe, dataset: Dataset) -> Experiment:
    experiment = Experiment(title="cuda", network=Network(layers=tuple(layers)), recipe=recipe)  # type: ignore[arg-type]
    experiment.__dict__["image"] = (dataset.image_shape, dataset.classes)
    return experiment


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("word", WITHOUT_DROPOUT)
def test_a_gpu_trains_as_the_cpu(word: str, recipe: str) -> None:
    dataset = make_dataset(51, (9, 10))
    experiment = make_experiment(list(network_of(word)), RECIPES[recipe], dataset)
    engines = [
        TorchEngine(experiment.build_for_training(0), RECIPES[recipe], dataset, device=torch.device(device))
        for device in ("cpu", "cuda")
    ]
    plan = make_plan(torch.arange(51), [0.1, 0.05, 0.02])
    on_cpu, on_gpu = (engine.train_epoch(plan).loss for engine in engines)
    assert on_gpu == pytest.approx(on_cpu, rel=1e-3)
    expected = engines[0].model().state_dict()
    for name, tensor in engines[1].model().state_dict().items():
        assert torch.allclose(tensor.cpu(), expected[name], rtol=1e-2, atol=1e-3), name


def test_a_resumed_training_continues_as_one_that_was_not_interrupted() -> None:
    experiment = load("under-8k", QUICK)
    whole = list(Training(experiment, compute=CUDA))
    begun = Training(experiment, compute=CUDA)
    next(iter(begun))
    (last,) = list(Training(experiment, compute=CUDA, checkpoint=begun.checkpoint()))
    assert last.train.loss == pytest.approx(whole[1].train.loss, rel=1e-3)  # atomic additions have no fixed order


def test_bf16_learns_as_fp32() -> None:
    losses = [
        list(Training(load("under-8k", [*QUICK, f"recipe.precision={kind}"]), compute=CUDA))[-1].test.loss
        for kind in ("fp32", "bf16")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.25)


def test_too_little_memory_is_one_message() -> None:
    experiment = load("under-8k", [*QUICK, "recipe.batch_size=6000"])
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.0005)
    try:
        with pytest.raises(CannotTrainError, match=r"the GPU has too little memory.*smaller recipe.batch_size"):
            list(Training(experiment, compute=CUDA))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("word", WITHOUT_DROPOUT)
def test_each_of_several_seeds_trains_as_its_single_run(word: str) -> None:
    dataset, recipe = make_dataset(51, (9, 10)), RECIPES["sgd"]
    experiment = make_experiment(list(network_of(word)), recipe, dataset)
    networks = [experiment.build_for_training(seed) for seed in (0, 1, 2)]
    plans = [make_plan(torch.randperm(51, generator=torch.Generator().manual_seed(i)), [0.1, 0.05]) for i in range(3)]
    device = torch.device("cuda")
    singles = [TorchEngine(copy.deepcopy(network), recipe, dataset, device=device) for network in networks]
    together = Replicas(networks, recipe, dataset, device=device).train_epoch(plans)
    for tally, engine, plan in zip(together, singles, plans, strict=True):
        assert tally.loss == pytest.approx(engine.train_epoch(plan).loss, rel=1e-3)
