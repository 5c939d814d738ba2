"""What the tests of the native engine share: an experiment with everything, compiled libraries, stubs."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from drilldown import load
from drilldown.data.dataset import Dataset, Split
from drilldown.engines.native import engine as native_engine
from drilldown.engines.native import library
from drilldown.engines.native.library import (
    FLAGS,
    SOURCES,
    _compiler,
    _declared,
)
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.optimizers import SGD
from drilldown.experiment.recipe import Recipe
from support.cli import start
from support.engines import (
    CLASSES,
    Reference,
    assert_close,
    gradients,
    make_dataset,
    make_engine,
    make_plan,
)

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


def check_ties() -> None:
    """Images of blocks, of which each pooling window sees one, through kernels that pass on only the middle: four
    equal values a window, and yet another gradient of the kernel for each that may be chosen."""
    blocks, labels = make_dataset(12, (4, 5)).train.images, make_dataset(12, (4, 5)).train.labels
    split = Split(torch.from_numpy(np.kron(blocks.numpy(), np.ones((1, 1, 2, 2), np.uint8))), labels)
    dataset = Dataset("blocks", split, split, CLASSES, (0.45,), (0.3,), "blocks")
    recipe = Recipe(batch_size=12, optimizer=SGD(name="sgd", lr=0.1))
    for pool in ("maxpool 2", "bn, maxpool 2"):
        layers = ["conv 3x3 3 pad=1", pool, "flatten", f"linear {CLASSES}"]
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


def script(file: Path, *lines: str) -> Path:
    file.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    file.chmod(0o755)
    return file


def compile_library(sources: Path, target: Path, *flags: str, source: str = "native.cpp") -> Path:
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


def use(monkeypatch: pytest.MonkeyPatch, file: Path) -> ctypes.CDLL:
    """Makes this library the one that engines load; returns it."""
    mine = _declared(ctypes.CDLL(str(file)))
    monkeypatch.setattr(native_engine, "load_library", lambda _=None: mine)
    return mine


def reason_for_pytorch(said: str) -> str:
    """The one line that says why PyTorch trains."""
    assert "Traceback" not in said
    assert "torch on cpu" in said
    (line,) = (line for line in said.splitlines() if "PyTorch" in line)
    return line


def until_an_epoch_is_done(folder: Path, *arguments: str, **env: str) -> str:
    """What a run says up to there; the rest, a report with figures, takes longer than the training."""
    process = start("run", "tiny.toml", *arguments, cwd=folder, **env)
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if line.strip().startswith("1 "):
            break
    process.kill()
    _, notices = process.communicate()
    return notices + seen


SIZES = tuple(map(ctypes.sizeof, library.STRUCTURES))


def write_stub(folder: Path, sizes: tuple[int, ...] = SIZES, without: str = "") -> Path:
    """Writes a source with all functions of the library but `without`; it compiles in no time."""
    names = set(re.findall(r"drilldown_\w+", (SOURCES / "native.cpp").read_text("utf-8"))) - {without}
    bodies = {"drilldown_size": f"int sizes[] = {{{', '.join(map(str, sizes))}}}; return sizes[i];"}
    functions = (f"PUBLIC int {name}(int i) {{ {bodies.get(name, 'return 1;')} }}" for name in sorted(names))
    public = '#define PUBLIC extern "C" __attribute__((visibility("default")))'
    folder.mkdir()
    (folder / "native.cpp").write_text("\n".join([public, *functions]) + "\n")
    return folder


def copy_sources(folder: Path) -> Path:
    """Copies the sources of the library, to be changed; returns their folder."""
    return Path(shutil.copytree(SOURCES, folder / "sources"))


def change(file: Path, old: str, new: str) -> None:
    """Replaces `old`, which must occur once in the file."""
    text = file.read_text("utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), "utf-8")


SWITCH = "drilldown_switch"
"""A number in a library of changed sources: which of the changes is active. So one compilation is enough for all."""


def switch_flags(folder: Path) -> tuple[str, str]:
    """The flags of the compiler that declare the switch for all sources."""
    file = folder / "switch.hpp"
    file.write_text(f'extern "C" __attribute__((visibility("default"))) int {SWITCH} = 0;\n')
    return "-include", str(file)


def use_switched(monkeypatch: pytest.MonkeyPatch, file: Path, number: int) -> None:
    """Makes this library the one that engines load, with this number in its switch."""
    ctypes.c_int.in_dll(use(monkeypatch, file), SWITCH).value = number
