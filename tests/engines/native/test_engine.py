"""The native engine: the same bits with any number of threads, dropout, Ctrl-C, and the experiments that it refuses.

tests/engines/test_engines.py tests the contract of both engines.
"""

from __future__ import annotations

import itertools
import re
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from drilldown import Training, load
from drilldown.data.dataset import Dataset
from drilldown.engines.native import engine as native_engine
from drilldown.engines.native.engine import MEMORY_LIMIT, why_unsupported
from drilldown.errors import DrilldownError
from drilldown.evaluation.records import Tally
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.optimizers import SGD
from drilldown.experiment.recipe import Recipe
from drilldown.randomness import stream
from drilldown.settings import Compute
from support.cli import drilldown, start
from support.engines import (
    CLASSES,
    make_dataset,
    make_engine,
    make_plan,
    native_mask,
)
from support.native import (
    check_ties,
    everything,
    reason_for_pytorch,
    until_an_epoch_is_done,
)

SEED = 5


def trained(experiment: Experiment, dataset: Dataset, threads: int) -> Training:
    training = Training(experiment, dataset, seed=SEED, compute=Compute(engine="native", device="cpu", threads=threads))
    list(training)
    return training


def tallies(training: Training) -> list[tuple[Tally, Tally, int | None]]:
    """Returns all records without their times."""
    return [(epoch.train, epoch.test, epoch.raw_test_correct) for epoch in training.epochs]


def assert_same_bits(actual: Training, expected: Training) -> None:
    assert tallies(actual) == tallies(expected)
    state, expected_state = actual.engine.state(), expected.engine.state()
    assert state.keys() == expected_state.keys()
    assert any(name.startswith("average.") and name.endswith("running_var") for name in expected_state)
    assert any(name.endswith(("momentum_buffer", "exp_avg_sq")) for name in expected_state)
    for name in expected_state:
        assert torch.equal(state[name], expected_state[name]), name
    for evaluation, other in zip(actual.final(), expected.final(), strict=True):
        assert torch.equal(evaluation.logits, other.logits)


# Threads, slices and interruptions


@pytest.mark.parametrize("size", [64, 17])
def test_one_two_and_three_threads_train_the_same_bits(size: int, tiny: Dataset) -> None:
    experiment = everything(f"recipe.batch_size={size}")  # the last batch is partial: 8 images, or 13
    first, *others = (trained(experiment, tiny, threads) for threads in (1, 2, 3))
    for other in others:
        assert_same_bits(other, first)


def test_the_length_of_a_slice_changes_no_bit(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(everything(), tiny, 2)
    monkeypatch.setattr(native_engine, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(native_engine, "EVALUATED_AT_ONCE", 7)
    assert_same_bits(trained(everything(), tiny, 2), whole)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("done", [1, 2])
def test_a_resumed_training_ends_with_the_same_bits(done: int, optimizer: str, tiny: Dataset) -> None:
    adam = (f'recipe.optimizer={{ name = "{optimizer}", lr = 0.01 }}',) if optimizer != "sgd" else ()
    experiment = everything(*adam)
    uninterrupted = trained(experiment, tiny, 2)
    first = Training(experiment, tiny, seed=SEED, compute=Compute(engine="native", device="cpu", threads=2))
    for epoch in first:
        if epoch.epoch == done:
            break
    checkpoint = first.checkpoint()
    del first
    second = Training(experiment, tiny, seed=SEED, compute=Compute(device="cpu", threads=1), checkpoint=checkpoint)
    assert (second.engine.name, len(second.epochs)) == ("native", done)
    list(second)
    assert_same_bits(second, uninterrupted)


# Dropout; the contract of both engines compares the engine's mask with `native_mask`


@pytest.mark.parametrize("probability", [0.007, 0.1, 0.5, 0.93])
def test_dropout_zeroes_its_share(probability: float) -> None:
    kept = native_mask(stream(SEED, "dropout", 1).initial_seed(), 3, range(2_000), (4, 5, 6), probability)
    low, high = stats.binom.interval(1 - 1e-6, kept.numel(), probability)
    assert low <= kept.numel() - int(kept.sum()) <= high


def test_dropout_has_the_same_probability_at_each_position_and_no_correlation() -> None:
    zeros = (~native_mask(stream(SEED, "dropout", 1).initial_seed(), 0, range(4_000), (60,), 0.25)).double()
    low, high = stats.binom.interval(1 - 1e-6, len(zeros), 0.25)
    assert low <= zeros.sum(0).min()
    assert zeros.sum(0).max() <= high
    together = torch.corrcoef(zeros.T) - torch.eye(60)
    assert float(together.abs().max()) < 5 / len(zeros) ** 0.5


def test_dropout_is_independent_between_epochs_layers_samples_and_seeds() -> None:
    samples = range(1_000)
    keys = [stream(seed, "dropout", epoch).initial_seed() for seed, epoch in ((0, 1), (0, 2), (1, 1))]
    masks = [native_mask(key, layer, samples, (40,), 0.5) for key in keys for layer in (0, 1, 2, 40)]
    # A neighbour in the batch is compared as well: the same mask, moved by one sample.
    masks += [masks[0].roll(1, 0)]
    together = torch.corrcoef(torch.stack([mask.flatten().double() for mask in masks])) - torch.eye(len(masks))
    assert float(together.abs().max()) < 5 / masks[0].numel() ** 0.5


def test_the_dropout_mask_of_a_sample_depends_on_its_position_in_the_epoch_and_not_on_the_batches() -> None:
    """At a learning rate of 0 the epoch's loss is that of the first weights, under the epoch's masks."""
    layers, dataset, epoch = ["flatten", "dropout 0.5", f"linear {CLASSES}"], make_dataset(100, (6, 7)), 4
    rows = torch.randperm(100, generator=stream(0, "order", epoch))
    losses = []
    for size in (1, 16, 17, 64, 100):
        engine = make_engine("native", layers, Recipe(batch_size=size, optimizer=SGD(name="sgd", lr=0.1)), dataset)
        losses.append(engine.train_epoch(make_plan(rows, [0.0] * -(-100 // size), epoch)).loss)
    mask = native_mask(stream(0, "dropout", epoch).initial_seed(), 1, range(100), (42,), 0.5)
    inputs = (dataset.train.images[rows].flatten(1).double() / 255 - dataset.mean[0]) / dataset.std[0]
    linear = engine.model().get_submodule("linear1").double()
    with torch.no_grad():
        expected = F.cross_entropy(linear(inputs * mask * 2), dataset.train.labels[rows])
    assert losses[0] == pytest.approx(float(expected), rel=1e-5)
    assert losses == pytest.approx([losses[0]] * len(losses), rel=1e-12)  # only the order of the sum differs


# The first of equal maxima


def test_the_first_of_equal_maxima_gets_the_gradient_as_in_pytorch() -> None:
    check_ties()


# Other threads and signals


def test_other_python_threads_run_while_the_engine_trains_and_evaluates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_engine, "SLICE_SECONDS", 60.0)  # the whole epoch in one call
    dataset = make_dataset(3_000, (28, 28))
    layers = ["conv 3x3 8, bn, relu, conv 3x3 8, bn, relu, gap", f"linear {CLASSES}"]
    engine = make_engine("native", layers, Recipe(batch_size=100), dataset, threads=1)
    times: list[float] = []
    finished = threading.Event()

    def record_times() -> None:
        while not finished.wait(0.001):
            times.append(time.perf_counter())

    other = threading.Thread(target=record_times)
    other.start()
    begun = time.perf_counter()
    engine.train_epoch(make_plan(torch.arange(3_000), [0.01] * 30))
    between = time.perf_counter()
    engine.evaluate(dataset.test)
    ended = time.perf_counter()
    finished.set()
    other.join()
    for first, last in ((begun, between), (between, ended)):
        moments = [first, *(moment for moment in times if first < moment < last), last]
        longest = max(b - a for a, b in itertools.pairwise(moments))
        assert longest < (last - first) / 2


def interrupted(folder: Path) -> float:
    """Returns the seconds from a Ctrl-C, during an epoch of about ten seconds, to the end of the process."""
    layers = '["conv 3x3 16, bn, relu, conv 3x3 48, bn, relu, conv 3x3 48, bn, relu", "gap", "linear 10"]'
    process = start(
        "run", "under-8k", "--set", "recipe.dataset=glyphs", "--set", f"network.layers={layers}", cwd=folder
    )
    assert process.stdout is not None
    shown = ""
    for line in process.stdout:
        shown += line
        if "test loss" in line:  # the table's head: training begins
            break
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, rest = process.communicate(timeout=60)
    passed = time.monotonic() - begun
    assert process.returncode == 130, shown + rest
    assert "native on cpu" in shown
    assert "0 epochs are saved" in rest
    assert "Traceback" not in rest
    return passed


def test_ctrl_c_during_an_epoch_ends_the_process_within_a_second(tmp_path: Path) -> None:
    # Half a second is added for the end of the interpreter, and two further tries for a busy machine.
    assert any(interrupted(tmp_path) < 1.5 for _ in range(3))


# Expanded convolutions


def test_an_expanded_convolution_is_judged_folded_and_folding_changes_no_logit(tiny: Dataset) -> None:
    layers = '"conv 3x3 6 expand=3 bias, bn, relu", { skip = ["conv 3x3 6 pad=same expand=2"] }, "gap, linear 10"'
    training = trained(everything(f"network.layers=[{layers}]", "recipe.epochs=1"), tiny, 2)
    engine = training.engine
    assert isinstance(engine, native_engine.NativeEngine)
    wide = engine._module(engine.average, engine.average_running).eval()
    images = (tiny.test.images.double() / 255 - tiny.mean[0]) / tiny.std[0]
    with torch.no_grad():
        expected = wide.double()(images)
    assert engine.model().state_dict().keys() == training.experiment.build().state_dict().keys()
    torch.testing.assert_close(engine.evaluate(tiny.test).logits.double(), expected, rtol=1e-4, atol=1e-5)


# Unsupported experiments

REFUSED = {
    **{
        word.partition(" ")[0]: ((f'network.layers=["conv 3x3 4, {word}, relu, gap, linear 10"]',), f"no {word[:2]}")
        for word in ("blurpool", "gn 2", "ln", "se 2")
    },
    "bf16": (("recipe.precision=bf16",), "bf16"),
    "int4 with expand": (
        ("recipe.precision=int4", 'network.layers=["conv 3x3 4 expand=2, relu, gap, linear 10"]'),
        "with int4, it has no convolution with expand=",
    ),
    "nadam": (('recipe.optimizer={ name = "nadam", lr = 0.01 }',), "no nadam"),
    "rmsprop": (('recipe.optimizer={ name = "rmsprop", lr = 0.01 }',), "no rmsprop"),
    "erase": (("recipe.augment={ erase = 0.1 }",), "no augmentation by erase"),
    "transforms": (("recipe.augment={ perspective = 0.2, elastic = 30 }",), "by perspective and elastic"),
    "python": (("network.python=model.py:Net",), "Python module"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_unsupported_experiment_is_refused_by_native_and_trained_by_pytorch_with_auto(
    case: str, folder: Path
) -> None:
    overrides, reason = REFUSED[case]
    experiment = load(folder / "tiny.toml", overrides)
    assert reason in str(why_unsupported(experiment, torch.device("cpu")))
    with pytest.raises(DrilldownError, match=reason) as refused:
        Training(experiment, compute=Compute(engine="native", device="cpu"))
    assert refused.value.exit_code == 2
    notices: list[str] = []
    assert Training(experiment, compute=Compute(device="cpu"), on_notice=notices.append).engine.name == "torch"
    (line,) = notices
    assert "PyTorch" in line
    assert reason in line


def test_the_settings_of_the_studies_are_supported_on_a_cpu_only() -> None:
    assert why_unsupported(everything(), torch.device("cpu")) is None
    assert "not on cuda" in str(why_unsupported(everything(), torch.device("cuda")))


def test_the_command_refuses_native_in_one_message_before_it_makes_a_folder(folder: Path) -> None:
    (override,), reason = REFUSED["python"]
    refused = drilldown("run", "tiny.toml", "--engine", "native", "--set", override, cwd=folder)
    assert refused.returncode == 2
    assert reason in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("drilldown: ")
    assert refused.stderr.count("drilldown: ") == 1
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""
    assert not (folder / "runs").exists()


def test_auto_gives_the_reason_for_pytorch_in_one_line(folder: Path) -> None:
    (override,), reason = REFUSED["gn"]
    assert reason in reason_for_pytorch(until_an_epoch_is_done(folder, "--set", override))


def test_a_network_above_the_memory_limit_is_trained_by_pytorch(tiny: Dataset) -> None:
    wide = everything('network.layers=["conv 3x3 600, bn, gap, linear 10"]', "recipe.batch_size=200")
    needed = 2 * 600 * 26 * 26 * 200 * 4  # the output of the convolution, and the gradient of the norm
    assert needed > MEMORY_LIMIT
    notices: list[str] = []
    assert Training(wide, tiny, compute=Compute(device="cpu"), on_notice=notices.append).engine.name == "torch"
    (line,) = notices
    match = re.search(r"([\d,]+) MB", line)
    assert match
    assert int(match[1].replace(",", "")) * 1e6 > needed
    with pytest.raises(DrilldownError, match="MB for this network and batch size"):
        Training(wide, tiny, compute=Compute(engine="native", device="cpu"))
    small_batches = everything('network.layers=["conv 3x3 600, bn, gap, linear 10"]', "recipe.batch_size=16")
    assert Training(small_batches, tiny, compute=Compute(engine="native", device="cpu")).engine.name == "native"
