"""The network in a page: a browser computes the same logits as PyTorch."""

from __future__ import annotations

import gzip
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Page
from torch import nn

from drilldown import Compute, Folders, Run, load, perform
from drilldown.data.glyphs import draw_glyphs
from drilldown.data.loading import load_dataset
from drilldown.errors import DrilldownError
from drilldown.experiment.experiment import Experiment
from drilldown.network.layers import LAYERS
from drilldown.network.modules import Layers
from drilldown.report.page import build_page
from drilldown.report.run import embedded
from drilldown.report.run.embedded import BROWSER_LAYERS, embed_network, why_not_embedded
from drilldown.report.run.evidence import gather_run
from drilldown.report.run.html import run_page
from support.browser import CLOSE, Open, base64_text
from support.cli import world

TORCH = Compute(engine="torch")
IMAGES = 1_000


def logits_in(page: Page, images: torch.Tensor) -> torch.Tensor:
    """The logits (N, classes) of the page's network for images (N, height, width), uint8."""
    logits = page.evaluate(
        """([text, size]) => {
            const network = readNetwork(JSON.parse(document.getElementById("data").textContent).network);
            const images = bytesOf(text);
            return Array.from({ length: images.length / size }, (_, n) => {
                return [...forward(network, images.subarray(n * size, (n + 1) * size)).at(-1).values];
            });
        }""",
        [base64_text(images.contiguous().numpy().tobytes()), images[0].numel()],
    )
    return torch.tensor(logits, dtype=torch.float64)


NETWORKS: dict[str, list[Any] | None] = {
    "the flagship": None,
    "every option": [
        "conv 5x5 12 stride=2 pad=2 bias, bn, relu",
        "conv 3x3 12 groups=4 pad=1, relu, dropout 0.1",
        "avgpool 2",
        "conv 3x3 16 groups=2 stride=3 pad=2 bias, bn",
        "flatten",
        "linear 20, bn, relu, dropout 0.5",
        "linear 10",
    ],
    "remainders": [
        "conv 2x2 5 stride=3",
        "bn, relu, maxpool 2",
        "conv 1x1 8 bias, avgpool 3",
        "conv 1x1 10 pad=1, bn",
        "gap",
    ],
    "activations": [
        "conv 3x3 6 dilation=2 stride=2 pad=same bias, leaky 0.2",
        "conv 3x3 12 depthwise, prelu, bn noscale, silu",
        "sep 3x3 8 pad=same, gelu, gn 4, hardswish, dropout2d 0.1",
        "maxpool 3 stride=2 pad=1, avgpool 3 stride=1 pad=1, blurpool, blurpool 5 stride=1",
        "ln, se 3, conv 1x1 10 expand=3, gap, ln",
    ],
    "tables": [
        "conv 3x3 6 stride=2",
        {"skip": ["conv 3x3 8 stride=2 pad=same, bn, relu", {"skip": ["conv 1x1 8, silu"]}]},
        "relu",
        {"repeat": 3, "shared": True, "layers": ["conv 3x3 8 pad=same, bn", {"skip": ["sep 3x3 8 pad=same, prelu"]}]},
        {"repeat": 2, "layers": ["conv 3x3 8, gelu"]},
        "flatten, linear 10, bn",
    ],
}


def random_network(experiment: Experiment) -> Layers:
    """The experiment's network, with no statistic or scale of a batch norm at its default."""
    network = experiment.build(1)
    assert isinstance(network, Layers)
    generator = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.5, 0.5), (module.running_var, 0.3, 2),
                (module.weight, 0.5, 1.5), (module.bias, -0.5, 0.5),
            ):  # fmt: skip
                if tensor is None:  # without a scale
                    continue
                tensor.data.uniform_(low, high, generator=generator)
    return network.eval()


def images_to_compare() -> tuple[torch.Tensor, float, float]:
    """Images of MNIST where it is on disk, else glyphs; with the mean and standard deviation of their pixels."""
    if "DRILLDOWN_DATA" in os.environ:
        try:
            mnist = load_dataset("mnist")
            return mnist.test.images[:IMAGES], mnist.mean[0], mnist.std[0]
        except DrilldownError:
            pass
    _, (images, _) = draw_glyphs(train=10, test=IMAGES)
    return images[:, None], 0.1307, 0.3081


@pytest.mark.parametrize("name", NETWORKS)
def test_the_browser_agrees_with_pytorch(name: str, open_page: Open, tmp_path: Path) -> None:
    file = world(tmp_path)
    layers = NETWORKS[name]
    experiment = load(file, [f"network.layers={toml_value(layers)}"]) if layers else load("under-8k")
    network = random_network(experiment)
    images, mean, std = images_to_compare()
    text = build_page(
        "base.html.j2",
        scripts=["network.js"],
        data={"network": embed_network(experiment, network.state_dict(), (mean,), (std,))},
    )
    with torch.inference_mode():
        expected = network((images / 255 - mean) / std)
    logits = logits_in(open_page(text).page, images)
    assert logits.shape == (IMAGES, 10)
    assert float(expected.std()) > 0.1  # else the comparison would show little
    assert float((logits - expected).abs().max()) < CLOSE
    assert bool((logits.argmax(1) == expected.argmax(1)).all())


def toml_value(value: Any) -> str:
    """A value in TOML; JSON has the same texts and arrays."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {toml_value(item)}' for key, item in value.items())} }}"
    return f"[{', '.join(map(toml_value, value))}]" if isinstance(value, list) else json.dumps(value)


def test_the_page_has_code_for_exactly_the_layers_that_are_listed(open_page: Open) -> None:
    page = open_page(build_page("base.html.j2", scripts=["network.js"], data={})).page
    assert set(page.evaluate("Object.keys(LAYERS)")) == BROWSER_LAYERS
    assert (LAYERS.keys() | {"add"}) - BROWSER_LAYERS == {"sep"}  # which is two convolutions


@pytest.mark.parametrize("name", ["every option", "activations", "tables"])
def test_every_layer_agrees_with_pytorch(name: str, open_page: Open, tmp_path: Path) -> None:
    """The page shows feature maps, so they must be right too."""
    experiment = load(world(tmp_path), [f"network.layers={toml_value(NETWORKS[name])}"])
    network = random_network(experiment)
    image = draw_glyphs(train=10, test=10)[1][0][3]
    text = build_page(
        "base.html.j2",
        scripts=["network.js"],
        data={"network": embed_network(experiment, network.state_dict(), (0.2,), (0.4,))},
    )
    maps = open_page(text).page.evaluate(
        """(pixels) => {
            const network = readNetwork(JSON.parse(document.getElementById("data").textContent).network);
            return forward(network, pixels).map(({ layer, values }) => [layer.name, [...values]]);
        }""",
        image.flatten().tolist(),
    )
    x = (image[None, None] / 255 - 0.2) / 0.4
    assert [name for name, _ in maps] == [placed.name for placed in experiment.layout or ()]
    expected: list[torch.Tensor] = []
    for module in dict.fromkeys(network):
        module.register_forward_hook(lambda _, __, output: expected.append(output.clone()))
    with torch.inference_mode():
        network(x)
    for (layer, values), output in zip(maps, expected, strict=True):
        assert float((torch.tensor(values) - output.flatten()).abs().max()) < CLOSE, layer


def test_images_need_not_be_square(open_page: Open, tmp_path: Path) -> None:
    file = world(tmp_path)
    for part, (images, labels) in zip(("train", "t10k"), draw_glyphs(300, 100), strict=True):
        content = (
            struct.pack(">4B3I", 0, 0, 8, 3, len(labels), 28, 20) + images[:, :, 4:24].contiguous().numpy().tobytes()
        )
        (tmp_path / "letters" / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    finished = perform(load(file, ["recipe.epochs=1"]), compute=TORCH, folders=Folders(runs=tmp_path / "runs"))
    dataset = load_dataset(finished.experiment.recipe.dataset)
    assert dataset.image_shape == (1, 28, 20)
    opened = open_page(run_page(gather_run(finished))).page
    assert float((logits_in(opened, dataset.test.images) - finished.logits()).abs().max()) < CLOSE


def test_the_page_holds_the_network_that_was_judged(page: Page, run: Run) -> None:
    dataset = load_dataset(run.experiment.recipe.dataset)
    assert float((logits_in(page, dataset.test.images) - run.logits()).abs().max()) < CLOSE


@pytest.mark.skipif(sys.platform == "win32", reason="the file's name is none there")
def test_a_network_in_python_is_not_in_the_page_and_the_page_says_why(open_page: Open, tmp_path: Path) -> None:
    file = world(tmp_path)
    (tmp_path / "<i>&.py").write_text(
        "from torch import nn\nclass Net(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Conv2d(1, 10, 9), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    text = file.read_text()
    start, stop = text.index("layers"), text.index("[recipe]")
    file.write_text(text[:start] + 'python = "<i>&.py:Net"\n\n' + text[stop:])
    finished = perform(load(file, ["recipe.epochs=1"]), compute=TORCH, folders=Folders(runs=tmp_path / "runs"))
    opened = open_page(run_page(gather_run(finished))).page
    assert "The network is Python code (<i>&.py:Net)" in opened.inner_text("#draw")
    assert opened.locator("canvas").count() == 0
    assert opened.locator("#network tbody tr").count() == 3


def test_a_large_network_stays_out_of_the_page() -> None:
    assert "6,379,786 parameters" in (why_not_embedded(load("eva-drilldown/01")) or "")


def test_the_browser_runs_exactly_the_layers_that_python_lists(open_page: Open) -> None:
    opened = open_page(build_page("base.html.j2", scripts=["network.js"], data={})).page
    assert set(opened.evaluate("Object.keys(LAYERS)")) == BROWSER_LAYERS


def test_a_network_with_a_layer_without_browser_code_is_not_in_the_page(
    run: Run, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "BROWSER_LAYERS", BROWSER_LAYERS - {"gap", "maxpool"})
    opened = open_page(run_page(gather_run(run))).page
    assert "it has no browser code for gap, maxpool" in opened.inner_text("#draw")
    assert opened.locator("canvas").count() == 0
