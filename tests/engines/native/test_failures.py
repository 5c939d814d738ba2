"""Failures in C++ become errors in Python; the process and the engine survive."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from drilldown.engines.native import library
from drilldown.experiment.optimizers import SGD
from drilldown.experiment.recipe import Recipe
from support.cli import environment
from support.engines import (
    CLASSES,
    make_dataset,
    make_engine,
    make_plan,
)
from support.native import (
    SWITCH,
    change,
    compile_library,
    copy_sources,
    switch_flags,
    use_switched,
)

LAYERS = ["conv 3x3 4, bn, relu", "conv 3x3 4, bn, relu", "flatten", f"linear {CLASSES}"]

SCARCE = f"""
import gc, resource, sys
import torch
from drilldown.engines.native.library import NativeError, EngineUnavailableError
from drilldown.experiment.recipe import Recipe
from drilldown.experiment.optimizers import SGD
from support.engines import make_dataset, make_engine, make_plan

torch.set_num_threads(1)
data, plan = make_dataset(64, (9, 9)), make_plan(torch.arange(64), [0.1])
def engine(threads, batch_size=64):
    return make_engine("native", {LAYERS}, Recipe(batch_size=batch_size, optimizer=SGD(name="sgd", lr=0.1)), data,
                       threads=threads)
def limit(more_bytes):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more_bytes, resource.RLIM_INFINITY))
def attempt(work):
    try:
        print("done:", bool(work()))
    except (NativeError, EngineUnavailableError) as error:
        print(f"{{type(error).__name__}}: {{error}}")
"""


def scarce(code):
    """Returns the lines that a process prints; in it, `limit` limits the remaining memory."""
    if sys.platform != "linux":
        pytest.skip("RLIMIT_AS and /proc are Linux's")
    done = subprocess.run(
        [sys.executable, "-c", SCARCE + code], env=environment(PYTHONPATH=os.pathsep.join(sys.path)),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("megabytes", [1, 20], ids=["no thread starts", "some threads start"])
def test_a_thread_that_does_not_start_raises_an_error_after_which_the_engine_works(megabytes):
    *failed, trained, evaluated = scarce(f"""
many = engine(threads=16)
before = many.weights.clone()
limit({megabytes} << 20)
attempt(lambda: many.train_epoch(plan))
attempt(lambda: many.evaluate(data.test))
attempt(lambda: many.library.drilldown_peak(16))
assert torch.equal(many.weights, before)
limit(1 << 30)
attempt(lambda: many.train_epoch(plan))
attempt(lambda: many.evaluate(data.test))
""")
    assert (trained, evaluated) == ("done: True", "done: True")
    assert len(failed) == 3
    for line in failed:
        assert line.startswith("NativeError: the native engine stopped: the system does not start a thread (")
        assert "fewer threads" in line


def test_too_little_memory_makes_the_engine_unavailable():
    (line,) = scarce("""
limit(100 << 20)
attempt(lambda: engine(threads=1, batch_size=100_000))
""")
    assert re.fullmatch(r"EngineUnavailableError: it would take \d+ MB for this network and batch size", line)


FAULTS = {
    "std::bad_alloc()": "the memory does not suffice",
    "std::exception()": "std::exception",
    "7": "unknown",
}
"""What a thread throws, and the reason that the user reads."""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library whose second thread throws; a switch says which fault."""
    folder = tmp_path_factory.mktemp("faulty")
    sources = copy_sources(folder)
    throws = "".join(
        f"    if (pass.thread == 1 && {SWITCH} == {number}) throw {fault};\n" for number, fault in enumerate(FAULTS)
    )
    place = "    correlate_weights(pass, tile, from + "
    change(sources / "convolution.hpp", place, throws + place)
    return compile_library(sources, folder / "faulty.so", "-O0", *switch_flags(folder))


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_an_exception_in_a_thread_becomes_an_error(fault, faulty, monkeypatch):
    use_switched(monkeypatch, faulty, list(FAULTS).index(fault))
    data = make_dataset(256, (9, 9))
    recipe = Recipe(batch_size=256, optimizer=SGD(name="sgd", lr=0.1))
    engine = make_engine("native", LAYERS, recipe, data, threads=3)
    with pytest.raises(library.NativeError, match=FAULTS[fault]):
        engine.train_epoch(make_plan(torch.arange(256).repeat(40), [0.1] * 40))
    assert engine.evaluate(data.test)
