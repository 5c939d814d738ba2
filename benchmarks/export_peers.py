"""The same trained networks as 8-bit integers by others: onnxruntime's quantize_static, and BakeNN.

BakeNN's code in C is compiled, measured and run as our own is: a file around it gives it our names. It gets pixels that
are quantised already. The memory for the image does not count, as with our own code.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import torch

from drilldown.errors import DrilldownError
from drilldown.evaluation.predictions import Predictions
from drilldown.experiment.chip import TargetName
from drilldown.export.c.compiling import compile_program, run_program
from drilldown.export.c.writing import INT8
from drilldown.export.onnx.model import INPUT
from drilldown.export.onnx.running import run_onnx
from drilldown.export.targets.building import find_toolchain, measure_sizes
from drilldown.export.targets.catalogue import target_of
from drilldown.export.targets.emulating import run_on_qemu
from drilldown.runs.run import Run

BAKENN_IMAGES = 100
"""BakeNN calculates the ranges in Python, about a second an image: it gets every tenth image of the calibration."""
QEMU_IMAGES = 100
Peer = dict[str, Any]

HEADER = """
#include <stdint.h>
#include "bknn_net.h"
enum {{ NET_CHANNELS = {0}, NET_HEIGHT = {1}, NET_WIDTH = {2}, NET_CLASSES = {3} }};
struct net {{ uint8_t arena[BKNN_NET_ARENA_SIZE] __attribute__((aligned(BKNN_NET_ARENA_ALIGNMENT))); }};
void net_run(struct net *net, const uint8_t *image, int32_t *logits);
"""
SOURCE = """
#include "net_int8.h"
#include "bknn_net_weights.c"
#include "bknn_net_kernels.c"
#include "bknn_net.c"
void net_run(struct net *net, const uint8_t *image, int32_t *logits)
{
    int8_t output[NET_CLASSES];
    bknn_net_infer(net->arena, (const int8_t *)image, output);
    for (int i = 0; i < NET_CLASSES; i++) {
        logits[i] = output[i];
    }
}
"""


class Calibration:
    """Gives onnxruntime the images that the ranges are measured with; it asks for `get_next` alone."""

    def __init__(self, images: torch.Tensor) -> None:
        self.batches: Iterator[torch.Tensor] = iter(torch.split(images, 100))

    def get_next(self) -> dict[str, object] | None:
        """The next images, as the input of the network."""
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch.numpy()}


def onnxruntime_int8(content: bytes, calibration: torch.Tensor, predictions: Predictions) -> Peer:
    """What onnxruntime's post-training quantisation makes of our float network, without and with its optimisation.

    *Arguments*: `content`: the ONNX file in floating point. `calibration`: (N, channels, height, width), uint8.
    """
    quantization = import_module("onnxruntime.quantization")
    with tempfile.TemporaryDirectory() as name:
        before, after = Path(name) / "float.onnx", Path(name) / "int8.onnx"
        before.write_bytes(content)
        quantization.quantize_static(
            before, after, Calibration(calibration), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
        )  # fmt: skip
        exact, fast = (run_onnx(after.read_bytes(), predictions.split.images, optimise=each) for each in (False, True))
    return {
        "version": metadata.version("onnxruntime"),
        **counts(exact, predictions),
        "onnx_correct": counts(fast, predictions)["correct"],
    }


def bakenn_int8(run: Run, calibration: torch.Tensor, predictions: Predictions) -> Peer:
    """What BakeNN makes of the trained network: counts, sizes, instructions; or the reason why there are none."""
    try:
        bakenn = import_module("bakenn")
    except ImportError:
        return {"missing": "not installed (see benchmarks/README.md)"}
    channels, height, width = run.experiment.image[0]
    images = predictions.split.images
    chosen = calibration[:: max(1, len(calibration) // BAKENN_IMAGES)]
    samples = [_normalised(image, run)[None] for image in chosen]
    with tempfile.TemporaryDirectory() as name:
        folder, build = Path(name) / "code", Path(name) / "build"
        build.mkdir()
        try:
            compiled = bakenn.compile_torch_ptq(run.model(), samples[0], samples, folder, name="net")
        except Exception as error:  # noqa: BLE001 - whatever stops it is the result
            return {"missing": f"it cannot compile the network ({' '.join(str(error).split())[:150]})"}
        for file in folder.glob("bknn_net*.[ch]"):  # as one file, where the compiler drops what is not used
            file.write_text(re.sub(r"(?m)^(?=(void|u?int\d+_t) bknn_\w+\()", "static ", file.read_text()))
        classes = predictions.logits.shape[1]
        (folder / f"{INT8}.h").write_text(HEADER.format(channels, height, width, classes))
        (folder / f"{INT8}.c").write_text(SOURCE)
        quantised = _quantised(bakenn, compiled.plan, run, images)
        program = compile_program(INT8, folder, build, flags=("-std=c99", "-O3"))
        logits = run_program(program, quantised, classes, is_float=False)
        chips = _on_chip("cortex-m4", folder, quantised, logits) | _on_chip("cortex-m3", folder, quantised, logits)
    return {"version": metadata.version("bakenn"), **counts(logits, predictions), **chips}


def _normalised(image: torch.Tensor, run: Run) -> torch.Tensor:
    """Pixels 0…255, (channels, height, width), as the network in floating point takes them."""
    mean, deviation = (torch.tensor(values).view(-1, 1, 1) for values in run.normalisation)
    return (image.float() / 255 - mean) / deviation


def _quantised(bakenn: Any, plan: Any, run: Run, images: torch.Tensor) -> torch.Tensor:
    """The test images in BakeNN's integers, as unsigned bytes."""
    shape = run.experiment.image[0]
    whole = [_normalised(torch.full(shape, value, dtype=torch.uint8), run) for value in range(256)]
    pixels = [bakenn.quantize_input(plan, image.permute(1, 2, 0)[None].numpy())[0, 0, 0] for image in whole]
    levels = torch.tensor([list(map(int, pixel)) for pixel in pixels], dtype=torch.int8).view(torch.uint8)
    return torch.stack([levels[:, channel][images[:, channel].long()] for channel in range(shape[0])], 1)


def _on_chip(name: TargetName, folder: Path, images: torch.Tensor, wanted: torch.Tensor) -> Peer:
    """Sizes on the Cortex-M4, and the instructions of an image; without a compiler or an emulator, nothing."""
    tools = find_toolchain(target_of(name), folder)
    machine = target_of(name).machine
    if isinstance(tools, str) or machine is None:
        return {}
    sizes = measure_sizes(tools)
    found: Peer = {}
    if name == "cortex-m4":
        found = {"constants": sizes.rodata, "code": sizes.text, "ram_rows": sizes.ram, "stack_rows": sizes.stack}
    try:
        ran = run_on_qemu(tools, machine, sizes.stack, images[:QEMU_IMAGES], wanted[:QEMU_IMAGES], ())
    except (DrilldownError, OSError) as error:
        print(f"BakeNN on {name}: {error}", file=sys.stderr)
        return found
    return found | {f"instructions_{name[-2:]}": round(ran.count), "qemu_differing": ran.differing}


def counts(logits: torch.Tensor, predictions: Predictions) -> Peer:
    """The correct test images, and the predictions that differ from the run's."""
    classes = logits.argmax(1)
    correct = int((classes == predictions.split.labels).sum())
    return {
        "correct": correct,
        "difference": correct - predictions.tally.correct,
        "flipped": int((classes != predictions.predicted).sum()),
    }
