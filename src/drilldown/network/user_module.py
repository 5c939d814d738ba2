"""Networks in a user's own Python file: `python = "model.py:Net"`."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from drilldown.errors import DrilldownError, Problem, did_you_mean
from drilldown.network.layers import Shape
from drilldown.network.layout import check_parameter_count, evaluation_mode, shape_text
from drilldown.trust import check_trust

KEY = "network.python"
"""The key of an experiment file that names the module."""


def build_user_network(reference: str, folder: Path, image: Shape, classes: int) -> nn.Module:
    """Makes the module that `FILE:CLASS` names, without arguments, and tries it with two blank images.

    *Arguments*: `reference`: `FILE:CLASS`. `folder`: the folder of the file. `image`: (channels, height, width).
    `classes`: the number of classes.

    *Raises* DrilldownError where the file or the class is missing or fails, or where the output has a wrong shape.
    """
    name, _, attribute = reference.partition(":")
    file = folder / name
    factory = getattr(load_python_file(file), attribute, None)
    if factory is None:
        names = [key for key in vars(load_python_file(file)) if not key.startswith("_")]
        raise DrilldownError(
            Problem(
                file=file,
                place=KEY,
                found=f'there is no "{attribute}"',
                suggestion=did_you_mean(attribute, names),
            )
        )
    try:
        network = factory()
    except (Exception, SystemExit) as error:
        raise DrilldownError(_user_code_problem(file, f"{attribute}() failed", error)) from error
    if not isinstance(network, nn.Module):
        raise DrilldownError(
            Problem(
                file=file,
                place=KEY,
                found=f"{attribute}() returns {type(network).__name__}",
                expected="a torch.nn.Module",
            )
        )
    try:
        check_parameter_count(sum(p.numel() for p in network.parameters() if p.requires_grad))
    except DrilldownError as error:
        raise DrilldownError(*(replace(problem, file=file, place=KEY) for problem in error.problems)) from None
    try:
        with torch.no_grad(), evaluation_mode(network):
            logits = network(torch.zeros(2, *image))
    except (Exception, SystemExit) as error:
        raise DrilldownError(_user_code_problem(file, f"fails on an image of {shape_text(image)}", error)) from error
    shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else None
    if shape != (2, classes):
        found = f"an output of {shape_text(shape)}" if shape else f"an output of type {type(logits).__name__}"
        raise DrilldownError(
            Problem(
                file=file,
                place=KEY,
                found=f"{found} for 2 images",
                expected=f"2x{classes}: one logit per class",
            )
        )
    return network


def load_python_file(file: Path) -> ModuleType:
    """Runs a Python file as a module with a special name; raises DrilldownError where that fails."""
    if not os.path.isfile(file):
        raise DrilldownError(Problem(file=file, place=KEY, found="no such file"))
    check_trust(file)
    # A special name, so that a file `random.py` does not replace Python's module.
    spec = importlib.util.spec_from_file_location(f"drilldown user module {file.stem}", file)
    if spec is None or spec.loader is None:
        raise DrilldownError(Problem(file=file, place=KEY, found="not a Python file", expected="a name in .py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses need it there
    keep, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise DrilldownError(_user_code_problem(file, "cannot be loaded", error)) from error
    finally:
        sys.dont_write_bytecode = keep
    return module


def _user_code_problem(file: Path, event: str, error: BaseException) -> Problem:
    if isinstance(error, SyntaxError):
        line = error.lineno
    else:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == file.absolute()]
        line = frames[-1].lineno if frames else None
    return Problem(file=file, line=line, place=KEY, found=f"{event}: {type(error).__name__}: {error}")
