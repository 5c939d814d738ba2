"""The engines compared with training loops in plain PyTorch: steps, averages, dropout, counts, and errors."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from drilldown import Compute, Training, load
from drilldown.data.dataset import Dataset, Split
from drilldown.engines.engine import PROGRESS_PER_EPOCH, Progress
from drilldown.engines.onednn import onednn_forward, onednn_is_faster, reorder_layers
from drilldown.engines.torch import WeightAverage
from drilldown.errors import DrilldownError, TrainingDivergedError
from drilldown.evaluation.records import EpochRecord
from drilldown.experiment.experiment import Experiment
from drilldown.network.modules import Layers

SEED = 3
CPU = torch.device("cpu")
Parameters = Iterator[nn.Parameter]
OPTIMIZERS: dict[str, Callable[[Parameters], torch.optim.Optimizer]] = {
    '{ name = "sgd", lr = 0.05 }': lambda p: torch.optim.SGD(p, 0.05),
    '{ name = "sgd", lr = 0.05, momentum = 0.8, nesterov = true, weight_decay = 0.1 }': lambda p: torch.optim.SGD(
        p, 0.05, momentum=0.8, nesterov=True, weight_decay=0.1
    ),
    '{ name = "adam", lr = 0.01, betas = [0.8, 0.95], eps = 1e-4, weight_decay = 0.1 }': lambda p: torch.optim.Adam(
        p, 0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1
    ),
    '{ name = "adamw", lr = 0.01, betas = [0.8, 0.95], eps = 1e-4, weight_decay = 0.1 }': lambda p: torch.optim.AdamW(
        p, 0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1
    ),
    '{ name = "adamw", lr = 0.01, eps = 1e-4 }': lambda p: torch.optim.AdamW(p, 0.01, eps=1e-4),
    '{ name = "nadam", lr = 0.01, betas = [0.8, 0.95], eps = 1e-4, momentum_decay = 0.01 }': lambda p: (
        torch.optim.NAdam(p, 0.01, betas=(0.8, 0.95), eps=1e-4, momentum_decay=0.01)
    ),
    '{ name = "rmsprop", lr = 0.001, alpha = 0.9, eps = 1e-3, momentum = 0.5, centered = true, weight_decay = 0.1 }': (
        lambda p: torch.optim.RMSprop(p, 0.001, 0.9, 1e-3, 0.1, 0.5, centered=True)
    ),
    '{ name = "rmsprop", lr = 0.001, eps = 1e-3 }': lambda p: torch.optim.RMSprop(p, 0.001, eps=1e-3),
}
NESTEROV = list(OPTIMIZERS)[1]


def small(*overrides: str) -> Experiment:
    """A network of 442 parameters that trains for two epochs of four steps; the last batch is smaller."""
    return load(
        "under-8k",
        [
            'network.layers=["conv 3x3 4, bn, relu, maxpool 3", "conv 3x3 8 stride=2, bn, relu", "gap", "linear 10"]',
            "recipe.dataset=glyphs",
            "recipe.epochs=2",
            "recipe.batch_size=64",
            f"recipe.optimizer={NESTEROV}",
            'recipe.schedule={ name = "constant" }',
            "recipe.augment={}",
            *overrides,
        ],
    )


def normalised(split: Split, dataset: Dataset) -> torch.Tensor:
    return (split.images.float() / 255 - dataset.mean[0]) / dataset.std[0]


def smoothed_loss(logits: torch.Tensor, labels: torch.Tensor, epsilon: float) -> torch.Tensor:
    target = torch.full_like(logits, epsilon / logits.shape[1])
    target[torch.arange(len(labels)), labels] += 1 - epsilon
    return -(target * logits.log_softmax(1)).sum(1).mean()


def by_hand(
    training: Training,
    create: Callable[[Parameters], torch.optim.Optimizer],
    *,
    epsilon: float = 0.0,
    factor: float = 1.0,
    l1: float = 0.0,
) -> Iterator[tuple[nn.Module, float, int]]:
    """Trains in plain PyTorch with the same batches; yields after each step the network, and the batch's loss and hits.

    It uses the memory layout of the engine, because rounding differences can change the sign of a relu's input.
    """
    experiment, dataset = training.experiment, training.dataset
    network = experiment.build(SEED).train()
    assert isinstance(network, Layers)
    layers = reorder_layers(network) if onednn_is_faster(network, CPU) else None
    optimizer = create(network.parameters())
    images = normalised(dataset.train, dataset)
    for number in range(1, experiment.recipe.epochs + 1):
        for rows in training.plan(number).order.split(experiment.recipe.batch_size):
            labels = dataset.train.labels[rows]
            logits = network(images[rows]) if layers is None else onednn_forward(layers, images[rows])
            loss = smoothed_loss(logits, labels, epsilon)
            optimizer.zero_grad()
            (loss + l1 * sum(weight.abs().sum() for weight in network.parameters())).backward()
            optimizer.step()
            yield network, loss.item() * len(rows), int((logits.argmax(1) == labels).sum())
        for group in optimizer.param_groups:
            group["lr"] *= factor


def assert_same_weights(actual: nn.Module, expected: dict[str, torch.Tensor]) -> None:
    for name, tensor in actual.state_dict().items():
        torch.testing.assert_close(tensor.cpu().to(expected[name].dtype), expected[name], rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_engine_makes_the_same_steps_as_pytorch(optimizer: str, tiny: Dataset) -> None:
    experiment = small(f"recipe.optimizer={optimizer}", 'recipe.schedule={name = "step", every = 1, gamma = 0.5}')
    training = Training(experiment, tiny, seed=SEED, compute=Compute(engine="torch", device="cpu"))
    epochs = list(training)
    steps = list(by_hand(training, OPTIMIZERS[optimizer], factor=0.5))
    assert len(steps) == 2 * 4
    assert_same_weights(training.engine.model(), steps[-1][0].state_dict())
    for epoch, part in zip(epochs, (steps[:4], steps[4:]), strict=True):
        assert epoch.train.loss == pytest.approx(sum(loss for _, loss, _ in part) / 200, rel=1e-4)
        assert epoch.train.correct == sum(correct for _, _, correct in part)


@pytest.mark.parametrize("epsilon", [0.1, 0.5])
def test_label_smoothing_agrees_with_its_formula(epsilon: float, tiny: Dataset) -> None:
    training = Training(small(f"recipe.label_smoothing={epsilon}"), tiny, seed=SEED, compute=Compute(device="cpu"))
    epochs = list(training)
    steps = list(by_hand(training, OPTIMIZERS[NESTEROV], epsilon=epsilon))
    assert_same_weights(training.engine.model(), steps[-1][0].state_dict())
    assert epochs[1].train.loss == pytest.approx(sum(loss for _, loss, _ in steps[4:]) / 200, rel=1e-4)


def test_an_l1_penalty_changes_the_gradient_and_not_the_recorded_loss(tiny: Dataset) -> None:
    training = Training(small("recipe.l1=0.01"), tiny, seed=SEED, compute=Compute(device="cpu"))
    epochs = list(training)
    steps = list(by_hand(training, OPTIMIZERS[NESTEROV], l1=0.01))
    assert_same_weights(training.engine.model(), steps[-1][0].state_dict())
    for epoch, part in zip(epochs, (steps[:4], steps[4:]), strict=True):
        assert epoch.train.loss == pytest.approx(sum(loss for _, loss, _ in part) / 200, rel=1e-4)


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_weight_averaging_agrees_with_its_formula_also_for_statistics(decay: float, tiny: Dataset) -> None:
    training = Training(small(f"recipe.ema={decay}"), tiny, seed=SEED, compute=Compute(device="cpu"))
    epochs = list(training)
    average = {name: value.double() for name, value in training.experiment.build(SEED).state_dict().items()}
    for step, (network, _, _) in enumerate(by_hand(training, OPTIMIZERS[NESTEROV]), start=1):
        keep = min(decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            average[name] = keep * average[name] + (1 - keep) * value.double()
            if name.endswith("num_batches_tracked"):  # a count, not a weight
                average[name] = value.double()
    assert any(name.endswith("running_var") for name in average)
    assert_same_weights(training.engine.model(), average)
    judged, raw = (training.engine.evaluate(tiny.test, raw=raw).tally for raw in (False, True))
    assert judged != raw
    assert epochs[-1].test == judged
    assert epochs[-1].raw_test_correct == raw.correct


class Tied(nn.Module):
    """Two layers that share one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.second.weight = self.first.weight


def test_shared_weights_are_averaged_once() -> None:
    network = Tied()
    average = WeightAverage(network, 0.5)
    before = network.first.weight.detach().clone()
    with torch.no_grad():
        network.first.weight.add_(1)
    average.update(network, step=100)  # at this step the warm-up, 101/110, is above the decay
    torch.testing.assert_close(average.network.get_parameter("first.weight"), before + 0.5)


def test_without_averaging_there_is_no_raw_accuracy(tiny: Dataset) -> None:
    assert {epoch.raw_test_correct for epoch in Training(small(), tiny)} == {None}


@pytest.mark.parametrize("batch_size", [1, 64, 199, 200])
def test_an_epoch_counts_every_image_once_also_in_a_smaller_last_batch(batch_size: int, tiny: Dataset) -> None:
    ticks: list[Progress] = []
    experiment = small(f"recipe.batch_size={batch_size}", "recipe.epochs=1", 'network.layers=["flatten, linear 10"]')
    training = Training(experiment, tiny, seed=SEED, on_progress=ticks.append)
    (epoch,) = training
    assert (epoch.train.total, epoch.test.total) == (200, 100)
    assert sorted(training.plan(1).order.tolist()) == list(range(200))
    assert (ticks[-1].step, ticks[-1].steps) == (math.ceil(200 / batch_size),) * 2
    assert ticks[-1].so_far == epoch.train
    assert all(tick.so_far.total == min(200, tick.step * batch_size) for tick in ticks)


def test_an_evaluation_is_the_mean_over_all_images_in_evaluation_mode(tiny: Dataset) -> None:
    many = replace(tiny, test=Split(tiny.test.images.repeat(11, 1, 1, 1), tiny.test.labels.repeat(11)))  # two batches
    training = Training(small("recipe.augment={ rotate = 20 }"), many, seed=SEED, compute=Compute(device="cpu"))
    epochs = list(training)
    network = copy.deepcopy(training.engine.model()).eval()
    for evaluation, split in zip(training.final(), (many.test, many.train), strict=True):
        with torch.no_grad():
            logits = network(normalised(split, many))
        torch.testing.assert_close(evaluation.logits, logits, rtol=1e-4, atol=1e-5)
        expected = F.nll_loss(logits.double().log_softmax(1), split.labels)
        assert evaluation.tally.loss == pytest.approx(float(expected), rel=1e-5)
        assert evaluation.tally.correct == int((evaluation.logits.argmax(1) == split.labels).sum())
        assert evaluation.tally.total == len(split)
    assert training.final()[0].tally == epochs[-1].test


def test_a_validation_split_is_used_for_evaluation_and_not_for_training(tiny: Dataset) -> None:
    training = Training(small("recipe.holdout=50"), tiny, seed=SEED)
    epochs = list(training)
    assert {(epoch.held_out, epoch.train.total, epoch.test.total) for epoch in epochs} == {(True, 150, 50)}
    rest, held = tiny.hold_out(50, SEED)
    assert epochs[-1].test == training.engine.evaluate(held).tally
    test, clean_train = training.final()
    assert (test.tally.total, clean_train.tally.total) == (100, 150)
    assert clean_train.tally == training.engine.evaluate(rest.train).tally


def test_a_validation_split_of_all_images_is_refused(tiny: Dataset) -> None:
    with pytest.raises(DrilldownError, match=r"recipe\.holdout: 200 of 200 training images held out"):
        Training(small("recipe.holdout=200"), tiny)


def test_batches_larger_than_the_training_set_are_refused(tiny: Dataset) -> None:
    with pytest.raises(DrilldownError, match=r"recipe\.batch_size: batches of 201; expected at most 200"):
        Training(small("recipe.batch_size=201"), tiny)


def test_a_loss_that_is_not_finite_stops_the_training_with_its_step(tiny: Dataset) -> None:
    rates = '{ name = "constant", warmup = 0.5 }'  # it rises to 1e30 in the four steps of epoch 1
    experiment = small('recipe.optimizer={ name = "sgd", lr = 1e30 }', f"recipe.schedule={rates}")
    training = Training(experiment, tiny, seed=SEED)
    with pytest.raises(TrainingDivergedError) as caught:
        list(training)
    match = re.search(r"the loss is (nan|inf) in epoch 1, step (\d) of 4, at learning rate (\S+);", str(caught.value))
    assert match
    step = int(match[2])
    assert step > 1  # the first loss comes from the initial weights
    assert float(match[3]) == pytest.approx(1e30 * step / 4, rel=1e-3)
    assert caught.value.exit_code == 4
    assert training.epochs == ()


def test_the_message_names_the_first_step_that_diverged_although_steps_are_checked_in_groups(tiny: Dataset) -> None:
    written = '{ name = "sgd", lr = 1e38 }'
    experiment = small(f"recipe.optimizer={written}", "recipe.batch_size=1", 'network.layers=["flatten, linear 10"]')
    training = Training(experiment, tiny, seed=SEED, compute=Compute(device="cpu"))
    losses = (loss for _, loss, _ in by_hand(training, lambda p: torch.optim.SGD(p, 1e38)))
    first = next(step for step, loss in enumerate(losses, start=1) if not math.isfinite(loss))
    assert first % (200 // PROGRESS_PER_EPOCH) > 0
    with pytest.raises(TrainingDivergedError, match=rf"in epoch 1, step {first} of 200, at learning rate 1e\+38;"):
        list(training)


def test_weights_that_diverge_in_the_last_step_stop_the_training(tiny: Dataset) -> None:
    experiment = small('recipe.optimizer={ name = "sgd", lr = 1e38 }', "recipe.batch_size=200")
    with pytest.raises(TrainingDivergedError, match=r"a loss of (nan|inf) after epoch 1"):
        list(Training(experiment, tiny, seed=SEED))


def test_bf16_training_keeps_the_weights_in_fp32(tiny: Dataset) -> None:
    def trained(precision: str) -> tuple[list[EpochRecord], nn.Module]:
        easy = ('network.layers=["flatten, linear 10"]', 'recipe.optimizer={ name = "adam", lr = 0.01 }')
        training = Training(small(f"recipe.precision={precision}", *easy), tiny, seed=SEED)
        return list(training), training.engine.model()

    epochs, network = trained("bf16")
    assert epochs[1].train.loss < 0.8 * epochs[0].train.loss
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    exact, _ = trained("fp32")
    assert epochs[0].train.loss != exact[0].train.loss
    assert epochs[0].train.loss == pytest.approx(exact[0].train.loss, rel=0.02)


def test_training_is_reproducible_and_depends_on_the_seed(tiny: Dataset) -> None:
    def weights(seed: int) -> torch.Tensor:
        network = 'network.layers=["flatten, dropout 0.2, linear 10"]'
        training = Training(
            small(network, "recipe.augment={ rotate = 10 }"), tiny, seed=seed, compute=Compute(device="cpu")
        )
        list(training)
        return nn.utils.parameters_to_vector(training.engine.model().parameters())

    assert torch.equal(weights(1), weights(1))
    assert not torch.allclose(weights(1), weights(2))


def test_the_averaged_model_can_be_trained_further(tiny: Dataset) -> None:
    training = Training(small("recipe.ema=0.9", 'network.layers=["flatten, dropout 0.5, linear 10"]'), tiny)
    list(training)
    assert training.engine.model().train().cpu()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_each_epoch_has_different_dropout(tiny: Dataset) -> None:
    layers = 'network.layers=["flatten, dropout 0.5, linear 10"]'
    training = Training(small(layers), tiny, seed=SEED, compute=Compute(device="cpu"))
    inputs, seen = torch.ones(10_000), []
    for _ in training:
        layer = next(m for m in training.engine.model().modules() if isinstance(m, nn.Dropout))
        seen.append(layer.train()(inputs))
    assert not torch.equal(*seen)
