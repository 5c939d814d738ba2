"""The file of a teacher, a `.npz`: `p_train`, its probabilities for all training images, and a description of it.

Everybody can write such a file with NumPy: only `p_train` is required. `teacher` is a text, for people or in JSON.
`seen_train` says for each training image whether the teacher was trained on it; without it, it was trained on all.
"""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError

from drilldown.data.idx import explain_read_errors
from drilldown.data.own.arrays import StoredArray
from drilldown.data.targets import Targets
from drilldown.data.teacher import Teacher
from drilldown.errors import DrilldownError, Problem
from drilldown.memory import check_memory

PROBABILITIES, SEEN, TEACHER = "p_train", "seen_train", "teacher"
"""The names of the arrays."""
TOLERANCE = 1e-3
"""The largest difference of the sum of a row from 1; the rows are then divided by their sums."""
BYTES_EACH = 24
"""The memory that reading takes for each probability."""


def read_targets(file: Path) -> Targets:
    """Reads the file of a teacher; it is only read again if the time of change or the size of the file changed.

    *Raises* DrilldownError where the file is missing or damaged, or holds no probabilities.
    """
    try:
        status = file.stat()
    except (OSError, ValueError):  # also a name that is too long or contains a null byte
        raise _refused(file, None, "no such file", "the file of a teacher, as drilldown teach writes it") from None
    return _read(file, status.st_mtime_ns, status.st_size)


def targets_bytes(targets: Targets) -> bytes:
    """The content of a file that `read_targets` reads."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        p_train=targets.probabilities.numpy(),
        seen_train=targets.seen.numpy(),
        teacher=np.array(targets.teacher.model_dump_json()),
    )
    return content.getvalue()


@functools.lru_cache(maxsize=2)
def _read(file: Path, modified_ns: int, size: int) -> Targets:  # noqa: ARG001 - they tell one content from another
    with explain_read_errors(file):
        try:
            with zipfile.ZipFile(file) as archive:
                names = [name.removesuffix(".npy") for name in archive.namelist()]
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise _refused(file, None, f"damaged ({error})", "a file that np.savez wrote") from None
    if PROBABILITIES not in names:
        shown = ", ".join(names[:8]) or "nothing"
        raise _refused(file, None, f"contains {shown}", f"the array {PROBABILITIES}, as drilldown teach writes it")
    probabilities = _probabilities(StoredArray(file, f"{PROBABILITIES}.npy"))
    seen = torch.ones(len(probabilities), dtype=torch.bool)
    if SEEN in names:
        array = StoredArray(file, f"{SEEN}.npy").read()
        if array.dtype != np.bool_ or array.shape != seen.shape:
            found = f"an array of shape {array.shape} and type {array.dtype}"
            raise _refused(file, SEEN, found, f"{len(seen):,} truth values")
        seen = torch.from_numpy(array)
    teacher = _teacher(StoredArray(file, f"{TEACHER}.npy")) if TEACHER in names else Teacher()
    return Targets(torch.from_numpy(probabilities), seen, teacher)


def _probabilities(stored: StoredArray) -> npt.NDArray[np.float32]:
    file = stored.file
    shape, kind = stored.header()
    if len(shape) != 2 or not shape[1] or kind.kind not in "fiu":
        found, expected = f"an array of shape {shape} and type {kind}", "numbers (images, classes)"
        raise _refused(file, PROBABILITIES, found, expected)
    check_memory(BYTES_EACH * shape[0] * shape[1], "loading the teacher", file=file)
    rows = stored.read().astype(np.float64)
    with np.errstate(all="ignore"):  # the messages below are about such numbers
        sums = rows.sum(1)
    for wrong, what in (
        (~np.isfinite(rows).all(1), "a number that is not finite"),
        ((rows < 0).any(1), "a negative number"),
        (abs(sums - 1) > TOLERANCE, "numbers that do not sum to 1"),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            detail = f" ({sums[row]:.4g})" if what.endswith("1") else ""
            raise _refused(file, f"{PROBABILITIES}, row {row}", what + detail, "probabilities, which sum to 1")
    return np.asarray(rows / sums[:, None], np.float32)


def _teacher(stored: StoredArray) -> Teacher:
    text = str(stored.read())
    if not text.lstrip().startswith("{"):
        return Teacher(words=text)
    try:
        return Teacher.model_validate_json(text)
    except ValidationError as error:
        wrong = ".".join(map(str, error.errors()[0]["loc"])) or "not JSON"
        raise _refused(stored.file, TEACHER, f"JSON with an error ({wrong})", "the text of drilldown teach") from None


def _refused(file: Path, place: str | None, found: str, expected: str) -> DrilldownError:
    return DrilldownError(Problem(file=file, place=place, found=found, expected=expected))
