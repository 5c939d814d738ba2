"""The page of a network that reads no grey images: without a drawing pad, with examples in their colours."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

import drilldown
from drilldown.report.pictures import visible_pixels
from drilldown.report.run.activation import colour_map
from support.browser import CLOSE, Open
from support.own import experiment_text, shapes

PIXELS = """(id) => {
  const { width, height } = document.getElementById(id);
  return [...document.getElementById(id).getContext("2d").getImageData(0, 0, width, height).data];
}"""
"""Reads the pixels of a canvas."""


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_examples_are_predicted_as_python_does(channels: int, tmp_path: Path, open_page: Open) -> None:
    (x_train, y_train), (x_test, y_test) = (shapes(count, seed=count, channels=channels) for count in (30, 12))
    np.savez(tmp_path / "shapes.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    (tmp_path / "shapes.toml").write_text(experiment_text("./shapes.npz"))
    compute, folders = drilldown.Compute(engine="torch", threads=1), drilldown.Folders(runs=tmp_path / "runs")
    run = drilldown.perform(drilldown.load(tmp_path / "shapes.toml"), compute=compute, folders=folders)
    page = open_page(drilldown.write_report(run).html).page
    assert page.locator("#paper").count() == 0
    expect(page.locator("#draw-title")).to_have_text("Try the network")
    images, buttons = run.dataset().test.images, page.locator("#examples button")
    assert buttons.count() > 2
    for number in range(buttons.count()):
        buttons.nth(number).click()
        index = int(re.findall(r"\d+", buttons.nth(number).get_attribute("aria-label") or "")[0])
        assert page.evaluate("[...pad.image]") == images[index].flatten().tolist()
        logits = torch.tensor(page.evaluate("[...pad.logits]"))
        assert float((logits - run.logits()[index]).abs().max()) < CLOSE
        expected = run.dataset().names[int(logits.argmax())]
        expect(page.locator("#prediction")).to_have_text(expected)
    painted, evidence = (
        torch.tensor(page.evaluate(PIXELS, canvas)).view(12, 12, 4).int() for canvas in ("input", "evidence")
    )
    visible = visible_pixels(images[index])
    if channels == 2:
        assert (255 - painted[..., 3]).equal(visible.int())  # ink over the white of the canvas
    else:
        assert painted[..., :3].equal(visible.int())
        assert (painted[..., 3] == 255).all()
    values = torch.tensor(page.evaluate("[...pad.evidence]")).view(3, 3)
    assert int((evidence[..., :3] - colour_map(images[index], values).permute(1, 2, 0).int()).abs().max()) <= 2
