"""Random warps, brightness and contrast of images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import torch
from PIL import Image, ImageEnhance
from scipy import stats

from drilldown.data.augmentation import AugmentationDraws, augment_images, draw_augmentation
from drilldown.data.transforms import Affine, Augmentation, Jitter, Rotate
from drilldown.data.warping import warp_images

COUNT, HEIGHT, WIDTH = 2_000, 28, 28
EVERYTHING: dict[str, Any] = {"rotate": 20.0, "translate": 0.1, "scale": (0.7, 1.3), "shear": 15.0}


def drawn(
    augment: Augmentation, count: int = COUNT, height: int = HEIGHT, width: int = WIDTH, seed: int = 5
) -> AugmentationDraws:
    return draw_augmentation(augment, count, torch.Generator().manual_seed(seed), height, width)


def forward(augment: Augmentation, **options: int) -> tuple[np.ndarray, np.ndarray]:
    """The maps from input to output: (N, 2, 2) and (N, 2) in pixels from the centre."""
    inverse = drawn(augment, **options).inverse
    assert inverse is not None
    full = np.zeros((len(inverse), 3, 3))
    full[:, :2], full[:, 2, 2] = inverse.numpy(), 1
    forward_maps = np.linalg.inv(full)
    return forward_maps[:, :2, :2], forward_maps[:, :2, 2]


def is_uniform(values: np.ndarray, low: float, high: float) -> bool:
    in_range = values.min() >= low - 1e-6 and values.max() <= high + 1e-6
    return bool(in_range and stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.001)


def random_maps(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    linear = torch.eye(2, dtype=torch.float64) + 0.4 * torch.randn(count, 2, 2, generator=generator).double()
    return torch.cat([linear, 4 * torch.randn(count, 2, 1, generator=generator).double()], dim=2)


def reference(pixels: np.ndarray, inverse: np.ndarray, order: int) -> np.ndarray:
    """Resampling by SciPy, whose positions are (row, column) from the corner."""
    swapped = inverse[::-1, [1, 0]]
    centre = (np.array(pixels.shape) - 1) / 2
    offset = centre + inverse[::-1, 2] - swapped @ centre
    return scipy.ndimage.affine_transform(pixels, swapped, offset, order=order, mode="grid-constant")


@pytest.mark.parametrize(("height", "width"), [(28, 28), (17, 30), (12, 9)])
def test_bilinear_warps_agree_with_scipy(height: int, width: int) -> None:
    pixels = 255 * torch.rand(12, 1, height, width, dtype=torch.float64)
    maps = random_maps(12, seed=height)
    warped = warp_images(pixels, maps, "bilinear")
    for image, inverse, actual in zip(pixels, maps, warped, strict=True):
        expected = reference(image[0].numpy(), inverse.numpy(), order=1)
        np.testing.assert_allclose(actual[0].numpy(), expected, atol=1e-9)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (17, 30)])
def test_nearest_warps_agree_with_scipy_where_one_pixel_is_nearest(height: int, width: int) -> None:
    pixels = 255 * torch.rand(12, 1, height, width, dtype=torch.float64)
    maps = random_maps(12, seed=width)
    warped = warp_images(pixels, maps, "nearest")
    rows, columns = np.mgrid[:height, :width]
    for image, inverse, actual in zip(pixels, maps.numpy(), warped, strict=True):
        x, y = columns - (width - 1) / 2, rows - (height - 1) / 2
        source_x = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2] + (width - 1) / 2
        source_y = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2] + (height - 1) / 2
        distance = [abs(np.abs(source - np.floor(source)) - 0.5) for source in (source_x, source_y)]
        clear = (distance[0] > 1e-6) & (distance[1] > 1e-6)
        assert clear.mean() > 0.99
        expected = reference(image[0].numpy(), inverse, order=0)
        np.testing.assert_array_equal(actual[0].numpy()[clear], expected[clear])


def test_the_identity_changes_no_pixel() -> None:
    pixels = torch.randint(256, (4, 1, 19, 28)).float()
    identity = torch.eye(2, 3).repeat(4, 1, 1)
    torch.testing.assert_close(warp_images(pixels, identity, "bilinear"), pixels, rtol=0, atol=1e-3)
    assert torch.equal(warp_images(pixels, identity, "nearest"), pixels)


@pytest.mark.parametrize(
    "augment",
    [
        Augmentation(),
        Augmentation(affine=Affine()),
        Augmentation(jitter=Jitter()),
        Augmentation(rotate=Rotate(degrees=0.0), affine=Affine()),
    ],
)
def test_ranges_of_zero_change_nothing(augment: Augmentation) -> None:
    images = torch.randint(256, (4, 1, 28, 28)).to(torch.uint8)
    draws = drawn(augment, count=4)
    assert draws == AugmentationDraws(None, None)
    assert torch.equal(augment_images(images, draws), images.float())


@pytest.mark.parametrize(
    "augment", [Augmentation(rotate=Rotate(degrees=30.0)), Augmentation(affine=Affine(rotate=30.0))]
)
def test_a_rotation_is_orthogonal_with_a_uniform_angle(augment: Augmentation) -> None:
    linear, shift = forward(augment)
    np.testing.assert_allclose(linear @ linear.transpose(0, 2, 1), np.broadcast_to(np.eye(2), linear.shape), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(linear), 1, atol=1e-6)
    np.testing.assert_allclose(shift, 0, atol=1e-6)
    assert is_uniform(np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0])), -30, 30)


def test_a_rotation_of_180_degrees_reaches_every_angle() -> None:
    linear, _ = forward(Augmentation(rotate=Rotate(degrees=180.0)))
    assert is_uniform(np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0])), -180, 180)


def test_a_scale_multiplies_both_axes_by_the_same_uniform_factor() -> None:
    linear, shift = forward(Augmentation(affine=Affine(scale=(0.8, 1.4))))
    np.testing.assert_allclose(linear, linear[:, :1, :1] * np.eye(2), atol=1e-6)
    np.testing.assert_allclose(shift, 0, atol=1e-6)
    assert is_uniform(linear[:, 0, 0], 0.8, 1.4)


def test_a_shear_slants_columns_by_a_uniform_angle() -> None:
    linear, shift = forward(Augmentation(affine=Affine(shear=25.0)))
    expected = np.broadcast_to(np.eye(2), linear.shape).copy()
    expected[:, 0, 1] = linear[:, 0, 1]
    np.testing.assert_allclose(linear, expected, atol=1e-6)
    np.testing.assert_allclose(shift, 0, atol=1e-6)
    assert is_uniform(np.degrees(np.arctan(linear[:, 0, 1])), -25, 25)


@pytest.mark.parametrize("others", [{}, {"rotate": 90.0, "shear": 20.0}, {"scale": (2.0, 2.0)}])
def test_a_shift_is_a_fraction_of_width_and_height_with_any_other_transform(others: dict[str, Any]) -> None:
    _, shift = forward(Augmentation(affine=Affine(translate=0.25, **others)), height=20, width=40)
    assert is_uniform(shift[:, 0], -10, 10)
    assert is_uniform(shift[:, 1], -5, 5)
    assert abs(np.corrcoef(shift.T)[0, 1]) < 0.1


def test_the_separate_rotation_comes_before_the_shear_and_the_affine_rotation_after_it() -> None:
    upright = np.array([1.0, 1.0])
    for linear in forward(Augmentation(rotate=Rotate(degrees=30.0), affine=Affine(shear=20.0)), count=50)[0]:
        slant, _ = scipy.linalg.rq(linear)  # linear = upper triangle · rotation
        np.testing.assert_allclose(np.abs(np.diag(slant)), upright, atol=1e-5)
    for linear in forward(Augmentation(affine=Affine(rotate=30.0, shear=20.0)), count=50)[0]:
        _, slant = scipy.linalg.qr(linear)  # linear = rotation · upper triangle
        np.testing.assert_allclose(np.abs(np.diag(slant)), upright, atol=1e-5)


def test_the_combined_map_is_the_product_of_the_single_maps() -> None:
    first, _ = forward(Augmentation(rotate=Rotate(degrees=10.0)))
    second, _ = forward(Augmentation(affine=Affine(rotate=EVERYTHING["rotate"])))
    shear, _ = forward(Augmentation(affine=Affine(shear=EVERYTHING["shear"])))
    scale, _ = forward(Augmentation(affine=Affine(scale=EVERYTHING["scale"])))
    _, shift = forward(Augmentation(affine=Affine(translate=EVERYTHING["translate"])))
    inverse = drawn(Augmentation(rotate=Rotate(degrees=10.0), affine=Affine(**EVERYTHING))).inverse
    assert inverse is not None
    expected = np.zeros((COUNT, 3, 3))
    expected[:, :2, :2], expected[:, :2, 2], expected[:, 2, 2] = second @ shear @ scale @ first, shift, 1
    np.testing.assert_allclose(inverse.numpy(), np.linalg.inv(expected)[:, :2], atol=1e-4)


def test_the_draws_of_different_parameters_are_independent() -> None:
    first, _ = forward(Augmentation(rotate=Rotate(degrees=10.0)))
    second, _ = forward(Augmentation(affine=Affine(rotate=10.0)))
    scale, _ = forward(Augmentation(affine=Affine(scale=(0.5, 1.5))))
    _, shift = forward(Augmentation(affine=Affine(translate=0.5)))
    values = [first[:, 0, 1], second[:, 0, 1], scale[:, 0, 0], *shift.T]
    correlations = np.corrcoef(values) - np.eye(len(values))
    assert np.abs(correlations).max() < 4 / math.sqrt(COUNT)


def test_brightness_and_contrast_are_uniform() -> None:
    draws = drawn(Augmentation(jitter=Jitter(brightness=0.3, contrast=0.6)))
    assert draws.inverse is None
    assert draws.brightness_contrast is not None
    brightness, contrast = draws.brightness_contrast.double().numpy().T
    assert is_uniform(brightness, 0.7, 1.3)
    assert is_uniform(contrast, 0.4, 1.6)
    assert abs(np.corrcoef(brightness, contrast)[0, 1]) < 4 / math.sqrt(COUNT)


@pytest.mark.parametrize("brightness", [0.6, 1.0, 1.4])
@pytest.mark.parametrize("contrast", [0.6, 1.0, 1.3])
def test_brightness_and_contrast_agree_with_pillow_up_to_rounding(brightness: float, contrast: float) -> None:
    images = torch.randint(70, 160, (5, 1, 20, 30), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    actual = augment_images(images, AugmentationDraws(None, torch.tensor([[brightness, contrast]]).repeat(5, 1)))
    for image, ours in zip(images, actual, strict=True):
        pillow = ImageEnhance.Contrast(Image.fromarray(image[0].numpy())).enhance(contrast)
        pillow = ImageEnhance.Brightness(pillow).enhance(brightness)
        # Pillow rounds the mean, and truncates to whole numbers after each of the two steps.
        tolerance = 1 + brightness * (1 + abs(1 - contrast) / 2)
        np.testing.assert_allclose(ours[0].numpy(), np.asarray(pillow, dtype=float), rtol=0, atol=tolerance)


def test_brightness_and_contrast_stay_within_0_and_255() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).repeat(1, 1, 4, 4)
    actual = augment_images(images, AugmentationDraws(None, torch.tensor([[1.9, 1.9]])))
    assert set(actual.flatten().tolist()) == {0.0, 255.0}


@pytest.mark.parametrize(("height", "width"), [(21, 41), (41, 21)])
def test_a_rectangular_image_is_rotated_without_distortion(height: int, width: int) -> None:
    image = torch.zeros(1, 1, height, width, dtype=torch.float64)
    middle_row, middle_column = height // 2, width // 2
    image[0, 0, middle_row, middle_column + 7] = 255  # 7 to the right of the centre
    quarter = torch.tensor([[[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]], dtype=torch.float64)  # output → input
    turned = warp_images(image, quarter, "bilinear")[0, 0]
    expected = torch.zeros(height, width, dtype=torch.float64)
    expected[middle_row + 7, middle_column] = 255  # 7 below it
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-9)


def test_a_slice_of_the_draws_gives_the_same_images() -> None:
    images = torch.randint(256, (10, 3, 28, 28)).to(torch.uint8)
    draws = drawn(Augmentation.model_validate(ALL), count=10)
    together = augment_images(images, draws)
    assert together.shape == (10, 3, 28, 28)
    assert together.dtype == torch.float32
    parts = [augment_images(images[start : start + 4], draws.slice(start, start + 4)) for start in (0, 4, 8)]
    torch.testing.assert_close(torch.cat(parts), together, rtol=0, atol=1e-2)


# Crop, flip, perspective, elastic, erase; probability and fade

ALL: dict[str, Any] = {
    "crop": 20, "flip": "both", "rotate": 20, "affine": EVERYTHING, "perspective": 0.3, "elastic": 34,
    "jitter": {"brightness": 0.4, "contrast": [0.5, 1.2]}, "erase": [0.1, 0.3],
}  # fmt: skip


def with_options(name: str, **options: float) -> Augmentation:
    """One transform with a probability or a fade."""
    main = {"crop": "size", "flip": "direction", "rotate": "degrees", "perspective": "distortion", "elastic": "alpha",
            "erase": "area"}.get(name)  # fmt: skip
    settings = {main: ALL[name]} if main else ALL[name]
    return Augmentation.model_validate({name: settings | options})


def changed(augment: Augmentation, done: float = 0.0, count: int = 300) -> torch.Tensor:
    """Whether each of some noisy images is changed, (count)."""
    images = torch.randint(1, 256, (count, 1, 28, 28), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    draws = draw_augmentation(augment, count, torch.Generator().manual_seed(2), 28, 28, done)
    return (augment_images(images, draws) - images).abs().amax(dim=(1, 2, 3)) > 0.01


@pytest.mark.parametrize("name", ALL)
def test_a_probability_is_the_share_of_images_that_change(name: str) -> None:
    assert not changed(with_options(name, p=0)).any()
    if name != "flip":  # each direction has its own probability
        assert changed(with_options(name, p=1)).float().mean() > 0.97
        assert abs(float(changed(with_options(name, p=0.3), count=1000).float().mean()) - 0.3) < 0.06


@pytest.mark.parametrize("name", ALL)
def test_a_faded_transform_changes_nothing_in_the_last_epoch_and_less_before_it(name: str) -> None:
    fading = with_options(name, p=1, fade=0.5)
    images = torch.randint(256, (50, 1, 28, 28)).to(torch.uint8)
    weak, full = (
        augment_images(images, draw_augmentation(fading, 50, torch.Generator().manual_seed(3), 28, 28, done))
        for done in (0.99, 0.4)
    )
    assert not changed(fading, done=1.0).any()
    assert (weak - images).abs().mean() < 0.5 * (full - images).abs().mean()
    generator = torch.Generator().manual_seed(3)
    torch.testing.assert_close(
        full, augment_images(images, draw_augmentation(with_options(name, p=1), 50, generator, 28, 28))
    )


@pytest.mark.parametrize("name", ["crop", "flip", "perspective", "elastic", "erase"])
def test_another_transform_leaves_the_draws_of_an_existing_recipe_as_they_are(name: str) -> None:
    old = {"rotate": 20, "affine": EVERYTHING, "jitter": ALL["jitter"]}
    before, after = (drawn(Augmentation.model_validate(value), count=50) for value in (old, old | {name: ALL[name]}))
    torch.testing.assert_close(after.brightness_contrast, before.brightness_contrast, rtol=0, atol=0)
    if name in ("elastic", "erase"):
        torch.testing.assert_close(after.inverse, before.inverse, rtol=0, atol=0)


def test_a_probability_of_a_transform_leaves_its_other_draws_as_they_are() -> None:
    always, half = (drawn(with_options("rotate", p=p), count=200).inverse for p in (1, 0.5))
    assert always is not None
    assert half is not None
    chosen = (half - torch.eye(2, 3)).abs().amax((1, 2)) > 0
    assert 60 < int(chosen.sum()) < 140
    assert torch.equal(half[chosen], always[chosen])


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "both"])
def test_a_flip_is_a_mirror_image(direction: str) -> None:
    augment = Augmentation.model_validate({"flip": {"direction": direction, "p": 1}})
    images = torch.randint(256, (3, 3, 14, 9)).to(torch.uint8)
    axes = {"horizontal": [3], "vertical": [2], "both": [2, 3]}[direction]
    flipped = augment_images(images, drawn(augment, count=3, height=14, width=9))
    torch.testing.assert_close(flipped, images.flip(axes).float(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [22, 0.5, 14])
def test_a_crop_agrees_with_pil_except_at_its_border(size: float) -> None:
    images = torch.randint(256, (4, 1, 28, 28)).to(torch.uint8)
    cut = round(28 * size) if size < 1 else int(size)
    cropped = augment_images(images, drawn(Augmentation.model_validate({"crop": size}), count=4))[:, 0]
    at = (28 - cut) // 2
    for image, actual in zip(images, cropped, strict=True):
        box = (at, at, at + cut, at + cut)
        expected = np.asarray(Image.fromarray(image[0].numpy()).crop(box).resize((28, 28), Image.Resampling.BILINEAR))
        assert np.abs(actual.numpy() - expected)[2:-2, 2:-2].max() <= 1.01  # PIL rounds, twice


def test_erased_rectangles_have_the_areas_and_ratios_of_the_recipe_and_lie_inside() -> None:
    augment = Augmentation.model_validate({"erase": {"area": [0.05, 0.2], "ratio": [0.5, 2], "p": 1}})
    draws = draw_augmentation(augment, COUNT, torch.Generator().manual_seed(4), 96, 64)
    assert draws.erased is not None
    top, bottom, left, right = draws.erased.T.double()
    rows, columns = bottom - top, right - left
    assert top.min() == left.min() == 0  # the borders are reached
    assert (bottom.max(), right.max()) == (96, 64)
    areas = (rows * columns / 96 / 64).numpy()
    assert 0.045 < areas.min() < 0.06
    assert 0.19 < areas.max() < 0.205
    assert abs(areas.mean() - 0.125) < 5 * 0.15 / math.sqrt(12 * COUNT)  # uniform, to within rounding to whole pixels
    assert 0.45 < (rows / columns).min() < 0.6
    assert 1.6 < (rows / columns).max() < 2.2
    images = torch.full((COUNT, 2, 96, 64), 9, dtype=torch.uint8)[:20]
    erased = augment_images(images, draws.slice(0, 20)) == 0
    assert erased.sum((1, 2, 3)).tolist() == (2 * rows * columns)[:20].tolist()


def test_every_channel_of_an_image_is_changed_alike() -> None:
    images = torch.randint(256, (30, 1, 28, 28)).to(torch.uint8)
    draws = drawn(Augmentation.model_validate(ALL), count=30)
    grey, colour = augment_images(images, draws), augment_images(images.expand(-1, 4, -1, -1), draws)
    assert colour.shape == (30, 4, 28, 28)
    torch.testing.assert_close(colour, grey.expand(-1, 4, -1, -1), rtol=0, atol=1e-2)


@pytest.mark.parametrize("translate", [[3, 0.25], 3, 0.25])
def test_a_shift_is_in_pixels_or_in_fractions(translate: Any) -> None:
    _, shift = forward(Augmentation.model_validate({"affine": {"translate": translate}}), height=20, width=40)
    across, down = translate if isinstance(translate, list) else (translate, translate)
    for values, length, side in ((shift[:, 0], across, 40), (shift[:, 1], down, 20)):
        most = length if length >= 1 else length * side
        assert is_uniform(values, -most, most)


def test_a_range_of_angles_need_not_be_symmetric() -> None:
    linear, _ = forward(Augmentation.model_validate({"rotate": [5, 20]}))
    assert is_uniform(np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0])), 5, 20)
