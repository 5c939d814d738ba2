"""The page of a run: one HTML file, which contains the trained network and makes no network request."""

from __future__ import annotations

from typing import Any

from drilldown.evaluation.activation_maps import has_activation_maps
from drilldown.evaluation.verdict import meets_bar
from drilldown.experiment.difference import find_difference
from drilldown.network.summary import ModelSummary
from drilldown.report.page import build_page
from drilldown.report.pictures import join_images, picture_address, raw_pixels
from drilldown.report.prose import prose_html
from drilldown.report.run.activation import Activation, colour_map, describe, first_right
from drilldown.report.run.analysis import run_sentences
from drilldown.report.run.charts import run_charts
from drilldown.report.run.embedded import embed_run, why_not_embedded
from drilldown.report.run.evidence import RunEvidence
from drilldown.report.run.figures import augmented_samples
from drilldown.report.svg import Drawing

MAX_MISCLASSIFIED = 200
"""The largest number of misclassified images in a page; an untrained network would fill megabytes with them."""
UNFOLDED = 40
"""The number of misclassified images that the page shows at once; the others are folded."""
HARD_EXAMPLES = 3
"""The number of misclassified images among the examples for the pad."""
SAMPLES_SIDE = 1024
"""The longest side, in pixels, of the picture with all augmented samples."""
SHADES = 5
"""The number of shades in the confusion matrix."""
NOUNS = {"mnist": "digit", "qmnist": "digit", "glyphs": "digit", "kmnist": "character"}
"""The word for an image, by dataset; `picture` for every other dataset."""
SCRIPTS = ("page.js", "prepare.js", "network.js", "pad.js")
"""The scripts of a run's page; all but the first belong to the network in it."""


def run_page(evidence: RunEvidence) -> str:
    """The page of a finished run."""
    experiment, epochs, bar = evidence.experiment, evidence.epochs, evidence.experiment.budget.accuracy
    obstacle = why_not_embedded(experiment)
    conventions = evidence.finished.summary.pictures or experiment.recipe.conventions_of(evidence.dataset)
    samples = augmented_samples(evidence.dataset, experiment).round().to(evidence.dataset.train.images.dtype)
    images = evidence.dataset.test.images
    misclassified = [
        (image, picture_address(images[image.index])) for image in evidence.misclassified[:MAX_MISCLASSIFIED]
    ]
    return build_page(
        "run.html.j2",
        scripts=SCRIPTS[:1] if obstacle else SCRIPTS,
        data={}
        if obstacle
        else {
            "network": embed_run(evidence.run, experiment),
            "conventions": conventions.to_json(),
            "examples": _examples(evidence),
        },
        conventions=conventions,
        evidence=evidence,
        names=evidence.dataset.names,
        experiment=experiment,
        summary=evidence.summary,
        verdict=evidence.verdict,
        split=evidence.verdict.split,
        noun=NOUNS.get(experiment.recipe.dataset, "picture"),
        obstacle=obstacle,
        has_activation_maps=has_activation_maps(experiment.layout),
        prose=prose_html,
        sentences=run_sentences(evidence),
        charts=[Drawing(chart) for chart in run_charts(epochs, experiment)],
        met=[bar is not None and meets_bar(epoch, bar) for epoch in epochs],
        model_summary=experiment.model_summary,
        bar_lengths=bar_lengths(experiment.model_summary),
        changed=find_difference(experiment.parent, experiment) if experiment.parent else None,
        misclassified=misclassified,
        gallery=[part for part in (misclassified[:UNFOLDED], misclassified[UNFOLDED:]) if part],
        activations=[(shown, describe(shown), _coloured(shown)) for shown in evidence.activations],
        shades=_shades(evidence),
        samples=picture_address(join_images(samples), largest=SAMPLES_SIDE),
        sample_shape=samples.shape[:2],
        toml=experiment.to_toml().strip(),
    )


def bar_lengths(model_summary: ModelSummary) -> list[tuple[float, float]]:
    """The lengths of bars: each layer's parameters and multiply-adds, in percent of the largest layer's."""
    rows = model_summary.layers  # none where a user's module calls no layer, but only functions
    most = max((row.parameters for row in rows), default=0), max((row.multiply_adds for row in rows), default=0)
    return [
        (100 * row.parameters / (most[0] or 1), 100 * row.multiply_adds / (most[1] or 1))
        for row in model_summary.layers
    ]


def _coloured(activation: Activation) -> str:
    """The picture of a class activation map."""
    return picture_address(colour_map(activation.image, activation.map), largest=96)


def _examples(evidence: RunEvidence) -> list[dict[str, Any]]:
    """For up to ten classes the first correctly classified test image, and a few misclassified ones, surest first."""
    wrong = {image.index for image in evidence.misclassified}
    test = evidence.dataset.test
    chosen = first_right(test, wrong, min(evidence.dataset.classes, 10))
    chosen += [image.index for image in evidence.misclassified[:HARD_EXAMPLES]]
    return [
        {
            "index": index,
            "truth": evidence.dataset.names[test.labels[index]],
            "misclassified": index in wrong,
            "pixels": raw_pixels(test.images[index]),
        }
        for index in chosen
    ]


def _shades(evidence: RunEvidence) -> list[list[int]]:
    """The shade of each cell of the confusion matrix: 0 without errors, SHADES for the most; the diagonal has none."""
    wrong = evidence.confusion.clone().fill_diagonal_(0)
    most = max(1, int(wrong.max()))
    return [[-(-SHADES * count // most) for count in row] for row in wrong.tolist()]
