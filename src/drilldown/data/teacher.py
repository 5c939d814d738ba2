"""The teacher of a network: the trained networks whose probabilities it learns, and what they cost.

*Source*: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from drilldown.shown import PublicNames
from drilldown.wording import count_text, heading, join_words


class TeacherRun(PublicNames, BaseModel):
    """One of the trained networks of a teacher."""

    model_config = ConfigDict(frozen=True, extra="allow")

    experiment: str
    """`study/step`."""
    fingerprint: str = ""
    seed: int
    parameters: Annotated[int, Field(ge=0)]
    epochs: Annotated[int, Field(ge=1)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """The seconds of training and evaluation."""
    learned_from: str | None = None
    """The teacher of this teacher, in words; None without one."""


class Teacher(PublicNames, BaseModel):
    """A teacher, as its file and the summaries of its students describe it.

    >>> big = TeacherRun(experiment="big/01", seed=0, parameters=96_810, epochs=15, seconds=137.3)
    >>> print(Teacher(runs=(big, big, big)))
    learned from a teacher: 3 runs of big/01, 96,810 parameters each, 412 s of training
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    dataset: str = ""
    """The identity of the dataset: the name of a published one, else its checksum; empty where it is not known."""
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """The number by which all logits were divided before softmax."""
    runs: tuple[TeacherRun, ...] = ()
    """The trained networks; the probabilities are the mean of theirs. Empty for a teacher that drilldown did not train.
    """
    held_out: Annotated[int, Field(ge=0)] = 0
    """The number of training images that none of its runs was trained on, because all held them out."""
    words: str = ""
    """The author's description of a teacher that drilldown did not train."""

    def __str__(self) -> str:
        return f"learned from a teacher: {self._runs_text() or heading(self.words) or 'its file does not describe it'}"

    def describe(self, seen: int | None, images: int) -> str:
        """The teacher in words, with what it knows about the validation images of a student.

        *Arguments*: `seen`: the number of validation images that the teacher was trained on; None without a validation
        split. `images`: the number of validation images.

        >>> print(Teacher(words="a friend").describe(90, 100))
        learned from a teacher: a friend; it was trained on 90 of the 100 validation images, which flatters the result
        """
        if seen is None:
            return str(self)
        if not seen:
            return f"{self}; it was trained on none of the validation images"
        return f"{self}; it was trained on {seen:,} of the {images:,} validation images, which flatters the result"

    def _runs_text(self) -> str:
        if not self.runs:
            return ""
        names = join_words([heading(name) for name in dict.fromkeys(run.experiment for run in self.runs)])
        sizes = sorted({run.parameters for run in self.runs})
        parameters = " to ".join(f"{size:,}" for size in (sizes[0], *sizes[1:][-1:])) + " parameters"
        each = " each" if len(self.runs) > 1 else ""
        seconds = sum(run.seconds for run in self.runs)
        text = f"{count_text(len(self.runs), 'run')} of {names}, {parameters}{each}, {seconds:,.0f} s of training"
        if self.temperature != 1:
            text += f", temperature {self.temperature:g}"
        before = dict.fromkeys(heading(run.learned_from) for run in self.runs if run.learned_from)
        return f"{text} ({'; '.join(f'which {text}' for text in before)})" if before else text
