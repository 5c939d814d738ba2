"""The table `[reported]`: the accuracies that the source of an experiment reports."""

from __future__ import annotations

from typing import Literal

from drilldown.table import Percent, Table


class Reported(Table):
    """The accuracies that the source of an experiment reports; they are shown beside the measured ones."""

    train: Percent | None = None
    """The reported training accuracy in percent."""
    test: Percent | None = None
    """The reported test accuracy in percent."""
    figure: Literal["best", "final", "mean_last"] = "best"
    """The epochs of the reported accuracies: the best one, the last one, or roughly the mean of the last ones."""
    note: str | None = None
    """A remark about the reported accuracies."""

    def __bool__(self) -> bool:
        """Whether anything is reported."""
        return any(value is not None for value in (self.train, self.test, self.note))

    @property
    def aside(self) -> str:
        """The epochs in brackets, for a text after the accuracy; empty for the best epoch."""
        return "" if self.figure == "best" else f" ({self.epochs})"

    @property
    def epochs(self) -> str:
        """The epochs of the reported accuracies, in words."""
        return {"best": "best epoch", "final": "last epoch", "mean_last": "about, last epochs"}[self.figure]

    def __str__(self) -> str:
        accuracies = ", ".join(
            f"{name} {value:.2f} %" for name, value in (("train", self.train), ("test", self.test)) if value is not None
        )
        return f"{accuracies} ({self.epochs}). {self.note or ''}".rstrip() if accuracies else self.note or "nothing"
