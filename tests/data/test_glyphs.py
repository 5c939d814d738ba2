"""The dataset that is drawn from fonts."""

from __future__ import annotations

import torch

from drilldown.data.glyphs import draw_glyphs
from drilldown.data.loading import load_dataset


def test_glyphs_are_reproducible_and_do_not_use_the_global_generator():
    torch.manual_seed(5)
    first = draw_glyphs(train=50, test=20)
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), after)
    for split, repeated in zip(first, draw_glyphs(train=50, test=20), strict=True):
        assert torch.equal(split[0], repeated[0])
        assert torch.equal(split[1], repeated[1])


def test_glyphs_differ_between_seeds_and_between_splits():
    (train, _), (test, _) = draw_glyphs(train=30, test=30)
    (other, _), _ = draw_glyphs(train=30, test=30, seed=1)
    assert not torch.equal(train, other)
    assert not torch.equal(train, test)


def test_glyphs_look_like_mnist():
    drawn = load_dataset("glyphs")
    assert drawn.image_shape == (1, 28, 28)
    assert drawn.train.labels.bincount().tolist() == [600] * 10
    assert drawn.test.labels.bincount().tolist() == [100] * 10
    ink = drawn.train.images.float().mean(dim=(0, 1))
    # Light ink in the centre on a dark background.
    assert ink[10:18, 10:18].mean() > 3 * torch.cat([ink[:3].flatten(), ink[-3:].flatten()]).mean()


def test_glyphs_can_be_classified_by_the_nearest_mean_image():
    drawn = load_dataset("glyphs")
    train, test = drawn.train.images.flatten(1).float(), drawn.test.images.flatten(1).float()
    means = torch.stack([train[drawn.train.labels == label].mean(dim=0) for label in range(10)])
    predicted = torch.cdist(test, means).argmin(dim=1)
    correct = int((predicted == drawn.test.labels).sum())
    assert correct > 500  # of 1,000; chance gives 100
