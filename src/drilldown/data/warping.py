"""Moves the pixels of images, in batches on any device: affine and perspective maps, and smooth displacements.

All maps go from output pixels to input pixels, in pixels from the image's centre.
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F


def warp_images(
    pixels: torch.Tensor, inverse: torch.Tensor, interpolation: str, shifts: torch.Tensor | None = None
) -> torch.Tensor:
    """Resamples images by affine or perspective maps.

    *Arguments*: `pixels`: (N, channels, height, width). `inverse`: the maps from output to input: affine, (N, 2, 3), or
    perspective, (N, 3, 3). `interpolation`: `bilinear` or `nearest`. `shifts`: the displacement, in pixels, of each
    output pixel before the map, (N, 2, height, width), x before y.

    *Returns* images of the same shape; pixels from outside the input are 0.
    """
    height, width = pixels.shape[2:]
    half, positions = _grid(height, width, inverse.dtype, inverse.device)
    rows = inverse.shape[1]
    maps = inverse * (half / half[:rows, None])
    if shifts is None:
        # `affine_grid` computes one small matrix product per image; one large product for all images is faster.
        points = (maps.reshape(-1, 3) @ positions).view(-1, rows, height * width)
    else:
        moved = (shifts / half[:2, None, None]).flatten(2) + positions[:2]
        points = maps @ torch.cat([moved, positions[2:].expand(len(moved), 1, -1)], dim=1)
    if rows == 3:
        points = points[:, :2] / points[:, 2:]
    grid = points.view(-1, 2, height, width).permute(0, 2, 3, 1)
    return F.grid_sample(pixels, grid, mode=interpolation, padding_mode="zeros", align_corners=False)


@functools.lru_cache
def _grid(height: int, width: int, dtype: torch.dtype, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Computes the constants of `warp_images`. PyTorch measures in half-images: u pixels from the centre are 2u/width.

    *Returns* half of width and height, and 1, (3), and the positions of all pixels in half-images, (3, height · width):
    column, row, and 1.
    """
    half = torch.tensor([width / 2, height / 2, 1], dtype=dtype, device=device)
    ys, xs = ((2 * torch.arange(n, dtype=dtype, device=device) + 1) / n - 1 for n in (height, width))
    positions = torch.stack([xs.expand(height, width), ys[:, None].expand(height, width), xs.new_ones(height, width)])
    return half, positions.view(3, -1)


def rotation_matrices(degrees: torch.Tensor) -> torch.Tensor:
    """Returns rotation matrices, (N, 2, 2), for angles in degrees, (N)."""
    angle = degrees * (math.pi / 180)
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)


def perspective_matrices(corners: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The perspective maps that take an image's corners to given points.

    *Arguments*: `corners`: (N, 4, 2), x before y, in pixels from the centre: the new positions of the upper left, the
    upper right, the lower right and the lower left corner of the image.

    *Returns* (N, 3, 3), from input to output.

    *Source*: Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989, section 2.2.3.
    """
    first, second, third, fourth = corners.unbind(1)
    (dx1, dy1), (dx2, dy2) = (second - third).T, (fourth - third).T
    sum_x, sum_y = (first - second + third - fourth).T
    determinant = dx1 * dy2 - dx2 * dy1
    g, h = (sum_x * dy2 - dx2 * sum_y) / determinant, (dx1 * sum_y - sum_x * dy1) / determinant
    across = second - first + g[:, None] * second
    down = fourth - first + h[:, None] * fourth
    rows = torch.stack([across, down, first], dim=2)  # (N, 2, 3): from the unit square
    of_square = torch.cat([rows, torch.stack([g, h, torch.ones_like(g)], dim=1)[:, None]], dim=1)
    to_square = torch.tensor([[1 / width, 0, 0.5], [0, 1 / height, 0.5], [0, 0, 1]], dtype=corners.dtype)
    return of_square @ to_square


def smooth_noise(seeds: torch.Tensor, sigma: float, height: int, width: int) -> torch.Tensor:
    """Uniform noise between −1 and 1, smoothed by a Gaussian; 0 outside of the image.

    The noise of a pixel is a hash of its position and the image's seed. So a few bytes per image are enough to draw the
    same noise on every device; stored for an epoch of MNIST, the noise itself would take 376 MB.

    *Arguments*: `seeds`: (N), int64. `sigma`: the standard deviation of the Gaussian, in pixels.

    *Returns* (N, 2, height, width), float32.
    """
    positions = torch.arange(2 * height * width, device=seeds.device)
    noise = _hash(_hash(seeds)[:, None] + positions).view(-1, 2, height, width)
    noise = (noise >> 8).float() / 2**23 - 1
    down, across = (_gaussian(side, sigma, seeds.device) for side in (height, width))
    return down @ noise @ across


def _hash(numbers: torch.Tensor) -> torch.Tensor:
    """A hash of whole numbers with 32 bits, in int64. Source: Wellons, "Prospecting for Hash Functions", 2018."""
    bits = 0xFFFFFFFF
    numbers = numbers & bits
    numbers = ((numbers ^ (numbers >> 16)) * 0x7FEB352D) & bits
    numbers = ((numbers ^ (numbers >> 15)) * 0x846CA68B) & bits
    return numbers ^ (numbers >> 16)


@functools.lru_cache
def _gaussian(side: int, sigma: float, device: torch.device) -> torch.Tensor:
    """The matrix, (side, side), that smooths a row; the Gaussian ends at four standard deviations."""
    distance = torch.arange(-round(4 * sigma), round(4 * sigma) + 1, dtype=torch.float64)
    total = torch.exp(-0.5 * (distance / sigma) ** 2).sum()
    pixels = torch.arange(side, dtype=torch.float64)
    apart = pixels[:, None] - pixels
    weights = torch.exp(-0.5 * (apart / sigma) ** 2) / total
    return torch.where(apart.abs() <= round(4 * sigma), weights, 0.0).float().to(device)
