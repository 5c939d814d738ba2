"""The audit of a finished run: its accuracy on QMNIST's 50,000 further test images, on which nobody could choose.

`audit.json` lies in the run's folder. It has the checksum of the weights, so an audit of other weights does not count.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import filelock
import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drilldown.data.catalogue import QMNIST
from drilldown.data.download import OnDownload
from drilldown.data.qmnist import load_test_split
from drilldown.errors import DrilldownError, Problem, check_argument
from drilldown.evaluation.bootstrap import (
    AccuracyInterval,
    difference_interval,
    independent_interval,
)
from drilldown.evaluation.predictions import Predictions
from drilldown.evaluation.records import Tally
from drilldown.files import (
    busy_folder,
    explain_write_errors,
    json_bytes,
    lock_folder,
    read_json,
    with_checksum,
    write_atomically,
)
from drilldown.runs.folder import AUDIT, FINISHED, SUMMARY
from drilldown.runs.run import Run
from drilldown.shown import PublicNames
from drilldown.wording import count_text, difference_text

AUDITED = "mnist"
"""The dataset of the runs that can be audited."""
WARNING = "Never choose by an audit: images that decide are no longer an audit set, and they cannot be replaced."


class AuditedClass(PublicNames, BaseModel):
    """The accuracy on one class, on both sets of images."""

    model_config = ConfigDict(frozen=True)

    audit_correct: Annotated[int, Field(ge=0)]
    audit_total: Annotated[int, Field(ge=0)]
    test_correct: Annotated[int, Field(ge=0)]
    test_total: Annotated[int, Field(ge=0)]


class Audit(PublicNames, BaseModel):
    """A run's accuracy on the audit set, beside its accuracy on MNIST's test images."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    experiment: str
    """`study/step`."""
    fingerprint: str
    seed: int
    weights: str
    """The SHA-256 of the file with the weights that were evaluated."""
    audit: Tally
    """On the audit set: the test images of QMNIST that MNIST does not have."""
    audit_interval: AccuracyInterval
    independent: AccuracyInterval
    """Wilson's interval of the same accuracy, which takes all images as independent."""
    writers: Annotated[int, Field(ge=1)]
    """The number of writers of the audit set."""
    shared_writers: Annotated[int, Field(ge=0)]
    """The number of these writers who also wrote test images of MNIST."""
    test: Tally
    """On MNIST's test images, as the run was judged."""
    test_interval: AccuracyInterval
    difference_interval: AccuracyInterval | None
    """Of the audit accuracy minus the test accuracy, in points; None where the writers are too few."""
    classes: tuple[AuditedClass, ...]
    """The accuracy by class."""

    @property
    def difference(self) -> float:
        """The audit accuracy minus the test accuracy, in points."""
        return float(self.audit.accuracy - self.test.accuracy)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The result in words."""
        audit, ends = self.audit, self.difference_interval
        difference = f"Audit minus test: {difference_text(self.difference, 2)} points"
        if ends is not None:
            holds = "contains" if ends.low <= 0 <= ends.high else "does not contain"
            difference += f"; the 95 % interval, {ends.low:+.2f} to {ends.high:+.2f} ({ends.method}), {holds} 0"
        also = "of them also wrote test images of MNIST, and none wrote training images"
        return (
            f"Audit: {_tally_text(audit, 'further test images of QMNIST', self.audit_interval)}.",
            f"With all audit images taken as independent, the interval would be {self.independent}.",
            f"Test: {_tally_text(self.test, 'test images of MNIST', self.test_interval)}.",
            f"{difference}.",
            f"The audit images are by {count_text(self.writers, 'writer')}: {self.shared_writers:,} {also}.",
        )

    def __str__(self) -> str:
        return "\n".join(self.sentences)


def _tally_text(tally: Tally, noun: str, interval: AccuracyInterval) -> str:
    return f"{tally.correct:,} of {tally.total:,} {noun} are correct, {tally}; 95 % interval {interval}"


def audit_run(run: Run, data_dir: Path | str | None = None, *, on_download: OnDownload | None = None) -> Audit:
    """Evaluates a finished run on the audit set, and stores the result in the run's folder; once, then it is read.

    Never choose by an audit: images that decide are no longer an audit set.

    *Arguments*: `data_dir`: the first place to look for the images. `on_download`: called while files are fetched.

    *Raises* DrilldownError where the run is not finished or was not trained on MNIST, where the images are missing and
    cannot be fetched, or where the folder cannot be written.

    >>> drilldown.audit("last")
    Traceback (most recent call last):
    drilldown.errors.DrilldownError: run: found "last"; expected a run, as drilldown.perform returns it
    """
    check_argument("run", run, Run, "a run, as drilldown.perform returns it")
    _check_dataset(run)
    known = read_audit(run) if run.status == FINISHED else None
    if known is not None:
        return known
    run.check_finished()
    audit = _evaluate(run, data_dir, on_download)
    content = json_bytes(with_checksum(audit.model_dump(mode="json")))
    try:
        with explain_write_errors(run.path), lock_folder(run.path):
            if audit.weights == run.weights_digest:  # a repetition may have replaced them
                write_atomically(run.path / AUDIT, content)
    except filelock.Timeout:
        raise DrilldownError(
            busy_folder(run.path, "another process is writing here", "repeat the command later")
        ) from None
    return audit


def read_audit(run: Run) -> Audit | None:
    """Reads the audit of a finished run; None where it has none, or where it is about other weights.

    *Raises* DrilldownError where the file is damaged.
    """
    file = run.path / AUDIT
    document = read_json(file)
    if not document:
        return None
    if "sha256" not in document:
        raise _damaged_audit(file, "its checksum is missing")
    try:
        audit = Audit.model_validate(document)
    except ValidationError as error:
        raise _damaged_audit(file, f'"{".".join(map(str, error.errors()[0]["loc"]))}" is invalid') from None
    run.check_owner(AUDIT, audit.fingerprint, audit.seed)
    return audit if audit.weights == run.weights_digest else None


def _check_dataset(run: Run) -> None:
    """Raises DrilldownError where the audit set would not be new to the run, or not be of its kind."""
    dataset = run.experiment.recipe.dataset
    if dataset != AUDITED:
        found = f'the run was trained on "{dataset}"'
        if dataset == QMNIST:
            found += ", whose test images contain the audit set"
        raise DrilldownError(
            Problem(file=run.path, found=found, expected=f'a run on "{AUDITED}": the audit set is made of such digits')
        )


def _evaluate(run: Run, data_dir: Path | str | None, on_download: OnDownload | None) -> Audit:
    """Evaluates the run on the images after those that it was judged on."""
    weights, summary, logits = run.weights_digest, run.read().summary, run.logits()
    images = load_test_split(data_dir, on_download=on_download)
    test = Predictions(images.take(torch.arange(len(logits))), logits)
    if test.tally.correct != summary.test.correct:
        raise DrilldownError(
            Problem(
                file=run.path,
                found="the run's test images are not the first ones of QMNIST",
                expected=f"{summary.test.correct:,} of {summary.test.total:,} correct, as {SUMMARY} says",
            )
        )
    audit = run.evaluate(images.take(torch.arange(len(logits), len(images))))
    test_writers, audit_writers = test.split.writers, audit.split.writers
    assert test_writers is not None
    assert audit_writers is not None
    names = np.unique(audit_writers.ids)
    counts = (counted for part in (audit, test) for counted in (part.confusion.diagonal(), part.confusion.sum(1)))
    return Audit(
        experiment=run.name,
        fingerprint=summary.fingerprint or run.trained_experiment.fingerprint,
        seed=summary.seed,
        weights=weights,
        audit=audit.tally,
        audit_interval=audit.interval(),
        independent=independent_interval(audit.tally.correct, audit.tally.total),
        writers=len(names),
        shared_writers=len(np.intersect1d(names, test_writers.ids)),
        test=test.tally,
        test_interval=test.interval(),
        difference_interval=difference_interval((test.correct, test_writers), (audit.correct, audit_writers)),
        classes=tuple(
            AuditedClass(audit_correct=right, audit_total=total, test_correct=test_right, test_total=test_total)
            for right, total, test_right, test_total in torch.stack([*counts], 1).tolist()
        ),
    )


def _damaged_audit(file: Path, reason: str) -> DrilldownError:
    return DrilldownError(
        Problem(
            file=file,
            found=f"cannot be read ({reason})",
            suggestion="delete the file and repeat drilldown audit",
        )
    )
