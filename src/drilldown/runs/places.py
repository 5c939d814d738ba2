"""Where the runs of an experiment are: `RUNS/study/step-fingerprint/seed-n`."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from glob import escape
from pathlib import Path

from drilldown.errors import DrilldownError, Problem
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.loading import read_experiment
from drilldown.files import is_utf8
from drilldown.runs.folder import EXPERIMENT

LONGEST_NAME = 240
"""The longest name of a study or a step in bytes: file systems allow 255, and the fingerprint follows the name."""


def run_place(experiment: Experiment, seed: int, runs_dir: Path | str) -> Path:
    """The folder of a run, whether it exists or not; where only a folder of version 0.1 has this run, that folder.

    *Raises* DrilldownError where the experiment's name cannot be the name of a folder.
    """
    folder = _folder(experiment, runs_dir)
    place = folder / f"seed-{seed}"
    if not os.path.isdir(place):
        for earlier in _earlier_folders(experiment, folder):
            if os.path.isfile(earlier / place.name / EXPERIMENT):
                return earlier / place.name
    return place


def run_places(experiment: Experiment, runs_dir: Path | str) -> list[Path]:
    """The folders of an experiment's runs that exist, one for each seed, in the order of their seeds.

    *Raises* DrilldownError where the experiment's name cannot be the name of a folder.
    """
    folder = _folder(experiment, runs_dir)
    places: dict[str, Path] = {}
    for each in (folder, *_earlier_folders(experiment, folder)):
        for file in each.glob(f"seed-*/{EXPERIMENT}"):
            places.setdefault(file.parent.name, file.parent)
    return sorted(places.values(), key=lambda place: (len(place.name), place.name))


def _folder(experiment: Experiment, runs_dir: Path | str) -> Path:
    study, step = experiment.name.split("/", 1)
    for kind, name in (("study", study), ("step", step)):
        _check_name(kind, name, experiment.path)
    return Path(runs_dir) / study / f"{step}-{experiment.fingerprint}"


def _check_name(kind: str, name: str, file: Path | None) -> None:
    if not is_utf8(name):
        found, expected = f"the name of the {kind} is not UTF-8", "a name in UTF-8"
    elif len(name.encode()) > LONGEST_NAME:
        found, expected = f"the name of the {kind} has {len(name.encode())} bytes", f"at most {LONGEST_NAME}"
    else:
        return
    raise DrilldownError(Problem(file=file, found=found, expected=expected, suggestion="rename the file or folder"))


def _earlier_folders(experiment: Experiment, folder: Path) -> list[Path]:
    """The folders of version 0.1 that hold runs of an experiment: their names depend on the budget of that time.

    *Arguments*: `folder`: the folder of its runs as it is called now.
    """
    step = folder.name.rpartition("-")[0]
    found = []
    for earlier in sorted(folder.parent.glob(f"{escape(step)}-????????")):
        file = min(earlier.glob(f"seed-*/{EXPERIMENT}"), default=None)
        if earlier.name != folder.name and re.search("-[0-9a-f]{8}$", earlier.name) and file is not None:
            with contextlib.suppress(DrilldownError, OSError):  # a damaged folder
                now, then = _fingerprints(file, file.stat().st_mtime_ns)
                if now == experiment.fingerprint and earlier.name.endswith(then):
                    found.append(earlier)
    return found


@functools.cache
def _fingerprints(file: Path, changed: int) -> tuple[str, str]:  # noqa: ARG001 - a file that has changed is read again
    """The fingerprint of a stored experiment, and that of version 0.1; read once for all seeds."""
    stored = read_experiment(file)
    return stored.fingerprint, stored.earlier_fingerprint
