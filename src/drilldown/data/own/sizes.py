"""Brings all images of a dataset to the size that its recipe asks for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from drilldown.data.dataset import Split
from drilldown.data.fit import fit_picture
from drilldown.data.image_settings import ImageSettings
from drilldown.data.own.content import Content
from drilldown.memory import check_memory


def fit_content(content: Content, image: ImageSettings | None) -> Content:
    """Returns the dataset with images of the size that is asked for.

    *Raises* DrilldownError where they do not fit into memory.
    """
    channels, *shape = content.info.image_shape
    if image is None or shape == [image.size, image.size]:
        return content
    count = len(content.train) + len(content.test)
    check_memory(count * channels * image.size**2, "scaling the images", place="recipe.image.size")
    return replace(content, train=_fitted(content.train, image), test=_fitted(content.test, image))


def _fitted(split: Split, image: ImageSettings) -> Split:
    fitted = split.images.new_empty(len(split), split.images.shape[1], image.size, image.size)
    for number, pixels in enumerate(split.images.numpy()):
        fitted[number] = torch.from_numpy(fit_picture(pixels.astype(np.float32), image.size, image.size, image.fit))
    return replace(split, images=fitted)
