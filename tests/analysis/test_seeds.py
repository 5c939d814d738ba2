"""Which experiments can be compared by their accuracies."""

from __future__ import annotations

import pytest

from drilldown import load
from drilldown.analysis.seeds import Seeds, why_incomparable

BY_WRITER = 'recipe.holdout={images = 10_000, by = "writer"}'


def seeds_of(*settings: str) -> Seeds:
    return Seeds(experiment=load("under-8k", settings), finished=(), diverged=(), unfinished=())


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ([], ["recipe.epochs=3"], None),
        ([BY_WRITER], [BY_WRITER, "recipe.epochs=3"], None),
        (["recipe.holdout=10_000"], ["recipe.holdout={images = 10_000}"], None),
        ([], ["recipe.dataset=kmnist"], "different data (mnist, kmnist)"),
        ([], [BY_WRITER], "measured on different images (test, validation)"),
        (
            ["recipe.holdout=10_000"],
            ["recipe.holdout=5_000"],
            "measured on different validation splits (10,000, 5,000)",
        ),
        (
            ["recipe.holdout=10_000"],
            [BY_WRITER],
            "measured on different validation splits (10,000, 10,000 by writer)",
        ),
    ],
)
def test_accuracies_on_different_images_are_not_compared(first, second, why):
    assert why_incomparable(seeds_of(*first), seeds_of(*second)) == why
