"""Reads what trackers hold, and packages that stand for a tracker's own and fail."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from drilldown.tracking.mirror import Mirror

FAULTS = {
    "raises at import": "raise RuntimeError('out of quota\\nand more')",
    "exits at import": "raise SystemExit(3)",
    "raises": "class MlflowClient:\n    def __init__(self): raise ConnectionError('the server is offline')",
    "ends its process": "import os\nos._exit(9)",
    "hangs": "import time\ntime.sleep(600)",
    "is missing a part": "import a_package_that_nobody_has",
}
"""Faults of a package `mlflow`, as its source."""


def write_package(folder: Path, fault: str, name: str = "mlflow") -> str:
    """Writes a package with a fault; returns its folder, for PYTHONPATH."""
    package = folder / f"packages-{len(list(folder.iterdir()))}" / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(FAULTS[fault] + "\n")
    (package / "entities.py").write_text("Metric = Param = None\n")
    return os.pathsep.join([str(package.parent), *filter(None, [os.environ.get("PYTHONPATH")])])


def points(folder: Path, tag: str = "accuracy/test") -> list[tuple[int, float]]:
    """Returns steps and values of a figure in all event files of a folder; TensorBoard's own code reads them."""
    accumulator = EventAccumulator(str(folder), purge_orphaned_data=False)
    accumulator.Reload()
    if tag not in accumulator.Tags()["scalars"]:
        return []
    return [(event.step, event.value) for event in accumulator.Scalars(tag)]


def text_of(folder: Path, tag: str) -> str:
    """Returns a text that TensorBoard shows."""
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return "\n".join(value.decode() for value in accumulator.Tensors(f"{tag}")[-1].tensor_proto.string_val)


def board_of(run_dir: Path) -> Path:
    """Returns the folder with the event files of a run."""
    return run_dir.parents[2] / "tensorboard" / run_dir.relative_to(run_dir.parents[2])


def wait_for_notice(mirror: Mirror) -> str:
    """Returns the first notice of a mirror."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for notice in mirror.take_notices():
            return notice
        time.sleep(0.05)
    raise AssertionError("no notice")
