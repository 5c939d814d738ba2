"""The interval of a finished run's test accuracy."""

from __future__ import annotations

from pathlib import Path

import torch

from drilldown.data.loading import local_test_labels
from drilldown.evaluation.bootstrap import AccuracyInterval, accuracy_interval, independent_interval
from drilldown.runs.run import Run


def judged_interval(run: Run, data_dir: Path | str | None = None) -> AccuracyInterval:
    """The 95 % interval of the accuracy of a finished run's model on the test images.

    It is a bootstrap over writers where this machine has the file that names them, and the run's predictions. Nothing
    is fetched, and no image is read.

    *Arguments*: `data_dir`: the first place to look for the file.
    """
    judged = run.read().summary.test
    known = local_test_labels(run.experiment.recipe.dataset, data_dir)
    if known is not None and run.has_model:
        labels, writers = known
        correct = run.logits().argmax(1) == labels[: judged.total]
        if int(correct.sum()) == judged.correct:
            return accuracy_interval(correct, writers.take(torch.arange(judged.total)))
    return independent_interval(judged.correct, judged.total)
