"""The public names: documented, loaded when they are used, and shown in a notebook with all text escaped."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

import drilldown
from drilldown.data.dataset import Dataset
from drilldown.errors import DrilldownError
from drilldown.evaluation.predictions import Predictions
from drilldown.evaluation.verdict import Verdict, VerdictLine
from drilldown.experiment.experiment import Experiment
from drilldown.notebook.plot import classes, compared, confusion, curves, misclassified, samples
from drilldown.runs.run import Run
from drilldown.runs.writer import RunWriter
from drilldown.settings import Compute, Folders
from drilldown.training.training import Training
from support.cli import environment, world

HOSTILE = '<script>alert("1")</script> & <img src=x>'
TORCH = Compute(engine="torch")
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """An experiment whose title, target and folder try to be more than text."""
    folder = tmp_path_factory.mktemp("shown") / "<b>lab"
    folder.mkdir()
    file = world(folder, epochs=3)
    quoted = HOSTILE.replace('"', '\\"')
    text = file.read_text().replace('"Tiny"', f'"{quoted}"').replace('"Small enough', f'"{quoted} Small enough')
    file.write_text(text)
    return drilldown.load(file)


@pytest.fixture(scope="module")
def run(experiment: Experiment) -> Run:
    assert experiment.path is not None
    return drilldown.perform(experiment, compute=TORCH, folders=Folders(runs=experiment.path.parent / "runs"))


class Tags(HTMLParser):
    """Collects the tags of a page, and whether each is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.seen.add(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


OURS = {"p", "b", "br", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "pre", "code"}


def check_page(page: str) -> None:
    tags = Tags(page)
    assert tags.open == []
    assert tags.seen <= OURS


def test_every_public_name_is_there_and_has_an_example() -> None:
    assert set(drilldown.__all__) == set(drilldown._HOMES) <= set(dir(drilldown))
    assert list(drilldown.__all__) == sorted(drilldown.__all__)
    for name in drilldown.__all__:
        documented = getattr(drilldown, name).__doc__
        assert documented, name
        assert ">>> " in documented, name
        assert f"`{name}" in (drilldown.__doc__ or ""), name
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        drilldown.lod  # noqa: B018


def test_importing_the_package_loads_neither_torch_nor_matplotlib() -> None:
    code = "import sys, drilldown; dir(drilldown); sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode == 0


def test_the_examples_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert examples
    for example in examples:
        exec(compile(example, str(README), "exec"), {})


def test_an_experiment_shows_its_layers(experiment: Experiment) -> None:
    page = experiment._repr_html_()
    check_page(page)
    assert "&lt;script&gt;" in page
    assert "conv 3x3 8" in page
    assert f"{experiment.model_summary.parameters:,} parameters ✓" in page
    assert "Small enough" in page
    assert "conv 3x3 8" in str(experiment)
    assert repr(experiment).startswith("<Experiment ")


def test_a_run_shows_its_verdict(run: Run) -> None:
    page = run._repr_html_()
    check_page(page)
    assert "Budget met" in page
    assert page.count("✓") == 3
    assert "Budget met" in str(run)
    assert "&lt;b&gt;lab" in page


def test_a_verdict_shows_each_line() -> None:
    lines = (
        VerdictLine(name=HOSTILE, limit="at most 1", found="2", met=False, by="1 too many"),
        VerdictLine(name="epochs", limit="at most 3", found="3", met=True, by="0 to spare"),
    )
    verdict = Verdict(lines, "test")
    check_page(verdict._repr_html_())
    assert (verdict._repr_html_().count("✓"), verdict._repr_html_().count("✗")) == (1, 1)
    assert "Budget not met" in str(verdict)
    assert "nothing to judge" in Verdict((), "test")._repr_html_()


def test_an_unfinished_run_says_so_and_has_no_model(experiment: Experiment, tmp_path: Path) -> None:
    unfinished = Run(tmp_path)
    RunWriter(unfinished, Training(experiment))
    check_page(unfinished._repr_html_())
    assert "interrupted" in unfinished._repr_html_()
    assert "0 epochs finished" in str(unfinished)
    questions: list[Callable[[], object]] = [
        unfinished.model, unfinished.logits, unfinished.predictions, lambda: unfinished.normalisation
    ]  # fmt: skip
    for ask in questions:
        with pytest.raises(
            DrilldownError, match="the run is interrupted; it has no model yet; resume with: drilldown resume"
        ):
            ask()


def test_predictions_count_all_images_and_agree_with_the_verdict(run: Run) -> None:
    predictions, summary = run.predictions(), run.read().summary
    assert predictions.tally.correct == summary.test.correct
    assert int(predictions.confusion.diagonal().sum()) == predictions.tally.correct
    assert sum(count for _, _, count in predictions.confusions) == len(predictions.misclassified)
    train = run.evaluate(run.dataset().train)
    assert (train.tally.correct, train.tally.total) == (summary.clean_train_correct, summary.clean_train_total)
    check_page(predictions._repr_html_())
    assert f"{predictions.tally.correct} of {predictions.tally.total} correct" in predictions._repr_html_()


def test_predict_gives_the_logits_that_were_judged(run: Run) -> None:
    images = run.dataset().test.images
    torch.testing.assert_close(run.predict(images), run.logits(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(run.predict(images[7]), run.logits()[7:8], rtol=1e-4, atol=1e-4)
    with pytest.raises(DrilldownError, match=r"images of shape \(5, 5\); expected \(N, 1, 28, 28\)"):
        run.predict(torch.zeros(5, 5))


def test_a_training_shows_its_epochs(experiment: Experiment) -> None:
    training = Training(experiment, compute=TORCH)
    check_page(training._repr_html_())
    with pytest.raises(DrilldownError, match="no epochs yet"):
        curves(training)
    for epoch in training:
        assert str(epoch).startswith(f"epoch {epoch.epoch}: train ")
        break
    check_page(training._repr_html_())
    assert "1 of 3 epochs" in training._repr_html_()
    assert "1 of 3 epochs" in repr(training)


def test_a_dataset_shows_its_classes(tiny: Dataset) -> None:
    hostile = replace(tiny, name=HOSTILE)
    check_page(hostile._repr_html_())
    assert "<td>200</td>" in hostile._repr_html_()
    assert repr(tiny) == "<Dataset glyphs: 200 training and 100 test images of 28x28, 10 classes>"
    assert "all" in str(tiny)


def test_a_comparison_shows_the_differences(experiment: Experiment, run: Run) -> None:
    assert experiment.path is not None
    wider = drilldown.load(experiment.path, ['network.layers=["conv 3x3 6, relu", "gap", "linear 10"]'])
    comparison = drilldown.compare(run, experiment, wider, runs_dir=experiment.path.parent / "runs")
    page = comparison._repr_html_()
    check_page(page)
    assert "C against A" in page
    assert "+ conv 3x3 6, relu" in page
    assert "B against A</b>: no difference in training or budget" in page
    assert "+ conv 3x3 6, relu" in str(comparison)
    assert wider.fingerprint in repr(comparison)
    assert [subject.letter for subject in comparison[1:]] == ["B", "C"]
    assert isinstance(compared(comparison), Figure)


def test_figures_are_pictures_in_a_notebook(experiment: Experiment, run: Run, tiny: Dataset) -> None:
    right = Predictions(tiny.test, torch.eye(10)[tiny.test.labels])
    for figure in (
        curves(run), samples(experiment), classes(tiny), misclassified(run.predictions()),
        confusion(run.predictions()), misclassified(right),
    ):  # fmt: skip
        assert isinstance(figure, Figure)
        assert figure._repr_png_().startswith(b"\x89PNG")
