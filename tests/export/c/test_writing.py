"""The C code gives the integers of the reference, bit by bit, and in floating point the logits of the network."""

from __future__ import annotations

import itertools
import shutil
import subprocess

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drilldown.export.c.compiling import compile_program, run_program
from drilldown.export.c.writing import write_program
from drilldown.export.quantise import quantise
from support.exports import EVERY_LAYER, HEADS, SANITIZED, STRICT, folded, int8_networks, random_images
from support.networks import CLASSES, networks

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


def logits_of(program, images, folder, *, is_float, compiler="gcc", flags=STRICT):
    folder.mkdir(exist_ok=True)
    program.write(folder)
    compiled = compile_program(program.name, folder, folder, compiler=[compiler], flags=flags)
    return run_program(compiled, images, CLASSES, is_float=is_float)


def check_int8(blocks, image, seed, folder) -> None:
    graph = folded(blocks, image, CLASSES, seed)
    images = random_images(12, image, seed)
    network = quantise(graph, images[:8])
    wanted = network.logits(images)
    for schedule in ("rows", "layers", "tight"):
        program = write_program(network, "test", schedule)
        found = logits_of(program, images, folder / schedule, is_float=False)
        assert torch.equal(found, wanted), schedule


def check_float(blocks, image, seed, folder) -> None:
    graph = folded(blocks, image, CLASSES, seed)
    images = random_images(6, image, seed)[2:]  # a norm of an image of one colour magnifies what rounding leaves
    wanted = graph.logits(images.double())
    scale = 1 + float(torch.stack([output.abs().max() for output in graph.calculate(images.double())]).max())
    for schedule in ("rows", "layers", "tight"):
        program = write_program(graph, "test", schedule)
        found = logits_of(program, images, folder / schedule, is_float=True)
        assert float((found - wanted).abs().max()) < 1e-4 * scale, schedule


few = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
many = settings(few, max_examples=120)


@pytest.mark.parametrize("head", HEADS)
def test_int8_code_gives_the_integers_of_the_reference_for_every_layer(head, tmp_path) -> None:
    check_int8([*EVERY_LAYER, head], (3, 13, 11), 1, tmp_path)


@pytest.mark.parametrize("head", HEADS[:3])
def test_float_code_gives_the_logits_for_every_layer(head, tmp_path) -> None:
    whole = ["ln, gn 2, se 2"]
    check_float([*EVERY_LAYER, *whole, head], (3, 13, 11), 1, tmp_path)


def test_rows_that_no_window_reaches_are_waited_for(tmp_path) -> None:
    """All but the first row of the image are skipped by the strides: the logits are there before the last row."""
    check_int8(["conv 1x1 2 stride=2, conv 1x1 2 stride=2", "gap, linear 4"], (1, 4, 4), 0, tmp_path)


@few
@given(int8_networks(), st.integers(0, 999))
def test_int8_code_gives_the_integers_of_the_reference(tmp_path, network, seed) -> None:
    check_int8(network[0], network[1], seed, tmp_path)


@few
@given(networks(most=6, channels=4), st.integers(0, 999))
def test_float_code_gives_the_logits(tmp_path, network, seed) -> None:
    check_float(network[0], network[1], seed, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
@many
@given(int8_networks(), st.integers(0, 999))
def test_int8_code_gives_the_integers_of_the_reference_for_many_networks(tmp_path, network, seed) -> None:
    check_int8(network[0], network[1], seed, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
@many
@given(networks(most=6, channels=4), st.integers(0, 999))
def test_float_code_gives_the_logits_of_many_networks(tmp_path, network, seed) -> None:
    check_float(network[0], network[1], seed, tmp_path)


@pytest.mark.parametrize(("compiler", "level"), [("gcc", "-O0"), ("gcc", "-Os"), ("gcc", "-O3"), ("clang", "-O2")])
def test_each_compiler_and_each_optimisation_gives_the_same_integers(compiler, level, tmp_path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    graph = folded([*EVERY_LAYER, HEADS[2]], (1, 12, 12), CLASSES)
    images = random_images(8, (1, 12, 12))
    network = quantise(graph, images)
    flags = [*(flag for flag in STRICT if not flag.startswith("-O")), level]
    program = write_program(network, "test")
    found = logits_of(program, images, tmp_path, is_float=False, compiler=compiler, flags=flags)
    assert torch.equal(found, network.logits(images))


@pytest.mark.parametrize("schedule", ["rows", "layers", "tight"])
def test_the_sanitizers_find_nothing(schedule, tmp_path) -> None:
    graph = folded([*EVERY_LAYER, HEADS[2]], (2, 12, 12), CLASSES)
    images = random_images(4, (2, 12, 12))
    network = quantise(graph, images)
    found = logits_of(write_program(network, "test", schedule), images, tmp_path, is_float=False, flags=SANITIZED)
    assert torch.equal(found, network.logits(images))
    exact = logits_of(write_program(graph, "test", schedule), images, tmp_path, is_float=True, flags=SANITIZED)
    assert torch.allclose(exact.double(), graph.logits(images.double()), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("schedule", ["rows", "layers", "tight"])
@pytest.mark.parametrize("head", HEADS[1:3])
def test_int8_code_needs_no_library(head, schedule, tmp_path) -> None:
    """Compilers replace loops that copy or clear by calls of memcpy and memset, if they may."""
    graph = folded([*EVERY_LAYER, head], (1, 12, 12), CLASSES)
    write_program(quantise(graph, random_images(4, (1, 12, 12))), "test", schedule).write(tmp_path)
    for compiler, level in itertools.product(filter(shutil.which, ("gcc", "clang")), ("-O2", "-O3", "-Os")):
        target = tmp_path / "net.o"
        command = [compiler, "-std=c99", level, "-c", str(tmp_path / "net_int8.c"), "-o", str(target)]
        subprocess.run(command, check=True)
        undefined = subprocess.run(["nm", "-u", str(target)], check=True, capture_output=True, text=True).stdout
        assert undefined.split() == [], (compiler, level)


def test_a_program_in_cpp_can_use_the_header(tmp_path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    graph = folded(["conv 3x3 4, relu", "gap, linear 4"], (1, 6, 6), CLASSES)
    write_program(quantise(graph, random_images(4, (1, 6, 6))), "test").write(tmp_path)
    (tmp_path / "main.cpp").write_text('#include "net_int8.h"\nint main() { static net n; net_start(&n); return 0; }\n')
    subprocess.run(["gcc", "-std=c99", "-c", "net_int8.c"], cwd=tmp_path, check=True)
    subprocess.run(
        ["g++", "-Wall", "-pedantic", "-Werror", "main.cpp", "net_int8.o", "-o", "main"], cwd=tmp_path, check=True
    )
    subprocess.run([str(tmp_path / "main")], check=True)
