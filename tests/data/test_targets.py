"""Targets stay with their images."""

from __future__ import annotations

import pytest
import torch

from drilldown.data.dataset import Dataset, Split
from drilldown.data.targets import Targets
from drilldown.data.teacher import Teacher
from drilldown.errors import DrilldownError
from support.teachers import random_shares


def taught(count: int = 60) -> Dataset:
    """A dataset whose images contain their own number, and targets that contain it too."""
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1).expand(-1, 2, 3)
    split = Split(images, torch.arange(count) % 3)
    dataset = Dataset("numbered", split, split, 3, (0.5,), (0.5,), "numbered")
    shares = torch.from_numpy(random_shares(count, 3))
    shares[:, 0] = torch.arange(count)
    return dataset.taught(Targets(shares, torch.arange(count) % 2 == 0, Teacher(dataset="numbered")))


def assert_together(split: Split) -> None:
    assert split.targets is not None
    numbers = split.images[:, 0, 0, 0].long()
    assert split.targets.probabilities[:, 0].equal(numbers.float())
    assert split.targets.seen.equal(numbers % 2 == 0)


def test_targets_follow_their_images_into_every_copy_of_a_split() -> None:
    train = taught().train
    chosen = train.take(torch.tensor([4, 1, 1]))
    assert chosen.images[:, 0, 0, 0].tolist() == [4, 1, 1]
    for copy in (train, chosen, train.transposed(), train.to(torch.device("cpu"))):
        assert_together(copy)


def test_both_sides_of_a_validation_split_keep_their_targets() -> None:
    rest, held = taught().hold_out(20, seed=1)
    for split, count in ((rest.train, 40), (held, 20)):
        assert_together(split)
        assert len(split) == count
    assert rest.test.targets is None


def test_the_identity_is_that_of_the_probabilities_alone() -> None:
    shares, seen = torch.from_numpy(random_shares(9, 3)), torch.ones(9, dtype=torch.bool)
    first = Targets(shares, seen, Teacher()).identity
    assert first == Targets(shares.clone(), ~seen, Teacher(words="another")).identity
    assert first != Targets(shares.flip(0), seen, Teacher()).identity


@pytest.mark.parametrize(
    ("shape", "made_for", "message"),
    [
        ((59, 3), "", r"p_train: an array of shape \(59, 3\); expected \(60, 3\): a row for each training image"),
        ((60, 4), "numbered", r"p_train: an array of shape \(60, 4\); expected \(60, 3\)"),
        ((60, 3), "mnist", r'the teacher learned "mnist"; expected "numbered", the dataset of the experiment'),
    ],
)
def test_targets_of_another_dataset_are_refused(shape: tuple[int, int], made_for: str, message: str) -> None:
    shares = torch.from_numpy(random_shares(*shape))
    targets = Targets(shares, torch.ones(shape[0], dtype=torch.bool), Teacher(dataset=made_for))
    with pytest.raises(DrilldownError, match=f"^teacher.npz: {message}"):
        taught().taught(targets, "teacher.npz")
