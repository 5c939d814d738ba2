"""The worked example on the page about integers has the numbers of the code."""

from __future__ import annotations

from pathlib import Path

import torch

from drilldown.export.graph import Conv, Graph
from drilldown.export.integer import IntegerConv
from drilldown.export.quantise import quantise
from drilldown.network.layout import IMAGE

PAGE = Path(__file__).parents[2] / "docs" / "ideas" / "integers.md"


def numbers(values: torch.Tensor) -> list[str]:
    return [f"{value:,}".replace("-", "−") for value in values.flatten().long().tolist()]


def conv(name: str, source: int, sizes: tuple[int, int, int], weights: list[float], bias: list[float]) -> Conv:
    channels, side, kernel = sizes
    weight = torch.tensor(weights, dtype=torch.float64).view(channels, 1, kernel, kernel)
    return Conv(
        name=name, sources=(source,), input=(1, side, side), output=(channels, 1, 1), weight=weight,
        bias=torch.tensor(bias, dtype=torch.float64), relu=source == IMAGE,
    )  # fmt: skip


def test_the_worked_example_is_calculated_as_the_code_does() -> None:
    first = conv("conv1", IMAGE, (1, 2, 2), [0.02, -0.01, 0.005, 0.01], [-1.0])
    last = conv("linear1", 0, (2, 1, 1), [0.8, -0.4], [0.1, 0.3])
    images = torch.tensor([[255, 0, 255, 255], [200, 100, 0, 50]], dtype=torch.uint8).view(2, 1, 2, 2)
    network = quantise(Graph((1, 2, 2), (first, last)), images)
    layer, linear = network.nodes
    assert isinstance(layer, IntegerConv)
    assert isinstance(linear, IntegerConv)
    assert layer.multiplier is not None
    assert layer.shift is not None
    image = images[1:].float()
    a, b, c, d = numbers(layer.weight)
    (bias,), (multiplier,), (shift,) = numbers(layer.bias), numbers(layer.multiplier), numbers(layer.shift)
    (total,), (output,) = numbers(layer.sums(image)), numbers(layer.calculate(image))
    (one, other), (one_bias, other_bias) = numbers(linear.weight), numbers(linear.bias)
    logits = network.logits(images[1:])
    found = [
        f"{a}·200 − {b.removeprefix('−')}·100 + {c}·0 + {d}·50 − {bias[1:]} = {total}",
        f"({total} · {multiplier} + 16,384) >> {shift} = {output}",
        f"class 0: {one} · {output} + {one_bias}   = {numbers(logits)[0]}",
        f"class 1: {other} · {output} + {other_bias} = {numbers(logits)[1]}",
        f"= {layer.levels.scale:.6f}.", f"= {layer.weight_scale.item():.8f}.", f"{linear.weight_scale[0].item():.7f}",
        f"= {network.levels.scale:.8f}", f"{int(output) * layer.levels.scale:.3f}; the exact value is 2.5",
        "the logits are " + " and ".join(f"{logit * network.levels.scale:.3f}" for logit in logits[0].tolist()),
        *(f"| {divided:,.2f} | {integer} |".replace("-", "−") for divided, integer in zip(
            [*(first.weight / layer.weight_scale).flatten().tolist(), -1 / layer.weight_scale.item()],
            [a, b, c, d, bias], strict=True)),
    ]  # fmt: skip
    page = PAGE.read_text("utf-8")
    assert [text for text in found if text.replace("-", "−") not in page] == []
