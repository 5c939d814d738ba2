"""Receptive fields of any module, measured by gradients."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from drilldown.network.layers import Shape
from drilldown.network.layout import call_network, evaluation_mode
from drilldown.randomness import global_stream

MOST_IMAGES = 24
"""Images of noise for each layer. Max pooling passes the gradient to one pixel of a window, and which one varies."""
MOST_MULTIPLY_ADDS = 5_000_000_000
"""Of the forward pass of all images: about a second on one core. Larger networks get fewer images, or none."""
PERTURBATION = 0.1
"""The standard deviation of the change of the weights: a layer that starts with zeros would pass no gradient."""


def measure_receptive_fields(
    network: nn.Module, leaves: Sequence[nn.Module], image: Shape, multiply_adds: int
) -> list[int | None]:
    """Measures the squares of the image that the layers' outputs depend on, each in the middle of the output.

    The gradient of one output value is not zero at the pixels that it depends on. Each layer has images of its own in
    one batch, so one backward pass measures all layers. Weights and buffers are unchanged afterwards.

    *Arguments*: `leaves`: the layers in the order in which the network calls them. `image`: (channels, height, width).
    `multiply_adds`: of the network, for one image.

    *Returns* the sides of the squares in pixels, at most the side of the image; None where there is no gradient, and
    for networks that are too large to be measured.
    """
    count = min(MOST_IMAGES, MOST_MULTIPLY_ADDS // (1 + len(leaves) * multiply_adds))
    if not leaves or not count:
        return [None] * len(leaves)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count * len(leaves), *image, generator=generator).requires_grad_()
    values: list[torch.Tensor | None] = []

    def add_value(output: object) -> None:
        start = len(values) * count
        tensor = first_tensor(output)
        known = tensor is not None and len(tensor) == len(images) and tensor.requires_grad
        is_last = len(values) + 1 == len(leaves)
        own = tensor[start : start + count] if tensor is not None and known else None
        values.append(None if own is None else _value(own, generator, is_last=is_last))

    hooks = [leaf.register_forward_hook(lambda _m, _i, output: add_value(output)) for leaf in dict.fromkeys(leaves)]
    try:
        with (
            torch.enable_grad(),
            global_stream(0, "trial"),
            evaluation_mode(network),
            _perturbed(network, generator),
        ):
            call_network(network, images)
            known = [value for value in values if value is not None]
            gradient = torch.autograd.grad(torch.stack(known).sum(), images, allow_unused=True)[0] if known else None
    except Exception:  # noqa: BLE001 - it detaches its input, changes a tensor that the gradient needs, or refuses noise
        gradient = None
    finally:
        for hook in hooks:
            hook.remove()
    if gradient is None or len(values) != len(leaves):
        return [None] * len(leaves)
    touched = (gradient != 0).view(len(leaves), count, *image).any(dim=2).any(dim=1)  # (layers, height, width)
    return [_side(pixels) for pixels in touched]


def first_tensor(output: object) -> torch.Tensor | None:
    """The tensor in a layer's output; recurrent layers and attention return it first, with others after it."""
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) and output.dim() else None


def _value(output: torch.Tensor, generator: torch.Generator, *, is_last: bool) -> torch.Tensor:
    """One number that depends on the middle of the output: all channels of one place, or one value of a flat output.

    Of the last layer, which gives the logits, it depends on all values.
    """
    if output.dim() == 4:
        middle = output[:, :, output.shape[2] // 2, output.shape[3] // 2]
    else:
        flat = output.flatten(1) if output.dim() > 1 else output[:, None]
        middle = flat if is_last else flat[:, flat.shape[1] // 2]
    return (middle * torch.randn(middle.shape, generator=generator)).sum()


@contextlib.contextmanager
def _perturbed(network: nn.Module, generator: torch.Generator) -> Iterator[None]:
    parameters = [parameter for parameter in network.parameters() if parameter.is_floating_point()]
    before = [parameter.detach().clone() for parameter in parameters]
    try:
        with torch.no_grad():
            for parameter in parameters:
                parameter.add_(PERTURBATION * torch.randn(parameter.shape, generator=generator))
        yield
    finally:
        with torch.no_grad():
            for parameter, values in zip(parameters, before, strict=True):
                parameter.copy_(values)


def _side(pixels: torch.Tensor) -> int | None:
    rows, columns = pixels.nonzero(as_tuple=True)
    if not len(rows):
        return None
    return max(int(rows.max() - rows.min()), int(columns.max() - columns.min())) + 1
