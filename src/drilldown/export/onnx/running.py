"""Runs ONNX models with onnxruntime, on the CPU."""

from __future__ import annotations

import torch

from drilldown.export.onnx.model import INPUT, need

BATCH = 500


def run_onnx(content: bytes, images: torch.Tensor, *, optimise: bool) -> torch.Tensor:
    """The logits that onnxruntime gives, (N, classes), float32.

    *Arguments*: `content`: the model's file. `images`: (N, channels, height, width), uint8. `optimise`: whether
    onnxruntime may join nodes and calculate with integers.

    *Raises* DrilldownError where the package onnxruntime is not installed.
    """
    runtime = need("onnxruntime")
    options = runtime.SessionOptions()
    levels = runtime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning threads slow a busy machine
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    batches = [session.run(None, {INPUT: batch.numpy()})[0] for batch in torch.split(images, BATCH)]
    return torch.cat([torch.from_numpy(batch) for batch in batches])
