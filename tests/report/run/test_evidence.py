"""The evidence of a run's report: its counts agree with each other."""

from __future__ import annotations

from drilldown import Run
from drilldown.report.run.evidence import gather_run


def test_misclassified_images_and_confusion_matrix_count_the_same_images(run: Run) -> None:
    gathered = gather_run(run)
    correct = int(gathered.confusion.diagonal().sum())
    assert int(gathered.confusion.sum()) == len(gathered.dataset.test)
    assert len(gathered.misclassified) == len(gathered.dataset.test) - correct
    assert correct == run.epochs[-1].test.correct
    for image in gathered.misclassified:
        assert int(gathered.dataset.test.labels[image.index]) == image.truth != image.predicted
        assert 0.1 < image.confidence <= 1
    assert list(gathered.misclassified) == sorted(gathered.misclassified, key=lambda image: -image.confidence)
