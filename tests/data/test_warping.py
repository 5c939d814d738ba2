"""Perspective maps and smooth displacements, compared with SciPy and PIL."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from PIL import Image

from drilldown.data.warping import perspective_matrices, smooth_noise, warp_images

CORNERS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])


def moved_corners(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    inward = 1 - 0.5 * torch.rand(count, 4, 2, generator=generator, dtype=torch.float64)
    return torch.tensor(CORNERS * [width / 2, height / 2]) * inward


def coefficients(corners: np.ndarray, height: int, width: int) -> np.ndarray:
    """The eight numbers of a perspective from output to input, in pixels from the corner, by four linear equations."""
    rows, values = [], []
    for (x, y), (u, v) in zip(
        corners + np.array([width / 2, height / 2]), (CORNERS + 1) / 2 * [width, height], strict=True
    ):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.linalg.solve(np.array(rows), np.array(values))


@pytest.mark.parametrize(("height", "width"), [(28, 28), (20, 33)])
def test_a_perspective_takes_the_corners_to_their_new_places(height: int, width: int) -> None:
    corners = moved_corners(50, height, width)
    maps = perspective_matrices(corners, height, width)
    before = torch.tensor(CORNERS * [width / 2, height / 2]).T
    after = maps @ torch.cat([before, torch.ones(1, 4)]).double()
    torch.testing.assert_close((after[:, :2] / after[:, 2:]).mT, corners, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("height", "width", "channels"), [(28, 28, 1), (20, 33, 3)])
def test_a_perspective_agrees_with_scipy_and_pil(height: int, width: int, channels: int) -> None:
    corners = moved_corners(6, height, width)
    inverse = torch.linalg.inv(perspective_matrices(corners, height, width))
    pixels = (255 * torch.rand(6, channels, height, width, dtype=torch.float64)).round()
    warped = warp_images(pixels, inverse, "bilinear")
    rows, columns = np.mgrid[:height, :width] + 0.5
    for image, points, actual in zip(pixels.numpy(), corners.numpy(), warped.numpy(), strict=True):
        a, b, c, d, e, f, g, h = found = coefficients(points, height, width)
        below = g * columns + h * rows + 1
        places = [(d * columns + e * rows + f) / below - 0.5, (a * columns + b * rows + c) / below - 0.5]
        for before, after in zip(image, actual, strict=True):
            expected = scipy.ndimage.map_coordinates(before, places, order=1, mode="grid-constant")
            np.testing.assert_allclose(after, expected, atol=1e-6)
            pil = Image.fromarray(before.astype(np.uint8)).transform(
                (width, height), Image.Transform.PERSPECTIVE, found.tolist(), Image.Resampling.BILINEAR
            )
            row, column = places
            inside = (row > 0) & (row < height - 1) & (column > 0) & (column < width - 1)  # PIL's border is another
            assert np.abs(after - np.asarray(pil))[inside].max() <= 1


@pytest.mark.parametrize("order", [0, 1])
def test_a_displacement_agrees_with_scipy(order: int) -> None:
    height, width = 24, 31
    pixels = 255 * torch.rand(4, 2, height, width, dtype=torch.float64)
    shifts = 3 * torch.randn(4, 2, height, width, dtype=torch.float64)
    identity = torch.eye(2, 3, dtype=torch.float64).repeat(4, 1, 1)
    warped = warp_images(pixels, identity, "bilinear" if order else "nearest", shifts)
    grid = np.indices((height, width))
    for image, shift, actual in zip(pixels.numpy(), shifts.numpy(), warped.numpy(), strict=True):
        for before, after in zip(image, actual, strict=True):
            expected = scipy.ndimage.map_coordinates(before, grid + shift[::-1], order=order, mode="grid-constant")
            np.testing.assert_allclose(after, expected, atol=1e-6)


def test_a_displacement_comes_before_the_map() -> None:
    pixels = 255 * torch.rand(1, 1, 21, 21, dtype=torch.float64)
    halved = torch.tensor([[[2.0, 0, 0], [0, 2.0, 0]]], dtype=torch.float64)
    right = torch.zeros(1, 2, 21, 21, dtype=torch.float64)
    right[:, 0] = 1  # each output pixel takes the value of its right neighbour
    moved, still = warp_images(pixels, halved, "bilinear", right), warp_images(pixels, halved, "bilinear")
    torch.testing.assert_close(moved[..., :-1], still[..., 1:], rtol=0, atol=1e-9)


@pytest.mark.parametrize("sigma", [0.5, 2.0, 4.0, 30.0])
def test_noise_is_smoothed_as_scipy_does(sigma: float) -> None:
    seeds = torch.arange(20)
    sharp, smooth = (smooth_noise(seeds, width, 28, 35).numpy() for width in (1e-3, sigma))  # 1e-3: the noise itself
    for before, after in zip(sharp.reshape(-1, 28, 35), smooth.reshape(-1, 28, 35), strict=True):
        expected = scipy.ndimage.gaussian_filter(before, sigma, mode="constant", radius=round(4 * sigma))
        np.testing.assert_allclose(after, expected, atol=1e-5)


def test_the_noise_is_uniform_and_independent() -> None:
    noise = smooth_noise(torch.randint(2**31, (60,)), 1e-3, 28, 28).numpy()
    assert scipy.stats.kstest(noise.ravel(), scipy.stats.uniform(-1, 2).cdf).pvalue > 1e-4
    for one, other in ((noise[:-1], noise[1:]), (noise[:, 0], noise[:, 1]), (noise[..., :-1], noise[..., 1:]),
                       (noise[..., :-1, :], noise[..., 1:, :])):  # fmt: skip
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(one.size)


def test_the_noise_of_an_image_depends_on_its_seed_alone() -> None:
    seeds = torch.tensor([5, 2**31 - 1, 0, 5])
    together = smooth_noise(seeds, 2.0, 12, 9)
    assert torch.equal(together[0], together[3])
    torch.testing.assert_close(together[1:2], smooth_noise(seeds[1:2], 2.0, 12, 9))
