"""The tables of the augmentation: spellings, limits, strength, and what a factor does to them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drilldown.data.ranges import spread
from drilldown.data.transforms import Affine, Augmentation, Crop, Erase, Flip, Jitter, Rotate, Transform


def written(value: Any) -> Augmentation:
    return Augmentation.model_validate(value)


def stored(augment: Augmentation) -> Any:
    return augment.model_dump(mode="json", exclude_defaults=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"rotate": [-7, 7]}, {"rotate": 7}),
        ({"rotate": {"degrees": 7}}, {"rotate": 7}),
        ({"rotate": 0}, {}),
        ({"affine": {"translate": [0.1, 0.1]}}, {"affine": {"translate": 0.1}}),
        ({"affine": {"shear": [-5, 5], "p": 1}}, {"affine": {"shear": 5}}),
        ({"crop": {"size": 22}}, {"crop": 22}),
        ({"flip": "horizontal"}, {"flip": {}}),
        ({"erase": 0.1}, {"erase": [0.1, 0.1]}),
        ({"elastic": 34}, {"elastic": {}}),
    ],
)
def test_two_spellings_of_one_transform_are_the_same(one: Any, other: Any) -> None:
    assert written(one) == written(other)
    assert stored(written(one)) == stored(written(other))


@pytest.mark.parametrize(
    "value",
    [
        {"rotate": [-5, 10]},
        {"rotate": {"degrees": [0, 10], "p": 0.5, "fade": 0.25}},
        {"affine": {"translate": [2, 0.1], "p": 0.0}},
        {"jitter": {"brightness": [0.8, 1.5], "fade": 1}},
        {"crop": 0.8, "flip": "both", "perspective": 0.3, "elastic": 20, "erase": {}},
        {"crop": {"size": 22, "p": 0.1}, "flip": {"direction": "vertical", "p": 0.2, "fade": 0.5}},
    ],
)
def test_what_is_stored_is_read_back(value: Any) -> None:
    assert written(stored(written(value))) == written(value)
    assert written(written(value).model_dump(mode="json", exclude_none=True)) == written(value)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"rotate": 181}, "rotate"),
        ({"rotate": [7, -7]}, "rotate"),
        ({"rotate": [0, 200]}, "rotate"),
        ({"rotate": True}, "rotate"),
        ({"rotate": [1, 2, 3]}, "rotate"),
        ({"rotate": {"degrees": "7"}}, "rotate.degrees"),
        ({"rotate": {"degrees": 7, "p": 1.5}}, "rotate.p"),
        ({"rotate": {"degrees": 7, "fade": -0.1}}, "rotate.fade"),
        ({"affine": {"shear": 90}}, "affine.shear"),
        ({"affine": {"translate": 1.5}}, "affine.translate"),
        ({"affine": {"translate": [-0.1, 0.1]}}, "affine.translate"),
        ({"affine": {"scale": [1.1, 0.9]}}, "affine.scale"),
        ({"jitter": {"brightness": 1}}, "jitter.brightness"),
        ({"jitter": {"contrast": [1.2, 0.8]}}, "jitter.contrast"),
        ({"crop": 1}, "crop"),
        ({"crop": 22.5}, "crop"),
        ({"crop": 0}, "crop"),
        ({"crop": {}}, "crop.size"),
        ({"flip": True}, "flip"),
        ({"flip": {"direction": "left"}}, "flip.direction"),
        ({"perspective": 0.7}, "perspective"),
        ({"elastic": -1}, "elastic"),
        ({"elastic": {"sigma": 0}}, "elastic.sigma"),
        ({"erase": [0.3, 0.1]}, "erase"),
        ({"erase": {"ratio": [3, 0.3]}}, "erase.ratio"),
        ({"erase": 1}, "erase"),
    ],
)
def test_a_wrong_value_is_refused_at_its_place(value: Any, place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        written(value)
    (detail,) = caught.value.errors()
    assert ".".join(map(str, detail["loc"])) == place


@pytest.mark.parametrize(
    "neutral",
    [
        {"rotate": 0}, {"affine": {}}, {"jitter": {}}, {"jitter": {"brightness": [1, 1]}}, {"perspective": 0},
        {"elastic": 0}, {"erase": 0}, {"crop": {"size": 20, "p": 0}}, {"flip": {"p": 0}},
    ],
)  # fmt: skip
def test_transforms_without_strength_or_probability_are_not_active(neutral: Any) -> None:
    assert written(neutral).active() == {}
    assert [*written(neutral | {"rotate": 5}).active()] == ["rotate"]


@given(st.floats(0.05, 1), st.integers(1, 40))
def test_the_strength_falls_in_equal_steps_to_0_in_the_last_epoch(fade: float, epochs: int) -> None:
    strengths = [Rotate(degrees=5, fade=fade).strength(epoch / epochs) for epoch in range(1, epochs + 1)]
    assert strengths[-1] == 0
    assert strengths == sorted(strengths, reverse=True)
    assert all(
        strength == 1 for strength, n in zip(strengths, range(1, epochs + 1), strict=True) if 1 - n / epochs > fade
    )
    assert Rotate(degrees=5).strength(1) == 1


@given(st.sampled_from([0.25, 0.5, 1.5, 3.0, 100.0]))
def test_a_scaled_augmentation_is_valid_and_stays_within_what_is_possible(factor: float) -> None:
    own = written(
        {
            "crop": 20, "flip": "horizontal", "rotate": [-90, 170], "perspective": 0.4, "elastic": 30, "erase": {},
            "affine": {"rotate": 90, "translate": [3, 0.3], "scale": [0.5, 1.5], "shear": [-20, 40], "p": 0.5},
            "jitter": {"brightness": 0.3, "contrast": [0.5, 1.2], "fade": 0.3},
        }
    )  # fmt: skip
    scaled = own.scaled(factor)
    assert written(stored(scaled)) == scaled
    assert scaled.affine is not None
    assert (scaled.affine.p, scaled.crop, scaled.flip) == (0.5, own.crop, own.flip)
    assert own.scaled(0).active() == {}


def test_a_scaled_range_keeps_its_middle() -> None:
    assert Jitter(brightness=(0.8, 1.4)).scaled(0.5).brightness == (0.9, 1.2)
    assert Rotate(degrees=(-4.0, 10.0)).scaled(0.5).degrees == (-2.0, 5.0)
    assert Affine(translate=3.0).scaled(0.5).translate == 2.0  # whole pixels stay whole
    assert Affine(translate=0.1).scaled(0.5).translate == 0.05
    assert Erase(area=(0.1, 0.2)).scaled(0.5).area == (0.05, 0.1)


def test_a_range_is_the_largest_change_or_both_ends() -> None:
    assert spread(7.0) == (-7, 7)
    assert spread((1.0, 2.0)) == (1, 2)
    assert spread(0.25, 1) == (0.75, 1.25)


@pytest.mark.parametrize("transform", [Crop(size=22.0), Flip(direction="horizontal")])
def test_every_transform_has_a_probability_and_a_fade(transform: Transform) -> None:
    assert {"p", "fade"} <= set(type(transform).model_fields)
