"""What only the native engine promises: the same bits whatever the threads, an ear for Ctrl-C, and a library that
compiles itself or is done without. That its answers are right is test_engines.py's matter; that test_engines.py would
notice if they were not is shown here."""

from __future__ import annotations

import ctypes
import gc
import itertools
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import test_engines
import torch
import torch.nn.functional as F
from scipy import stats

from support.cli import drilldown, environment, start, world
from drilldown import Training, load
from drilldown.data.augmentation import AugmentationDraws
from drilldown.data.dataset import Dataset, Split
from drilldown.engines.native import engine as native_engine
from drilldown.engines.native import library
from drilldown.engines.native.engine import MEMORY_LIMIT, why_unsupported
from drilldown.engines.native.library import (
    COMPILERS,
    FLAGS,
    SOURCES,
    EngineUnavailableError,
    _compiler,
    _declared,
    _key,
    _load,
    _processor,
    load_library,
)
from drilldown.errors import DrilldownError
from drilldown.evaluation.records import Tally
from drilldown.experiment.experiment import Experiment, Recipe
from drilldown.experiment.optimizers import SGD
from drilldown.randomness import stream
from support.engines import (
    CLASSES,
    Reference,
    assert_close,
    check,
    gradients,
    make_dataset,
    make_engine,
    make_plan,
    native_mask,
)

SEED = 5
EVERYTHING = (
    'network.layers=["conv 3x3 5, bn, relu, dropout 0.1", "maxpool 2", "conv 3x3 6 pad=1, relu, bn, dropout 0.2",'
    ' "gap", "linear 10"]',
    "recipe.dataset=glyphs",
    "recipe.epochs=3",
    'recipe.optimizer={ name = "sgd", lr = 0.1, momentum = 0.9, nesterov = true, weight_decay = 1e-4 }',
    "recipe.augment={ affine = { rotate = 10, translate = 0.1, scale = [0.9, 1.1], shear = 5 }, "
    "jitter = { brightness = 0.2, contrast = 0.2 } }",
    "recipe.label_smoothing=0.1",
    "recipe.ema=0.9",
)


def everything(*overrides: str) -> Experiment:
    """Dropout, norms, augmentation, smoothing and averages at once."""
    return load("under-8k", [*EVERYTHING, *overrides])


def trained(experiment: Experiment, dataset: Dataset, threads: int) -> Training:
    training = Training(experiment, dataset, seed=SEED, engine="native", device="cpu", threads=threads)
    list(training)
    return training


def tallies(training: Training) -> list[tuple[Tally, Tally, int | None]]:
    """All of its records but the times."""
    return [(epoch.train, epoch.test, epoch.raw_test_correct) for epoch in training.epochs]


def assert_same_bits(found: Training, expected: Training) -> None:
    assert tallies(found) == tallies(expected)
    state, wanted = found.engine.state(), expected.engine.state()
    assert state.keys() == wanted.keys()
    assert any(name.startswith("average.") and name.endswith("running_var") for name in wanted)
    assert any(name.endswith("momentum_buffer") for name in wanted)
    for name in wanted:
        assert torch.equal(state[name], wanted[name]), name
    for answers, other in zip(found.final(), expected.final(), strict=True):
        assert torch.equal(answers.logits, other.logits)


# Whatever the threads, the slices and the interruptions


@pytest.mark.parametrize("size", [64, 17])
def test_one_two_and_three_threads_train_the_same_bits(size: int, tiny: Dataset) -> None:
    experiment = everything(f"recipe.batch_size={size}")  # the last batch is partial: 8 images, or 13
    one, *more = (trained(experiment, tiny, threads) for threads in (1, 2, 3))
    for other in more:
        assert_same_bits(other, one)


def test_how_often_python_gets_a_word_in_changes_no_bit(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(everything(), tiny, 2)
    monkeypatch.setattr(native_engine, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(native_engine, "EVALUATED_AT_ONCE", 7)
    assert_same_bits(trained(everything(), tiny, 2), whole)


@pytest.mark.parametrize("done", [1, 2])
def test_a_training_resumed_after_an_epoch_ends_with_the_bits_it_would_have_had(done: int, tiny: Dataset) -> None:
    uninterrupted = trained(everything(), tiny, 2)
    first = Training(everything(), tiny, seed=SEED, engine="native", device="cpu", threads=2)
    for epoch in first:
        if epoch.epoch == done:
            break
    checkpoint = first.checkpoint()
    del first
    second = Training(everything(), tiny, seed=SEED, device="cpu", threads=1, checkpoint=checkpoint)
    assert (second.engine.name, len(second.epochs)) == ("native", done)
    list(second)
    assert_same_bits(second, uninterrupted)


# Dropout. That the engine drops what `native_mask` says is part of the contract for both engines.


@pytest.mark.parametrize("probability", [0.007, 0.1, 0.5, 0.93])
def test_dropout_drops_its_share(probability: float) -> None:
    kept = native_mask(stream(SEED, "dropout", 1).initial_seed(), 3, range(2_000), (4, 5, 6), probability)
    low, high = stats.binom.interval(1 - 1e-6, kept.numel(), probability)
    assert low <= kept.numel() - int(kept.sum()) <= high


def test_dropout_falls_alike_on_every_place_and_not_in_pairs() -> None:
    zeros = (~native_mask(stream(SEED, "dropout", 1).initial_seed(), 0, range(4_000), (60,), 0.25)).double()
    low, high = stats.binom.interval(1 - 1e-6, len(zeros), 0.25)
    assert low <= zeros.sum(0).min()
    assert zeros.sum(0).max() <= high
    together = torch.corrcoef(zeros.T) - torch.eye(60)
    assert float(together.abs().max()) < 5 / len(zeros) ** 0.5


def test_epochs_layers_samples_and_seeds_drop_independently() -> None:
    samples = range(1_000)
    keys = [stream(seed, "dropout", epoch).initial_seed() for seed, epoch in ((0, 1), (0, 2), (1, 1))]
    masks = [native_mask(key, layer, samples, (40,), 0.5) for key in keys for layer in (0, 1, 2, 40)]
    # A neighbour in the batch is compared as well: the same mask, moved by one sample.
    masks += [masks[0].roll(1, 0)]
    together = torch.corrcoef(torch.stack([mask.flatten().double() for mask in masks])) - torch.eye(len(masks))
    assert float(together.abs().max()) < 5 / masks[0].numel() ** 0.5


def test_a_sample_is_dropped_from_by_its_place_in_the_epoch_whatever_the_batches() -> None:
    """At a learning rate of 0 the epoch's loss is that of the first weights, under the epoch's masks."""
    layers, dataset, epoch = ["flatten", "dropout 0.5", f"linear {CLASSES}"], make_dataset(100, (6, 7)), 4
    rows = torch.randperm(100, generator=stream(0, "order", epoch))
    losses = []
    for size in (1, 16, 17, 64, 100):
        engine = make_engine("native", layers, Recipe(batch_size=size, optimizer=SGD(name="sgd", lr=0.1)), dataset)
        losses.append(engine.train_epoch(make_plan(rows, [0.0] * -(-100 // size), epoch)).loss)
    mask = native_mask(stream(0, "dropout", epoch).initial_seed(), 1, range(100), (42,), 0.5)
    inputs = (dataset.train.images[rows].flatten(1).double() / 255 - dataset.mean) / dataset.std
    linear = engine.model()[-1].double()  # type: ignore[index]
    with torch.no_grad():
        expected = F.cross_entropy(linear(inputs * mask * 2), dataset.train.labels[rows])
    assert losses[0] == pytest.approx(float(expected), rel=1e-5)
    assert losses == pytest.approx([losses[0]] * len(losses), rel=1e-12)  # only the order of adding up differs


# The first of equal maxima


def check_ties() -> None:
    """Images of blocks, of which each pooling window sees one, through kernels that pass on only the middle: four
    equal values a window, and yet another gradient of the kernel for each that may be chosen."""
    blocks, labels = make_dataset(12, (4, 5)).train.images, make_dataset(12, (4, 5)).train.labels
    split = Split(torch.from_numpy(np.kron(blocks.numpy(), np.ones((1, 2, 2), np.uint8))), labels)
    dataset = Dataset("blocks", split, split, CLASSES, 0.45, 0.3, "blocks")
    layers = ["conv 3x3 3 pad=1", "maxpool 2", "flatten", f"linear {CLASSES}"]
    recipe = Recipe(batch_size=12, optimizer=SGD(name="sgd", lr=0.1))
    engine = make_engine("native", layers, recipe, dataset)
    state = engine.state()
    kernels = state["network.conv1.weight"]
    middle = kernels[:, :, 1, 1].clone()
    kernels.zero_()[:, :, 1, 1] = middle
    engine.restore(state)
    reference = Reference(layers, recipe, dataset, engine.model())
    engine.train_epoch(make_plan(torch.arange(12), [0.1]))
    reference.step(torch.arange(12), 0.1)
    for got, (name, parameter) in zip(gradients(engine), reference.module.named_parameters(), strict=True):
        assert parameter.grad is not None
        assert_close(got, parameter.grad, name)


def test_the_first_of_equal_maxima_gets_the_gradient_as_in_pytorch() -> None:
    check_ties()


# Python meanwhile


def test_python_goes_on_while_the_engine_trains_and_evaluates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_engine, "SLICE_SECONDS", 60.0)  # the whole epoch in one call
    dataset = make_dataset(3_000, (28, 28))
    layers = ["conv 3x3 8, bn, relu, conv 3x3 8, bn, relu, gap", f"linear {CLASSES}"]
    engine = make_engine("native", layers, Recipe(batch_size=100), dataset, threads=1)
    seen: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.001):
            seen.append(time.perf_counter())

    other = threading.Thread(target=look)
    other.start()
    begun = time.perf_counter()
    engine.train_epoch(make_plan(torch.arange(3_000), [0.01] * 30))
    between = time.perf_counter()
    engine.evaluate(dataset.test)
    ended = time.perf_counter()
    over.set()
    other.join()
    for first, last in ((begun, between), (between, ended)):
        moments = [first, *(moment for moment in seen if first < moment < last), last]
        longest = max(b - a for a, b in itertools.pairwise(moments))
        assert longest < (last - first) / 2


def interrupted(folder: Path) -> float:
    """Seconds from a Ctrl-C in the middle of an epoch of some ten seconds to the end of the process."""
    layers = '["conv 3x3 16, bn, relu, conv 3x3 48, bn, relu, conv 3x3 48, bn, relu", "gap", "linear 10"]'
    process = start(
        "run", "under-8k", "--set", "recipe.dataset=glyphs", "--set", f"network.layers={layers}", cwd=folder
    )
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if "test loss" in line:  # the table's head: training begins
            break
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, rest = process.communicate(timeout=60)
    passed = time.monotonic() - begun
    assert process.returncode == 130, seen + rest
    assert "native on cpu" in seen
    assert "0 epochs are saved" in rest
    assert "Traceback" not in rest
    return passed


def test_ctrl_c_in_the_middle_of_an_epoch_is_answered_within_a_second(tmp_path: Path) -> None:
    # Half a second more is for taking leave of the interpreter; another try, for a machine that is busy with others.
    assert any(interrupted(tmp_path) < 1.5 for _ in range(3))


# What it cannot do

REFUSED = {
    "adam": (('recipe.optimizer={ name = "adam", lr = 0.01 }',), "no adam"),
    "adamw": (('recipe.optimizer={ name = "adamw", lr = 0.01 }',), "no adamw"),
    "bf16": (("recipe.precision=bf16",), "bf16"),
    "pad": (('network.layers=["conv 3x3 4 pad=3, relu, gap, linear 10"]',), "conv1 pads"),
    "python": (("network.python=model.py:Net",), "Python module"),
}
MODULE = """\
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an experiment, its data and a module."""
    world(tmp_path, epochs=1)
    (tmp_path / "model.py").write_text(MODULE)
    return tmp_path


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_train_is_refused_with_the_reason_and_left_to_pytorch_by_auto(case: str, place: Path) -> None:
    overrides, reason = REFUSED[case]
    experiment = load(place / "tiny.toml", overrides)
    assert reason in str(why_unsupported(experiment, torch.device("cpu")))
    with pytest.raises(DrilldownError, match=reason) as refused:
        Training(experiment, engine="native", device="cpu")
    assert refused.value.exit_code == 2
    said: list[str] = []
    assert Training(experiment, device="cpu", notice=said.append).engine.name == "torch"
    (line,) = said
    assert "PyTorch" in line
    assert reason in line


def test_what_the_studies_use_it_can_train_on_a_cpu_and_not_on_another_device() -> None:
    assert why_unsupported(everything(), torch.device("cpu")) is None
    assert "not on cuda" in str(why_unsupported(everything(), torch.device("cuda")))


def test_asked_for_by_name_it_refuses_in_one_message_before_a_folder_is_made(place: Path) -> None:
    (override,), reason = REFUSED["python"]
    refused = drilldown("run", "tiny.toml", "--engine", "native", "--set", override, cwd=place)
    assert refused.returncode == 2
    assert reason in refused.stderr
    assert refused.stderr.startswith("drilldown: ")
    assert refused.stderr.count("drilldown: ") == 1
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""
    assert not (place / "runs").exists()


def reason_for_pytorch(said: str) -> str:
    """The one line of standard error that says why PyTorch trains."""
    assert "Traceback" not in said
    assert "torch on cpu" in said
    (line,) = (line for line in said.splitlines() if "PyTorch" in line)
    return line


def until_an_epoch_is_done(place: Path, *arguments: str, **env: str) -> str:
    """What a run says up to there; the rest, a report with figures, takes longer than the training."""
    process = start("run", "tiny.toml", *arguments, cwd=place, **env)
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if line.strip().startswith("1 "):
            break
    process.kill()
    process.communicate()
    return seen


def test_auto_trains_with_pytorch_what_it_cannot_and_says_why_in_a_line(place: Path) -> None:
    (override,), reason = REFUSED["adamw"]
    assert reason in reason_for_pytorch(until_an_epoch_is_done(place, "--set", override))


def test_a_network_too_large_for_its_memory_is_left_to_pytorch(tiny: Dataset) -> None:
    wide = everything('network.layers=["conv 3x3 600, gap, linear 10"]', "recipe.batch_size=200")
    needed = 2 * 600 * 26 * 26 * 200 * 4  # the first layer's output and its gradient
    assert needed > MEMORY_LIMIT
    said: list[str] = []
    assert Training(wide, tiny, device="cpu", notice=said.append).engine.name == "torch"
    (line,) = said
    found = re.search(r"([\d,]+) MB", line)
    assert found
    assert int(found[1].replace(",", "")) * 1e6 > needed
    with pytest.raises(DrilldownError, match="MB for this network and batch size"):
        Training(wide, tiny, engine="native", device="cpu")
    small_batches = everything('network.layers=["conv 3x3 600, gap, linear 10"]', "recipe.batch_size=16")
    assert Training(small_batches, tiny, engine="native", device="cpu").engine.name == "native"


# The library


def script(file: Path, *lines: str) -> Path:
    file.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    file.chmod(0o755)
    return file


def test_without_a_compiler_auto_trains_with_pytorch_and_says_so(place: Path) -> None:
    done = drilldown("run", "tiny.toml", cwd=place, CXX="/nowhere/c++")
    assert done.returncode == 0, done.stderr
    assert "no C++ compiler was found (/nowhere/c++)" in reason_for_pytorch(done.stderr)


def test_a_path_without_a_compiler_names_those_that_were_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(EngineUnavailableError, match=re.escape(", ".join(COMPILERS))):
        _load(None)


def test_whoever_is_told_of_the_compiling_is_not_kept() -> None:
    class Told:
        def notice(self, text: str) -> None: ...

    told = Told()
    load_library(told.notice)
    seen = weakref.ref(told)
    del told
    gc.collect()
    assert seen() is None
    assert load_library() is load_library(lambda _: None)


def test_where_the_compiler_fails_auto_trains_with_pytorch_and_passes_on_its_error(place: Path) -> None:
    broken = script(place / "c++", "echo 'In file included from' >&2", "echo 'x.hpp:1: error: alas' >&2", "exit 1")
    line = reason_for_pytorch(until_an_epoch_is_done(place, CXX=str(broken)))
    assert str(broken) in line
    assert "x.hpp:1: error: alas" in line


@pytest.fixture
def small_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source that has all functions of the library and compiles in no time, and a cache that is empty.

    Finding, compiling, sharing and loading a library are the same whatever is in it.
    """
    folder = tmp_path / "sources"
    folder.mkdir()
    names = sorted(set(re.findall(r"drilldown_\w+", (SOURCES / "native.cpp").read_text())))
    functions = (f'extern "C" __attribute__((visibility("default"))) int {name}() {{ return 1; }}' for name in names)
    (folder / "native.cpp").write_text("\n".join(functions) + "\n")
    shutil.copy(library.__file__, folder)  # for another process: it looks for the sources beside itself
    monkeypatch.setattr(library, "SOURCES", folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def cache(small_sources: Path, tmp_path: Path) -> Path:
    """The folder that libraries are kept in."""
    assert small_sources.is_dir()
    if sys.platform != "linux":
        pytest.skip("XDG_CACHE_HOME moves the cache on Linux only")
    return tmp_path / "cache" / "drilldown" / "native"


def notices() -> list[str]:
    """What a load of the library has to say; it must end in a library that works."""
    said: list[str] = []
    assert _load(said.append).drilldown_lanes() == 1
    return said


def libraries(cache: Path) -> list[Path]:
    """All that is in the cache but the locks."""
    return sorted(file for file in cache.iterdir() if file.suffix != ".lock")


def test_it_is_compiled_once_and_then_taken_from_the_cache(cache: Path) -> None:
    assert len(notices()) == 1
    (compiled,) = libraries(cache)
    written = compiled.stat().st_mtime_ns
    assert notices() == []
    assert libraries(cache) == [compiled]
    assert compiled.stat().st_mtime_ns == written


def other_process(small_sources: Path, **env: str) -> subprocess.Popen[str]:
    """Says that it is ready, waits for a line, loads the library and prints what it answers."""
    code = "import library; print('ready', flush=True); input(); print(library.load().drilldown_lanes())"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=small_sources, env=environment(**env), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_two_processes_at_once_compile_once(small_sources: Path, cache: Path, tmp_path: Path) -> None:
    (compiler, *_), log = _compiler(), tmp_path / "log"
    slow = script(
        tmp_path / "slow-c++",
        f'case "$*" in *--version*) ;; *) echo compiling >> "{log}"; sleep 1 ;; esac', f'exec "{compiler}" "$@"',
    )  # fmt: skip
    racers = [other_process(small_sources, CXX=str(slow)) for _ in range(2)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    assert [racer.communicate(timeout=60) for racer in racers] == [("1\n", "")] * 2
    assert log.read_text().splitlines() == ["compiling"]
    assert len(libraries(cache)) == 1


@pytest.fixture
def read_only(cache: Path) -> Iterator[Callable[[], None]]:
    """Takes away the right to write to the cache (from all but root)."""
    yield lambda: cache.chmod(0o555)
    cache.chmod(0o755)


def test_a_cache_that_cannot_be_written_to_is_read_from(cache: Path, read_only: Callable[[], None]) -> None:
    notices()
    for lock in cache.glob("*.lock"):
        lock.unlink()
    read_only()
    assert notices() == []
    assert list(cache.glob("*.lock")) == []


@pytest.mark.parametrize("taken", ["native", "drilldown", "cache"])
def test_where_there_can_be_no_cache_it_is_compiled_all_the_same(taken: str, cache: Path) -> None:
    blocked = next(folder for folder in (cache, *cache.parents) if folder.name == taken)
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file where a folder should be")
    assert len(notices()) == 1
    assert blocked.is_file()


@pytest.mark.parametrize("share", [0, 0.01, 0.5])
def test_a_library_cut_short_in_the_cache_is_not_trusted(share: float, small_sources: Path, cache: Path) -> None:
    """As after a power cut. Loading one that lacks its end may well kill the process, so it is another that tries."""
    notices()
    (compiled,) = libraries(cache)
    os.truncate(compiled, int(share * compiled.stat().st_size))
    tried = other_process(small_sources)
    said, errors = tried.communicate("go\n", timeout=60)
    assert (tried.returncode, said) == (0, "ready\n1\n"), errors


def test_a_compiler_whose_libraries_do_not_load_counts_as_none(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for another processor, or nothing but folders from which nothing may be executed."""
    foreign = script(
        tmp_path / "foreign-c++", 'while [ $# -gt 0 ]; do [ "$1" = -o ] && echo foreign > "$2"; shift; done', "exit 0"
    )
    monkeypatch.setenv("CXX", str(foreign))
    with pytest.raises(EngineUnavailableError):
        _load(None)
    assert not list(cache.glob("*.partial"))


def test_a_compilation_that_fails_leaves_nothing_in_the_cache(
    cache: Path, small_sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "SOURCES", small_sources)
    (small_sources / "native.cpp").write_text("#error not like this\n")
    with pytest.raises(EngineUnavailableError, match="not like this"):
        _load(None)
    assert libraries(cache) == []


def test_the_key_changes_with_whatever_the_library_depends_on(
    small_sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = script(tmp_path / "c++", "echo version 1")
    keys = [_key([str(compiler)])]

    def changed() -> bool:
        keys.append(_key([str(compiler)]))
        return keys[-1] not in keys[:-1]

    assert not changed()
    (small_sources / "notes.txt").write_text("no source")
    assert not changed()
    (small_sources / "native.cpp").write_text("int changed;\n")
    assert changed()
    (small_sources / "more.hpp").write_text("")
    assert changed()
    (small_sources / "more.hpp").rename(small_sources / "renamed.hpp")
    assert changed()
    monkeypatch.setattr(library, "FLAGS", (*FLAGS, "-g"))
    assert changed()
    monkeypatch.setattr(library, "_processor", lambda: "another processor")
    assert changed()
    script(compiler, "echo version 2")
    assert changed()
    compiler = compiler.rename(tmp_path / "g++")
    assert changed()


# That the contract notices


def compiled(sources: Path, target: Path, *flags: str, source: str = "native.cpp") -> Path:
    """The library, or the driver, as it is shipped but for what is said of optimisation and processor."""
    shipped = [flag for flag in FLAGS if not flag.startswith(("-O", "-march", "-mcpu"))]
    if source != "native.cpp":
        shipped.remove("-shared")
    done = subprocess.run(
        [*_compiler(), *shipped, *flags, str(sources / source), "-o", str(target)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return target


def use(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Makes this library the one that engines load."""
    mine = _declared(ctypes.CDLL(str(file)))
    monkeypatch.setattr(library, "load", lambda _=None: mine)


def check_all() -> None:
    """One network, one recipe and one warp in which all that is mutated below plays a part."""
    recipe = Recipe(
        batch_size=8,
        optimizer=SGD(name="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.05),
        label_smoothing=0.1,
        ema=0.9,
    )
    layers = ["conv 3x3 4, bn, relu, dropout 0.2, maxpool 2, conv 2x2 5, relu, bn", "flatten", f"linear {CLASSES}"]
    assert check("native", layers, recipe, (9, 8), batches=6) >= 3
    check_ties()
    for found, expected in zip(*test_engines._warped(turns(), "bilinear", "native"), strict=True):
        assert_close(found, expected, "gradient", 1e-4, 1e-5)


def turns() -> AugmentationDraws:
    """Twenty turns, with a shift each."""
    angle = torch.linspace(0.3, 3.0, 20)
    rows = [angle.cos(), -angle.sin(), angle * 0.7], [angle.sin(), angle.cos(), -angle]
    return AugmentationDraws(torch.stack([torch.stack(row, 1) for row in rows], 1), None)


MUTATIONS = {
    "momentum of the running statistics": ("MOMENTUM = 0.1f", "MOMENTUM = 0.2f"),
    "epsilon": ("EPSILON = 1e-5f", "EPSILON = 1e-3f"),
    "unbiased variance": ("all.squares / (all.count - 1)", "all.squares / all.count"),
    "warm-up of the average": ("double(10 + step)", "double(11 + step)"),
    "nesterov": ("gradient + momentum * velocity", "gradient + momentum * gradient"),
    "weight decay": ("+ decay * state.weights[i]", "- decay * state.weights[i]"),
    "label smoothing": ("(c == label) + smoothing / classes", "(c == label) + smoothing / (classes - 1)"),
    "dropout's scale": ("float(1 / (1 - probability))", "float(1 / (1 + probability))"),
    "first maximum": ("left = hit ? V{} : left", "left = hit ? left : left"),
    "bilinear weight": ("(lower - upper) * bottom_share", "(lower - upper) * right_share"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_the_contract_notices_another(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = Path(shutil.copytree(SOURCES, tmp_path / "sources"))
    old, new = MUTATIONS[name]
    found = {file: file.read_text().count(old) for file in sources.glob("*.[ch]pp")}
    assert sum(found.values()) == 1, f'"{old}" occurs {sum(found.values())} times; the mutation needs another text'
    file = max(found, key=lambda file: found[file])
    file.write_text(file.read_text().replace(old, new))
    use(monkeypatch, compiled(sources, tmp_path / "mutant.so", "-O1"))
    with pytest.raises(AssertionError, match=r": off by|, expected"):
        check_all()


PROCESSORS = {
    "any": ("", ()),
    "AVX2": ("avx2", ("-mavx2", "-mfma")),
    "AVX-512": ("avx512f", ("-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSORS)
def test_it_compiles_without_a_warning_and_keeps_the_contract_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so what is noticed above is noticed for its own sake."""
    needed, flags = PROCESSORS[name]
    if flags and platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("flags of x86-64")
    file = compiled(SOURCES, tmp_path / "native.so", "-O1", "-Wall", "-Wextra", "-Werror", *flags)
    if needed in _processor():
        use(monkeypatch, file)
        check_all()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_an_emulated_arm_processor_it_trains_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's losses to four decimals; on Debian: g++-aarch64-linux-gnu and qemu-user-static."""
    tools = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no {', no '.join(missing)}")
    here = compiled(SOURCES, tmp_path / "here", "-O2", "-march=native", source="driver.cpp")
    monkeypatch.setenv("CXX", tools[0])
    there = compiled(SOURCES, tmp_path / "there", "-O2", "-static", "-Wall", "-Werror", source="driver.cpp")
    expected, found = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        for command in ([str(here)], [tools[1], str(there)])
    )
    assert len(found) > 50  # a line for each case, in which threads and slices have been compared bit by bit
    assert found == expected


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["address,undefined", "thread"])
def test_nothing_is_found_by_the_sanitizer_of(kind: str, tmp_path: Path) -> None:
    flags = ("-O1", "-g1", "-march=native", f"-fsanitize={kind}", "-fno-sanitize-recover=all")
    (tmp_path / "nothing.cpp").write_text("int main() {}\n")
    try:
        compiled(tmp_path, tmp_path / "nothing", *flags, source="nothing.cpp")
    except AssertionError as error:
        pytest.skip(f"the compiler comes without: {error}")
    command = [str(compiled(SOURCES, tmp_path / "driver", *flags, source="driver.cpp"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unexpected memory mapping" in done.stderr:  # of a thread sanitizer older than the kernel's way to place things
        command = ["setarch", platform.machine(), "-R", *command]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[:8_000]
    assert len(done.stdout.splitlines()) > 50  # a line for each case
