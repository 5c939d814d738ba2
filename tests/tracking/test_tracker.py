"""The names of trackers."""

from __future__ import annotations

import pytest

from drilldown import DrilldownError
from drilldown.tracking.tracker import TRACKERS, check_trackers


def test_names_are_accepted_once_and_in_their_order() -> None:
    assert check_trackers(["wandb", "mlflow", "wandb"]) == ("wandb", "mlflow")
    assert check_trackers(TRACKERS) == tuple(TRACKERS)
    assert check_trackers([]) == ()


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("tensorbord", "tensorboard"), ("TensorBoard", "tensorboard"), ("wanda", "wandb"), ("comet", None), ("", None)],
)
def test_an_unknown_name_gets_a_suggestion(name: str, suggestion: str | None) -> None:
    with pytest.raises(DrilldownError) as caught:
        check_trackers([name], "--track")
    (problem,) = caught.value.problems
    assert problem.place == "--track"
    assert problem.suggestion == (suggestion and f'did you mean "{suggestion}"?')
