"""The default space: the dimensions that a search varies in any experiment, derived from its network and its recipe.

Every point of the space makes an experiment, and the experiment itself is one of them.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from drilldown.data.catalogue import GLYPHS, is_dataset_path
from drilldown.data.transforms import Affine, Augmentation
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.origins import Source
from drilldown.experiment.recipe import Recipe
from drilldown.search.default_layers import vary_layers
from drilldown.search.default_widths import vary_widths
from drilldown.search.space import Space
from drilldown.search.tables import Choice, Dimension, FloatDimension, Value

WIDER = 4
"""The ratio of the largest learning rate to the recipe's own, and of this to the smallest."""
USUAL_WEIGHT_DECAYS = (1e-4, 1e-3)
"""The weight decays for a recipe without one."""
DISTORTIONS = (0.0, 0.5, 1.0, 1.5)
"""The factors of the recipe's own augmentation."""
MILD = Affine(rotate=7.0, translate=0.05)
"""The distortion for a recipe without augmentation."""
PUBLISHED_IMAGES, GLYPHS_IMAGES = 60_000, 6_000
"""The number of training images of each dataset in the catalogue, and of glyphs."""


def default_space(experiment: Experiment, source: Source) -> Space:
    """Returns the dimensions that a search varies if a file does not give any.

    These are widths, depth and head of a network in block notation (see `vary_layers`), or widths and repetitions of
    one with tables (see `vary_widths`); the learning rate from a quarter to four times its own; the weight decay 0, or
    near its own; the distortion from none to one and a half times its own; and half, once or twice the batch size.

    *Arguments*: `experiment`: the experiment that is varied. `source`: the values of its file.
    """
    values = dict(source.values)
    dimensions: dict[str, Dimension] = {}
    if experiment.network.layers is not None:
        has_tables = any(isinstance(block, dict) for block in experiment.network.layers)
        blocks, numbers = vary_widths(experiment) if has_tables else vary_layers(experiment)
        values["network"] = {"layers": blocks}
        dimensions |= numbers
    dimensions |= {
        "recipe.optimizer.lr": _learning_rate(experiment),
        "recipe.optimizer.weight_decay": _weight_decay(experiment),
        "recipe.augment": _distortion(experiment.recipe.augment),
        "recipe.batch_size": _batch_size(experiment),
    }
    assert experiment.path is not None
    return Space(dimensions, dataclasses.replace(source, values=values), experiment.path, experiment.parent)


def _learning_rate(experiment: Experiment) -> FloatDimension:
    own = experiment.recipe.optimizer.lr
    floor = getattr(experiment.recipe.schedule, "floor", 0.0)  # a recipe's peak is not below its floor
    return FloatDimension(
        float=(max(own / WIDER, floor) or own, min(own * WIDER, sys.float_info.max)), log=True, start=own
    )


def _weight_decay(experiment: Experiment) -> Choice:
    own = experiment.recipe.optimizer.weight_decay
    near = (own / WIDER, own, own * WIDER) if own else USUAL_WEIGHT_DECAYS
    return Choice(one_of=_different(0.0, *near))


def _distortion(own: Augmentation) -> Choice:
    if own.active():
        variants = [own if factor == 1 else own.scaled(factor) for factor in DISTORTIONS]
    else:
        variants = [own, own.model_copy(update={"affine": MILD})]
    return Choice(one_of=_different(*(augment.model_dump(mode="json", exclude_defaults=True) for augment in variants)))


def _batch_size(experiment: Experiment) -> Choice:
    own = experiment.recipe.batch_size
    images = _training_images(experiment.recipe)
    return Choice(one_of=_different(*(size for size in (own // 2, own, own * 2) if size == own or 1 <= size <= images)))


def _training_images(recipe: Recipe) -> int:
    """Returns the number of training images; a published dataset need not be on this machine."""
    if is_dataset_path(recipe.dataset):
        return len(recipe.load_without_writers().train)
    return GLYPHS_IMAGES if recipe.dataset == GLYPHS else PUBLISHED_IMAGES


def _different(*values: Any) -> list[Value]:
    """Leaves out values that occur before."""
    return [value for index, value in enumerate(values) if value not in values[:index]]
