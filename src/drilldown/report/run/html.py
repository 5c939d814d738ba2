"""The HTML report: one file that holds all it needs, the trained network included, and asks the network for nothing.

Pages extend `templates/base.html.j2` and are put together by `page`, which inlines style and scripts, embeds data and
computes the content-security-policy that forbids everything else.
"""

from __future__ import annotations

from typing import Any

from drilldown.evaluation.verdict import meets_bar
from drilldown.experiment.difference import find_difference
from drilldown.network.summary import ModelSummary
from drilldown.report.page import build_page
from drilldown.report.pictures import join_images, picture_address, raw_pixels
from drilldown.report.run.analysis import run_sentences
from drilldown.report.run.charts import run_charts
from drilldown.report.run.embedded import embed_run, why_not_embedded
from drilldown.report.run.evidence import RunEvidence
from drilldown.report.run.figures import augmented_samples

MOST_MISTAKES = 200
"""The most misclassified that a page shows: a network that learned nothing would fill megabytes with them."""
HARD_EXAMPLES = 3
"""Of the surest misclassified, how many are among the examples to try."""
SHADES = 5
"""Of the confusion matrix."""
NOUNS = {"mnist": "digit", "glyphs": "digit", "kmnist": "character"}
"""What there is to draw, by dataset; a picture otherwise."""
SCRIPTS = ("page.js", "prepare.js", "network.js", "pad.js")
"""Of a run's page; all but the first serve the network in it."""


def run_page(evidence: RunEvidence) -> str:
    """The page of a finished run."""
    experiment, epochs, bar = evidence.experiment, evidence.epochs, evidence.experiment.budget.accuracy
    obstacle = why_not_embedded(experiment)
    samples = augmented_samples(evidence.dataset, experiment).round().to(evidence.dataset.train.images.dtype)
    misclassified = evidence.misclassified[:MOST_MISTAKES]
    return build_page(
        "run.html.j2",
        scripts=SCRIPTS[:1] if obstacle else SCRIPTS,
        data={} if obstacle else {"network": embed_run(evidence.run, experiment), "examples": _examples(evidence)},
        evidence=evidence,
        experiment=experiment,
        summary=evidence.summary,
        verdict=evidence.verdict,
        part=evidence.verdict.split,
        noun=NOUNS.get(experiment.recipe.dataset, "picture"),
        obstacle=obstacle,
        sentences=run_sentences(evidence),
        charts=run_charts(epochs, experiment),
        met=[bar is not None and meets_bar(epoch, bar) for epoch in epochs],
        model_summary=experiment.model_summary,
        shares=shares(experiment.model_summary),
        changed=find_difference(experiment.parent, experiment) if experiment.parent else None,
        misclassified=[
            (mistake, picture_address(evidence.dataset.test.images[mistake.index])) for mistake in misclassified
        ],
        shades=_shades(evidence),
        samples=picture_address(join_images(samples)),
        sample_shape=samples.shape[:2],
        toml=experiment.to_toml().strip(),
    )


def shares(model_summary: ModelSummary) -> list[tuple[float, float]]:
    """For each layer, parameters and multiply-adds in percent of the largest layer's: the lengths of bars."""
    most = max(row.parameters for row in model_summary.layers), max(row.multiply_adds for row in model_summary.layers)
    return [
        (100 * row.parameters / (most[0] or 1), 100 * row.multiply_adds / (most[1] or 1))
        for row in model_summary.layers
    ]


def _examples(evidence: RunEvidence) -> list[dict[str, Any]]:
    """The first test image of each class that was read rightly, ten at most, and a few of the surest mistakes."""
    wrong = {mistake.index: mistake for mistake in evidence.misclassified}
    test = evidence.dataset.test
    chosen = []
    for number in range(min(evidence.dataset.classes, 10)):
        of_class = (test.labels == number).nonzero().flatten().tolist()
        chosen += [index for index in of_class if index not in wrong][:1]
    chosen += list(wrong)[:HARD_EXAMPLES]
    return [
        {
            "index": index,
            "truth": int(test.labels[index]),
            "mistake": index in wrong,
            "pixels": raw_pixels(test.images[index]),
        }
        for index in chosen
    ]


def _shades(evidence: RunEvidence) -> list[list[int]]:
    """For each cell of the confusion matrix, 0 (none) to SHADES (the most misclassified); the diagonal is left out."""
    wrong = evidence.confusion.clone().fill_diagonal_(0)
    most = max(1, int(wrong.max()))
    return [[-(-SHADES * count // most) for count in row] for row in wrong.tolist()]
