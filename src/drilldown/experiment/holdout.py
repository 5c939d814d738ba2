"""The validation split of a recipe: how many training images it takes, and which."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from drilldown.data.catalogue import WRITERS
from drilldown.data.dataset import HoldoutBy
from drilldown.data.writers import WriterCounts
from drilldown.table import Table
from drilldown.wording import count_text


class Holdout(Table):
    """The validation split. `holdout = 10_000` is short for `holdout = { images = 10_000, by = "class" }`.

    >>> drilldown.load("under-8k", ["recipe.holdout=10_000"]).recipe.holdout
    Holdout(images=10000, by='class')
    """

    images: Annotated[int, Field(ge=1)]
    """The number of validation images; by writer, as close to it as whole writers allow."""
    by: HoldoutBy = "class"
    """The way to choose: `class` takes a share of each class at random, `writer` takes whole writers (only mnist and
    qmnist)."""

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: object) -> object:
        if isinstance(value, dict | Holdout):
            return value
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return {"images": value}
        expected = 'a whole number of at least 1, or a table, as in { images = 10_000, by = "writer" }'
        raise PydanticCustomError("holdout_type", "Input should be {expected}", {"expected": expected})

    @model_serializer
    def _short(self) -> int | dict[str, Any]:
        # The plain number is what files and fingerprints of earlier versions hold.
        return self.images if self.by == "class" else {"images": self.images, "by": self.by}

    def __str__(self) -> str:
        return f"{self.images:,}" if self.by == "class" else f"{self.images:,} by {self.by}"


def add_number(schema: dict[str, Any]) -> None:
    """Adds the plain number to the JSON schema of a setting that holds a Holdout."""
    schema["anyOf"].insert(0, {"type": "integer", "minimum": 1})


def describe_split(holdout: Holdout, dataset: str, images: int, writers: WriterCounts | None) -> str:
    """Describes a validation split, and says whether training and validation images share writers.

    *Arguments*: `dataset`: the dataset's name. `images`: the number of validation images. `writers`: None where the
    file that names them was not found.

    *Returns* a noun phrase.

    >>> describe_split(Holdout(images=50), "glyphs", 50, None)
    '50 validation images, held out of the training set at random'
    >>> counts = WriterCounts(training=450, validation=89, shared_images=0)
    >>> describe_split(Holdout(images=10_000, by="writer"), "mnist", 10_000, counts)
    '10,000 validation images by 89 writers, held out of the training set; the training images are by 450 other writers'
    """
    text = count_text(images, "validation image")
    if images != holdout.images:
        text += f" ({holdout.images:,} asked for)"
    if holdout.by == "writer":
        if writers is None:
            return f"{text}, held out of the training set by writer; they share no writer with the training images"
        others = count_text(writers.training, "other writer")
        return (
            f"{text} by {count_text(writers.validation, 'writer')}, held out of the training set; "
            f"the training images are by {others}"
        )
    text += ", held out of the training set at random"
    if dataset not in WRITERS:
        return text
    shared = "they" if writers is None else f"{100 * writers.shared_images / images:.4g} % of them"
    return f"{text}; {shared} share writers with the training images, and no test image does"
