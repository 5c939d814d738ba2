"""Whole pictures in the size of a dataset's images."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.data.fit import fit_picture
from drilldown.data.image_settings import Fit

SIDES = st.integers(1, 40)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(get_args(Fit)), SIDES, SIDES, SIDES, SIDES, st.integers(1, 4))
def test_any_picture_gets_the_size_and_a_plain_one_stays_plain(fit, rows, columns, height, width, channels):
    pixels = np.full((channels, rows, columns), 77, np.float32)
    fitted = fit_picture(pixels, height, width, fit)
    assert fitted.shape == (channels, height, width)
    assert fitted.dtype == np.uint8
    assert np.all(fitted == 77)


@pytest.mark.parametrize("fit", get_args(Fit))
def test_a_picture_of_the_size_keeps_its_pixels(fit):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 9, 7)).astype(np.float32)
    assert np.array_equal(fit_picture(pixels, 9, 7, fit), pixels)


def test_a_smaller_picture_has_the_mean_of_each_area():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 12)).astype(np.float32)
    means = pixels.reshape(2, 4, 2, 4, 3).mean((2, 4))
    assert np.abs(fit_picture(pixels, 4, 4, "stretch") - means).max() <= 1


def test_pad_adds_the_colour_of_the_border_and_crop_cuts_the_sides_off():
    wide = np.full((1, 4, 8), 50, np.float32)
    wide[:, :, 2:6] = 200
    assert fit_picture(wide, 8, 8, "pad")[0, 0].tolist() == [50] * 8
    assert np.all(fit_picture(wide, 4, 4, "crop") == 200)
    assert fit_picture(wide, 4, 4, "stretch")[0, 0].tolist() == [50, 200, 200, 50]
