"""The contract of the engines detects wrong arithmetic; the sanitizers find nothing."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from drilldown.data.augmentation import AugmentationDraws
from drilldown.engines.native.library import (
    SOURCES,
    _processor,
)
from drilldown.experiment.optimizers import SGD, Adam, AdamW
from drilldown.experiment.recipe import Recipe
from support.engine_networks import GAP_HEAD, WORDS, network_of
from support.engines import (
    CLASSES,
    assert_close,
    check,
    warped_gradients,
)
from support.native import (
    SWITCH,
    change,
    check_ties,
    compile_library,
    copy_sources,
    switch_flags,
    use,
    use_switched,
)


def check_all() -> None:
    """Checks one network, one recipe and one warp that use all the code in MUTATIONS."""
    recipe = Recipe(
        batch_size=8,
        optimizer=SGD(name="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.05),
        label_smoothing=0.1,
        l1=0.01,
        ema=0.9,
    )
    layers = ["conv 3x3 4, bn, relu, dropout 0.2, maxpool 2, conv 2x2 5, relu, bn", "flatten", f"linear {CLASSES}"]
    assert check("native", layers, recipe, (9, 8), batches=6) >= 3
    check_ties()
    taught = Recipe(batch_size=8, optimizer=SGD(name="sgd", lr=0.1), label_smoothing=0.1)
    assert check("native", ["conv 3x3 3, relu", *GAP_HEAD], taught, (9, 8), batches=4, taught=True) >= 2
    adam = Recipe(batch_size=8, optimizer=Adam(name="adam", lr=0.1, betas=(0.8, 0.95), eps=0.01, weight_decay=0.1))
    adamw = Recipe(batch_size=8, optimizer=AdamW(name="adamw", lr=0.1, betas=(0.8, 0.95), eps=0.01, weight_decay=0.1))
    assert check("native", ["conv 3x3 3, relu", *GAP_HEAD], adam, (9, 8), batches=4, channels=3) >= 2
    assert check("native", ["conv 3x3 3, relu", *GAP_HEAD], adamw, (9, 8), batches=4) >= 2
    for word in WORDS:
        check("native", network_of(word), adam, (9, 10), batches=3)
    int4 = Recipe(batch_size=8, optimizer=SGD(name="sgd", lr=0.1, weight_decay=0.05), precision="int4")
    assert check("native", ["conv 3x3 4 bias, relu, conv 3x3 5", *GAP_HEAD], int4, (9, 8), batches=6) >= 2
    for actual, expected in zip(*warped_gradients(turns(), "bilinear", "native"), strict=True):
        assert_close(actual, expected, "gradient", 1e-4, 1e-5)


def turns() -> AugmentationDraws:
    """Returns twenty rotations, each with a shift."""
    angle = torch.linspace(0.3, 3.0, 20)
    rows = [angle.cos(), -angle.sin(), angle * 0.7], [angle.sin(), angle.cos(), -angle]
    return AugmentationDraws(torch.stack([torch.stack(row, 1) for row in rows], 1), None)


MUTATIONS = {
    "momentum of the running statistics": ("MOMENTUM * (now - running)", "2 * MOMENTUM * (now - running)"),
    "epsilon": ("variance + EPSILON", "variance + 100 * EPSILON"),
    "unbiased variance": ("all.squares / (all.count - 1)", "all.squares / all.count"),
    "warm-up of the average": ("double(10 + step)", "double(11 + step)"),
    "nesterov": ("gradient + momentum * velocity", "gradient + momentum * gradient"),
    "l1": ("(state.weights[i] > 0) - (state.weights[i] < 0)", "(state.weights[i] < 0) - (state.weights[i] > 0)"),
    "weight decay": ("decay * state.weights[i]", "-decay * state.weights[i]"),
    "label smoothing": ("probability + §smoothing / classes§", "smoothing / (classes - 1)"),
    "probability": ("double(§shares[c]§)", "float(c == label)"),
    "loss of probabilities": ("shares[c] * §score(c)§", "score(0)"),
    "dropout's scale": ("1 / (1 - probability)", "1 / (1 + probability)"),
    "bias correction": ("1 - std::pow(recipe.squares, double(step))", "1 - std::pow(recipe.squares, double(step + 1))"),
    "epsilon of Adam": ("* root + §epsilon§", "2 * epsilon"),
    "decoupled decay": ("1 - rate * recipe.weight_decay", "1 - recipe.weight_decay"),
    "silu": ("share * (1.0f + x * (1.0f - share))", "share * (1.0f + x * share)"),
    "gelu": ("x * height * 0.39894228f", "x * height * 0.4f"),
    "hardswish": ("x * (1.0f / 3) + 0.5f", "x * (1.0f / 3) + 0.4f"),
    "leaky relu": ("x > 0.0f ? gradient : §gradient * slope§", "gradient * slope * 2.0f"),
    "learned slope": ("value > 0.0f ? V{} : value * gradient", "value * gradient"),
    "norm without a scale": ("if (§scaled§) thread[c].weight = weights[c];", "true"),
    "dropout of channels": ("§noise.next() >= threshold§ ? splat(scale_up)", "noise.next() < threshold"),
    "windows with a pad": ("std::max(0, i * stride - pad)", "std::max(0, i * stride - pad + 1)"),
    "mean with padding": ("§sum * share§);\n        }\n  }\n\n  void backward", "sum"),
    "dilation": ("(first + pad - k * dilation) / stride", "(first + pad - k) / stride"),
    "gradients of a skip": ("layer.adds = §written[layer.source]§", "false"),
    "gradients of shared weights": ("gradients[i] += twin->collected[i]", "gradients[i] = twin->collected[i]"),
    "channel": ("images.scale[c] + §images.shift[c]§", "images.shift[0]"),
    "steps of weights": ("largest / most", "largest / (most + 1)"),
    "one step for all": ("rounding.one_step ? channels * each : each", "each"),
    "first maximum": ("left = §hit ? V{} : left§", "left"),
    "first maximum behind a norm": ("gradient = §hit ? V{} : gradient§", "gradient"),
    "pixels without a window": ("§in.height % 2 || in.width % 2§)  // no window", "false"),
    "bilinear weight": ("(lower - upper) * bottom_share", "(lower - upper) * right_share"),
}
"""Expressions of the sources, and a wrong one for each. The signs § enclose the expression where its text alone is not
unique."""


@pytest.fixture(scope="module")
def mutants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with all mutations, of which a switch activates one: to compile it takes longer than all checks."""
    folder = tmp_path_factory.mktemp("mutants")
    sources = copy_sources(folder)
    for number, (old, new) in enumerate(MUTATIONS.values(), start=1):
        text = old.replace("§", "")
        counts = {file: file.read_text().count(text) for file in sources.glob("*.[ch]pp")}
        assert sum(counts.values()) == 1, f'"{text}" occurs {sum(counts.values())} times; the mutation needs another'
        before, right, after = old.split("§") if "§" in old else ("", old, "")
        either = f"({SWITCH} == {number} ? ({new}) : ({right}))"
        change(max(counts, key=lambda file: counts[file]), text, before + either + after)
    return compile_library(sources, folder / "mutants.so", "-O1", *switch_flags(folder))


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_the_contract_detects_a_wrong(name: str, mutants: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_switched(monkeypatch, mutants, 1 + list(MUTATIONS).index(name))
    with pytest.raises(AssertionError, match=r": off by|, expected"):
        check_all()


@pytest.mark.slow
def test_the_contract_holds_while_no_mutation_is_active(mutants: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_switched(monkeypatch, mutants, 0)
    check_all()


PROCESSORS = {
    "any": ("", ()),
    "AVX2": ("avx2", ("-mavx2", "-mfma")),
    "AVX-512": ("avx512f", ("-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSORS)
def test_the_library_compiles_without_warnings_and_keeps_the_contract(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a mutation, the contract holds."""
    needed, flags = PROCESSORS[name]
    if flags and platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("flags of x86-64")
    file = compile_library(SOURCES, tmp_path / "native.so", "-O1", "-Wall", "-Wextra", "-Werror", *flags)
    if needed in _processor():
        use(monkeypatch, file)
        check_all()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_emulated_arm_processor_trains_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's losses to four decimals; on Debian: g++-aarch64-linux-gnu and qemu-user-static."""
    tools = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no {', no '.join(missing)}")
    here = compile_library(SOURCES, tmp_path / "here", "-O2", "-march=native", source="driver.cpp")
    monkeypatch.setenv("CXX", tools[0])
    there = compile_library(SOURCES, tmp_path / "there", "-O2", "-static", "-Wall", "-Werror", source="driver.cpp")
    expected, actual = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        for command in ([str(here)], [tools[1], str(there)])
    )
    assert len(actual) > 50  # one line for each case, in which threads and slices were compared bit by bit
    assert actual == expected


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["address,undefined", "thread"])
def test_the_sanitizer_finds_nothing(kind: str, tmp_path: Path) -> None:
    flags = ("-O1", "-g1", "-march=native", f"-fsanitize={kind}", "-fno-sanitize-recover=all")
    (tmp_path / "nothing.cpp").write_text("int main() {}\n")
    try:
        compile_library(tmp_path, tmp_path / "nothing", *flags, source="nothing.cpp")
    except AssertionError as error:
        pytest.skip(f"the compiler has no such sanitizer: {error}")
    command = [str(compile_library(SOURCES, tmp_path / "driver", *flags, source="driver.cpp"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unexpected memory mapping" in done.stderr:  # the thread sanitizer is older than the kernel's memory layout
        command = ["setarch", platform.machine(), "-R", *command]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[:8_000]
    assert len(done.stdout.splitlines()) > 50  # a line for each case
