"""Audits: what is evaluated, what is stored, and which runs are refused."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import drilldown
from drilldown import Compute, DrilldownError, Run, dataset, load, perform
from drilldown.data.catalogue import CATALOGUE, QMNIST
from drilldown.files import json_bytes, with_checksum
from drilldown.report.folder import is_current
from drilldown.report.run.writing import write_run_report
from drilldown.runs.audit import Audit, read_audit
from drilldown.runs.folder import AUDIT
from drilldown.runs.interval import judged_interval
from support.qmnist import (
    FURTHER_IMAGES,
    TEST_FILES,
    TEST_IDS,
    TEST_IMAGES,
    published_qmnist,
    small_qmnist,
    write_small_qmnist,
)
from support.writers import label_file

TINY = 'title = "Tiny"\n[network]\nlayers = ["conv 5x5 4 stride=3, relu", "flatten, linear 10"]\n[recipe]\nepochs = 1\n'


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small MNIST, a small QMNIST, and a run on the first in `run`."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "tiny.toml").write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        write_small_qmnist(folder, patch)
        perform(load(folder / "tiny.toml"), seed=3, compute=Compute(engine="torch"), run_dir=folder / "run")
    return folder


@pytest.fixture
def run(lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of the run, beside the data; no other place is searched for data."""
    write_small_qmnist(tmp_path / "data", monkeypatch)
    return Run(shutil.copytree(lab / "run", tmp_path / "run"))


def test_an_audit_counts_the_further_images_and_compares_with_the_test_images(run: Run) -> None:
    audit = drilldown.audit(run)
    qmnist = dataset(QMNIST).test
    correct = (run.predict(qmnist.images).argmax(1) == qmnist.labels).numpy()
    test, further = correct[:TEST_IMAGES], correct[TEST_IMAGES:]
    assert (audit.audit.correct, audit.audit.total) == (further.sum(), FURTHER_IMAGES)
    assert (audit.test.correct, audit.test.total) == (test.sum(), TEST_IMAGES)
    assert audit.difference == pytest.approx(100 * (further.mean() - test.mean()))
    labels = qmnist.labels.numpy()
    for number, of_class in enumerate(audit.classes):
        mask = labels == number
        assert (of_class.test_correct, of_class.test_total) == (test[mask[:100]].sum(), mask[:100].sum())
        assert (of_class.audit_correct, of_class.audit_total) == (further[mask[100:]].sum(), mask[100:].sum())
    ids = set(TEST_IDS[:TEST_IMAGES].tolist()), set(TEST_IDS[TEST_IMAGES:].tolist())
    assert (audit.writers, audit.shared_writers) == (len(ids[1]), len(ids[0] & ids[1]))
    assert audit.audit_interval.writers == audit.writers
    assert audit.test_interval == judged_interval(run) == run.predictions().interval()
    assert audit.difference_interval is not None
    assert audit.difference_interval.writers == len(ids[0] | ids[1])
    assert audit.difference_interval.low < audit.difference < audit.difference_interval.high


def test_an_audit_says_what_it_found_in_sentences(run: Run) -> None:
    audit = drilldown.audit(run)
    text = str(audit)
    assert (
        f"{audit.audit.correct} of 400 further test images of QMNIST are correct, {audit.audit}; 95 % interval" in text
    )
    assert f"{audit.test.correct} of 100 test images of MNIST are correct, {audit.test}; 95 % interval" in text
    ends = audit.difference_interval
    assert ends is not None
    assert ("does not contain 0" if not ends.low <= 0 <= ends.high else "contains 0") in text
    assert "40 writers: " in text


def test_an_audit_is_stored_and_then_read_without_the_images(run: Run, tmp_path: Path) -> None:
    first = drilldown.audit(run)
    shutil.rmtree(tmp_path / "data")
    assert drilldown.audit(run) == first == read_audit(run)
    for name in ("weights.safetensors", "predictions.safetensors"):  # deleted to save space
        (run.path / name).unlink()
    assert drilldown.audit(run) == first


def test_an_audit_of_other_weights_does_not_count(run: Run) -> None:
    drilldown.audit(run)
    stored = json.loads((run.path / AUDIT).read_text())
    summary = json.loads((run.path / "summary.json").read_text())
    assert stored["weights"] == summary["files"]["weights.safetensors"]
    perform(run.experiment, seed=3, compute=Compute(engine="torch"), run_dir=run.path, again=True)
    assert not (run.path / AUDIT).exists()
    stored["weights"] = "0" * 64
    del stored["sha256"]
    (run.path / AUDIT).write_bytes(json_bytes(with_checksum(stored)))
    assert read_audit(run) is None
    assert drilldown.audit(run).weights == summary["files"]["weights.safetensors"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("a value", "its checksum is wrong"),
        ("a key", '"writers" is invalid'),
        ("no checksum", "its checksum is missing"),
        ("no JSON", "cannot be read"),
        ("another seed", "the file belongs to another run (seed 5)"),
    ],
)
def test_a_damaged_audit_is_named(run: Run, damage: str, words: str) -> None:
    drilldown.audit(run)
    file = run.path / AUDIT
    document = json.loads(file.read_text())
    checksum = document.pop("sha256")
    if damage == "a value":
        document = {**document, "writers": 41, "sha256": checksum}
    elif damage == "a key":
        document = with_checksum({**document, "writers": 0})
    elif damage == "another seed":
        document = with_checksum({**document, "seed": 5})
        file = run.path.rename(run.path.with_name("seed-3")) / AUDIT
    file.write_text("{" if damage == "no JSON" else json.dumps(document))
    with pytest.raises(DrilldownError) as caught:
        drilldown.audit(Run(file.parent))
    assert str(caught.value).startswith(f"{file}: ")
    assert words in str(caught.value)


def test_the_report_shows_the_audit_and_is_out_of_date_after_it(run: Run) -> None:
    report = write_run_report(run)
    assert "Audit: " not in report.markdown.read_text()
    assert "bootstrap over" in report.markdown.read_text()
    assert is_current(run)
    audit = drilldown.audit(run)
    assert not is_current(run)
    write_run_report(run)
    assert is_current(run)
    for sentence in (*audit.sentences, "Never choose by an audit"):
        assert sentence in report.markdown.read_text()
        assert sentence in " ".join(report.html.read_text().split()).replace("&#39;", "'")


def test_a_run_on_other_data_is_refused(run: Run, tmp_path: Path) -> None:
    for name, words in (
        ("glyphs", 'trained on "glyphs"; expected a run on "mnist"'),
        (QMNIST, 'trained on "qmnist", whose test images contain the audit set; expected a run on "mnist"'),
    ):
        experiment = load(tmp_path.parent / run.path / "experiment.toml", [f"recipe.dataset={name}"])
        other = perform(experiment, compute=Compute(engine="torch"), run_dir=tmp_path / name)
        with pytest.raises(DrilldownError, match=words):
            drilldown.audit(other)
        assert not (other.path / AUDIT).exists()


def test_an_unfinished_run_and_no_run_are_refused(run: Run, tmp_path: Path) -> None:
    (run.path / "summary.json").unlink()
    with pytest.raises(DrilldownError, match="the run is interrupted; it has no model yet"):
        drilldown.audit(run)
    with pytest.raises(DrilldownError, match=r"expected a run, as drilldown\.perform returns it"):
        drilldown.audit(str(tmp_path))  # type: ignore[arg-type]


def test_labels_that_do_not_begin_with_the_test_images_are_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents, (_, labels) = small_qmnist()
    other = {**contents, TEST_FILES[1]: label_file(np.roll(labels, 1), TEST_IDS)}
    monkeypatch.setitem(CATALOGUE, QMNIST, published_qmnist(other))
    (tmp_path / "data" / QMNIST / f"{TEST_FILES[1]}.gz").write_bytes(gzip.compress(other[TEST_FILES[1]]))
    with pytest.raises(DrilldownError, match="the run's test images are not the first ones of QMNIST"):
        drilldown.audit(run)


def test_without_the_file_of_writers_the_interval_is_wilsons(run: Run, tmp_path: Path) -> None:
    known = judged_interval(run)
    assert known.writers == len(np.unique(TEST_IDS[:TEST_IMAGES]))
    (tmp_path / "data" / QMNIST / f"{TEST_FILES[1]}.gz").unlink()
    unknown = judged_interval(run)
    assert unknown.writers is None
    assert unknown.low == pytest.approx(known.low, abs=5)
    assert run.predictions().interval() == unknown


def test_an_audit_reads_back_unchanged(run: Run) -> None:
    audit = drilldown.audit(run)
    assert Audit.model_validate_json(audit.model_dump_json()) == audit
