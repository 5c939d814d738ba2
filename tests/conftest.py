from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import torch

from drilldown.data.dataset import Dataset, Split
from drilldown.data.glyphs import draw_glyphs
from drilldown.training import choice


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the slow tests first: at the end, one of them would keep a single core busy."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Processes that tests start answer to Ctrl-C even where the tests run in the background, which ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from a second thread, and lose much to waiting for it on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "CORES", 1)
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="session")
def tiny() -> Dataset:
    """Glyphs, 200 to train on and 100 to test with."""
    train, test = (Split(*split) for split in draw_glyphs(train=200, test=100))
    pixels = train.images.double() / 255
    mean, std = round(float(pixels.mean()), 4), round(float(pixels.std(correction=0)), 4)
    return Dataset("glyphs", train, test, classes=10, mean=(mean,), std=(std,), identity="glyphs")
