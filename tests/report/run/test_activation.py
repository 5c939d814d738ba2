"""The class activation maps of a report, and of a drawing on its page."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from playwright.sync_api import Page, expect

from drilldown import Compute, Folders, Run, load, perform, plot
from drilldown.errors import DrilldownError
from drilldown.report.run.activation import AGAINST, FOR, colour_map, gather_activations
from drilldown.report.run.evidence import gather_run
from drilldown.report.run.html import run_page
from drilldown.report.run.markdown import run_markdown
from support.browser import CLOSE, Open
from support.cli import world


def test_the_maps_belong_to_the_images_and_the_logits_that_were_judged(run: Run) -> None:
    predictions, logits = run.predictions(), run.logits()
    shown = gather_activations(run, predictions)
    wrong = {image.index for image in predictions.misclassified}
    assert {each.index in wrong for each in shown} == {True, False}
    for each in shown:
        assert each.logit == pytest.approx(float(logits[each.index, each.number]), abs=1e-4)
        assert each.number in (each.truth, each.predicted)
        assert (each.truth != each.predicted) == (each.index in wrong)
        assert torch.equal(each.image, predictions.split.images[each.index])
    of_wrong = [each.number for each in shown if each.index == shown[0].index]
    assert of_wrong == [shown[0].predicted, shown[0].truth]


def test_the_map_of_the_first_test_image_has_the_logits_as_means(run: Run) -> None:
    images = run.dataset().test.images[:5]
    maps = run.activation_maps(images)
    torch.testing.assert_close(maps.mean((2, 3)), run.predict(images), rtol=0, atol=1e-4)
    torch.testing.assert_close(run.activation_maps(images[0]), maps[:1])
    with pytest.raises(DrilldownError, match="images of shape"):
        run.activation_maps(images[:, :, 1:])


def test_colours_show_sign_and_size_over_the_ink() -> None:
    image = torch.zeros(1, 4, 4, dtype=torch.uint8)
    image[0, 0] = 255
    picture = colour_map(image, torch.tensor([[2.0, 0.0], [0.0, -1.0]])).permute(1, 2, 0).int()
    assert picture[3, 1].tolist() != picture[3, 3].tolist()
    for row, column, colour, alpha in ((0, 0, FOR, 0.6), (3, 3, AGAINST, 0.3)):
        grey = 255 * (1 - 0.65 * int(image[0, row, column]) / 255)
        expected = [(1 - alpha) * grey + alpha * part for part in colour]
        assert picture[row, column].tolist() == pytest.approx(expected, abs=1)


def test_an_image_in_colour_is_not_inverted() -> None:
    image, no_evidence = torch.zeros(3, 4, 4, dtype=torch.uint8), torch.zeros(2, 2)
    image[:, 0] = 255
    picture = colour_map(image, no_evidence).permute(1, 2, 0).int()
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert picture[3, 3].tolist() == pytest.approx([255 * 0.35] * 3, abs=1)


def test_page_and_markdown_show_the_maps(page: Page, run: Run) -> None:
    evidence = gather_run(run)
    pictures = page.locator("#activation li")
    assert pictures.count() == len(evidence.activations)
    assert f"#{evidence.activations[0].index}, logit {evidence.activations[0].logit:.2f}" in pictures.first.inner_text()
    assert "figures/activation.png" in run_markdown(evidence)
    captions = [text.get_text() for text in plot.activation_maps(run).axes[0].texts if text.get_text()[0] == "#"]
    assert captions == [f"#{shown.index}, logit {shown.logit:.2f}" for shown in evidence.activations]


def test_the_pad_shows_the_map_of_the_predicted_class(page: Page, run: Run) -> None:
    buttons = page.locator("#examples button")
    for number in (0, buttons.count() - 1):
        buttons.nth(number).press("Enter")
        image = torch.tensor(page.evaluate("[...pad.image]"), dtype=torch.uint8).view(28, 28)
        logits = torch.tensor(page.evaluate("[...pad.logits]"), dtype=torch.float64)
        best = int(logits.argmax())
        values = torch.tensor(page.evaluate("[...pad.evidence]"), dtype=torch.float64)
        expected = run.activation_maps(image)[0, best]
        assert float((values - expected.flatten()).abs().max()) < CLOSE
        assert float(values.mean()) == pytest.approx(float(logits[best]), abs=1e-9)
        expect(page.locator("#evidence-class")).to_have_text(str(best))
    drawn = page.evaluate("[...document.getElementById('evidence').getContext('2d').getImageData(0, 0, 28, 28).data]")
    colours = torch.tensor(drawn).view(28, 28, 4)
    assert int((colours[..., :3] - colour_map(image[None], expected).permute(1, 2, 0).int()).abs().max()) <= 2
    page.click("#clear")
    expect(page.locator("#evidence-class")).to_have_text("–")


def test_the_browser_stretches_a_map_as_pytorch_does(page: Page) -> None:
    values = torch.rand(3, 5, dtype=torch.float64)
    stretched = page.evaluate("(values) => [...stretch(values, 3, 5, 17, 28)]", values.flatten().tolist())
    expected = F.interpolate(values[None, None], size=(17, 28), mode="bilinear", align_corners=False)
    torch.testing.assert_close(torch.tensor(stretched, dtype=torch.float64), expected.flatten())


def test_a_network_without_maps_has_no_section_and_says_so_in_python(open_page: Open, tmp_path: Path) -> None:
    layers = 'network.layers=["conv 5x5 4 stride=3, relu, flatten, linear 10"]'
    experiment = load(world(tmp_path), [layers, "recipe.epochs=1"])
    finished = perform(experiment, compute=Compute(engine="torch"), folders=Folders(runs=tmp_path / "runs"))
    evidence = gather_run(finished)
    assert evidence.activations == ()
    opened = open_page(run_page(evidence)).page
    assert opened.locator("#activation, #evidence").count() == 0
    assert opened.inner_text("#prediction").isdigit()
    with pytest.raises(DrilldownError, match="it has no class activation maps; expected a network in block notation"):
        finished.activation_maps(finished.dataset().test.images)
