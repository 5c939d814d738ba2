"""Networks in a user's own Python file: `python = "model.py:Net"`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from drilldown.errors import DrilldownError, Problem, did_you_mean
from drilldown.network.layers import Shape
from drilldown.network.layout import check_parameter_count, evaluation_mode, shape_text
from drilldown.network.module_arguments import check_arguments, signature_text
from drilldown.network.module_code import KEY
from drilldown.network.module_loader import load_module, user_code, user_code_problem

TRIED = 2
"""The number of images that a network is tried with at once; then it is tried with a single one."""


def build_user_network(
    reference: str, folder: Path, image: Shape, classes: int, arguments: Mapping[str, Any] | None = None
) -> nn.Module:
    """Makes the module that `FILE:CLASS` names and tries it, in evaluation mode, with two blank images and with one.

    *Arguments*: `reference`: `FILE:CLASS`. `folder`: the folder of the file. `image`: (channels, height, width).
    `classes`: the number of classes. `arguments`: the keyword arguments of the class.

    *Raises* DrilldownError where the file or the class is missing or fails, where the arguments do not fit, where the
    output has a wrong shape, or where the state has parts that a run folder cannot hold.
    """
    name, _, attribute = reference.partition(":")
    file = folder / name
    module = load_module(reference, folder)
    factory = getattr(module, attribute, None)
    if factory is None:
        names = [key for key in vars(module) if not key.startswith("_")]
        raise DrilldownError(
            Problem(
                file=file,
                place=KEY,
                found=f'there is no "{attribute}"',
                suggestion=did_you_mean(attribute, names),
            )
        )
    given = check_arguments(factory, attribute, arguments or {}, file)
    try:
        with user_code():
            network = factory(**given)
    except (Exception, SystemExit) as error:
        problem = user_code_problem(reference, folder, f"{attribute}() failed", error)
        expected = signature_text(factory, attribute) if arguments else None
        raise DrilldownError(replace(problem, expected=expected)) from error
    if not isinstance(network, nn.Module):
        raise DrilldownError(
            Problem(
                file=file,
                place=KEY,
                found=f"{attribute}() returns {type(network).__name__}",
                expected="a torch.nn.Module",
            )
        )
    if any(is_lazy(tensor) for tensor in _tensors(network)):  # their sizes follow from the first images
        _try(network, reference, folder, image, TRIED)
        _check_sizes(network, file)
    try:
        check_parameter_count(sum(p.numel() for p in network.parameters() if p.requires_grad))
    except DrilldownError as error:
        raise DrilldownError(*(replace(problem, file=file, place=KEY) for problem in error.problems)) from None
    for count in (TRIED, 1):
        _check_output(_try(network, reference, folder, image, count), (count, classes), file)
    _check_state(network, file)
    return network


def _tensors(network: nn.Module) -> Iterator[torch.Tensor]:
    yield from network.parameters()
    yield from network.buffers()


def _try(network: nn.Module, reference: str, folder: Path, image: Shape, count: int) -> object:
    images = "an image" if count > 1 else "a single image"
    try:
        with torch.no_grad(), evaluation_mode(network), user_code():
            return network(torch.zeros(count, *image))
    except (Exception, SystemExit) as error:
        event = f"fails on {images} of {shape_text(image)}"
        raise DrilldownError(user_code_problem(reference, folder, event, error)) from error


def _check_output(logits: object, shape: Shape, file: Path) -> None:
    """Raises DrilldownError where the output is not one logit per class for each image."""
    expected = f"{shape_text(shape)}: one logit per class"
    if not isinstance(logits, torch.Tensor) or not logits.dim():
        found = f"an output of type {type(logits).__name__}"
    elif tuple(logits.shape) != shape:
        found = f"an output of {shape_text(tuple(logits.shape))}"
    elif not logits.is_floating_point():
        found, expected = f"an output of {str(logits.dtype).removeprefix('torch.')}", "floating-point logits"
    else:
        return
    images = "1 image" if shape[0] == 1 else f"{shape[0]} images"
    raise DrilldownError(Problem(file=file, place=KEY, found=f"{found} for {images}", expected=expected))


def _check_sizes(network: nn.Module, file: Path) -> None:
    """Raises DrilldownError where a lazy layer still has no size: evaluation does not use it."""
    for name, module in network.named_modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if any(is_lazy(tensor) for tensor in own):
            raise DrilldownError(
                Problem(
                    file=file,
                    place=KEY,
                    found=f"the lazy layer {name} is not used in evaluation mode, so its size is not known",
                    suggestion="give its size, or remove it",
                )
            )


def _check_state(network: nn.Module, file: Path) -> None:
    """Raises DrilldownError where the state has a part that is no tensor: a run folder never holds pickles."""
    for name, value in network.state_dict().items():
        if not isinstance(value, torch.Tensor):
            raise DrilldownError(
                Problem(
                    file=file,
                    place=KEY,
                    found=f"the state has {name} of type {type(value).__name__}",
                    expected="tensors only",
                    suggestion="keep the value in a buffer (register_buffer), in place of get_extra_state",
                )
            )
