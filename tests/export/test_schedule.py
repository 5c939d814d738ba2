"""The memory of both schedules: as little as the windows allow, and no tensor over another that is still needed."""

from __future__ import annotations

import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.export.c.operations import operations_of, plan_memory
from drilldown.export.c.writing import write_program
from drilldown.export.quantise import quantise
from support.exports import compile_and_run, folded, random_images
from support.networks import CLASSES, networks

FLAGSHIP = ["conv 3x3 8, bn, relu", "conv 3x3 8, bn, relu", "maxpool 2", "conv 3x3 12, bn, relu",
            "conv 3x3 14, bn, relu", "conv 3x3 16, bn, relu", "conv 3x3 16, bn, relu", "gap", "linear 10"]  # fmt: skip


def test_rows_keeps_as_many_rows_as_the_windows_have() -> None:
    graph = folded(FLAGSHIP, (1, 28, 28), 10)
    network = quantise(graph, random_images(4, (1, 28, 28)))
    operations = operations_of(network)
    memory = plan_memory("rows", network.image, operations, is_float=False)
    # Each 3x3 window needs three rows; the mean needs one, and its sums lie elsewhere, as the logits do.
    assert [memory.image.capacity, *(buffer.capacity for buffer in memory.buffers)] == [3, 3, 3, 3, 3, 3, 1, 1, 1]
    rows = [28 * 3, 26 * 8 * 3, 12 * 8 * 3, 10 * 12 * 3, 8 * 14 * 3, 6 * 16 * 3, 4 * 16]
    assert memory.size == sum(rows)
    program = write_program(network, "flagship")
    counters, sums = 9, 16 * 4
    assert program.ram == -(-(sum(rows) + counters + sums) // 4) * 4
    weights = 8 * 9 + 8 * 72 + 12 * 72 + 14 * 108 + 16 * 126 + 16 * 144 + 160
    channels = 8 + 8 + 12 + 14 + 16 + 16
    assert program.constants == weights + 4 * (channels + 10) + 2 * channels


def test_tight_keeps_a_row_less_of_each_window_and_shares_the_newest_ones() -> None:
    graph = folded(FLAGSHIP, (1, 28, 28), 10)
    operations = operations_of(quantise(graph, random_images(4, (1, 28, 28))))
    memory = plan_memory("tight", graph.image, operations, is_float=False)
    # A row of conv2 is written in two turns, because of the maxpool: it cannot be shared. conv6 goes into sums at once.
    assert [memory.image.capacity, *(buffer.capacity for buffer in memory.buffers)][:7] == [2, 2, 3, 2, 2, 2, 0]
    rows = 28 * 2 + 26 * 8 * 2 + 12 * 8 * 3 + 10 * 12 * 2 + 8 * 14 * 2 + 6 * 16 * 2
    newest = max(28 + 26 * 8, 10 * 12 + 8 * 14, 8 * 14 + 6 * 16, 6 * 16 + 4 * 16)  # of a step's input and its output
    assert memory.size == rows + newest


def test_a_skip_keeps_the_rows_that_its_sum_waits_for() -> None:
    graph = folded([{"skip": ["conv 3x3 2 pad=same, relu", "conv 3x3 2 pad=same"]}, "gap, linear 4"], (2, 9, 9), 4)
    operations = operations_of(graph)
    memory = plan_memory("rows", graph.image, operations, is_float=True)
    # The sum gets row y when row y + 2 of the image has arrived: two rows later than the image itself.
    assert memory.image.capacity == 3
    assert [operation.kind for operation in operations] == ["conv", "conv", "conv", "add", "gap", "conv"]


@settings(max_examples=60, deadline=None)
@given(network=networks(most=6))
def test_no_tensor_lies_over_one_that_is_still_needed(network) -> None:
    blocks, image = network
    graph = folded(blocks, image, CLASSES)
    operations = operations_of(graph)
    memory = plan_memory("layers", image, operations, is_float=True)
    places = {-1: memory.image, **dict(enumerate(memory.buffers))}
    sizes = {-1: image[0] * image[1] * image[2]}
    sizes |= {index: torch.Size(operation.output).numel() for index, operation in enumerate(operations)}
    last = {source: index for index, operation in enumerate(operations) for source in operation.sources}
    for index, operation in enumerate(operations):
        mine = range(places[index].offset, places[index].offset + sizes[index])
        assert mine.stop <= memory.size
        for source in sizes:  # all that a step at this time, or a later one, still reads
            if source < index and last.get(source, -2) >= index:
                other = range(places[source].offset, places[source].offset + sizes[source])
                assert mine.stop <= other.start or other.stop <= mine.start, (operation.name, source)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize("schedule", ["rows", "layers", "tight"])
def test_the_memory_is_that_of_the_compiled_structure(schedule, tmp_path) -> None:
    graph = folded(FLAGSHIP, (1, 28, 28), 10)
    network = quantise(graph, random_images(4, (1, 28, 28)))
    program = write_program(network, "flagship", schedule)
    main = (
        '#include "net_int8.h"\n#include <stdio.h>\nint main(void) { return !printf("%d", (int)sizeof(struct net)); }\n'
    )
    found = int(compile_and_run(program, main, tmp_path))
    pointers = 4 + 8 if schedule == "layers" else 0  # here they have 8 bytes, and the structure's size is a multiple
    assert program.ram <= found <= program.ram + pointers


@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_a_window_of_any_stride_and_padding_needs_no_more_than_its_rows(kernel, stride, pad) -> None:
    blocks = [f"conv 3x3 2 pad=1, relu, conv {kernel}x{kernel} 2 stride={stride} pad={pad}, relu", "gap, linear 4"]
    graph = folded(blocks, (1, 17, 5 + kernel), 4)
    memory = plan_memory("rows", graph.image, operations_of(graph), is_float=True)
    assert memory.buffers[0].capacity <= max(kernel, 1)
