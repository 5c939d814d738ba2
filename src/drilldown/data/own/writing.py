"""Writes a dataset as IDX files, or as folders of pictures."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from PIL import Image

from drilldown.data.dataset import Dataset
from drilldown.data.own.content import Content
from drilldown.data.own.idx_files import CLASS_NAMES, idx_files
from drilldown.data.own.values import natural_order
from drilldown.data.progress import reading
from drilldown.errors import DrilldownError, Problem, quoted

KINDS = ("idx", "pictures")
"""The kinds of files that a dataset can be written as."""
LONGEST_NAME = 200
"""The largest number of bytes of a class name that becomes the name of a folder."""


def write_dataset(dataset: Dataset, target: Path, kind: str) -> None:
    """Writes a dataset into a new folder, whole or not at all. Reading it again gives the same images and classes.

    *Arguments*: `kind`: `idx` for the four files of MNIST's format; `pictures` for PNG files in `train/CLASS/` and
    `test/CLASS/`. Classes with names are listed in `classes.txt`.

    *Raises* DrilldownError where the target exists, cannot be written, or cannot hold the dataset.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_dataset(drilldown.dataset("glyphs"), Path(folder) / "digits", "idx")
    ...     drilldown.dataset(f"{folder}/digits").classes
    10
    """
    if kind not in KINDS:
        raise DrilldownError(Problem(place="--to", found=f'found "{kind}"', expected=quoted(KINDS)))
    if os.path.lexists(target):
        raise DrilldownError(Problem(file=target, found="exists already", expected="the name of a new folder"))
    if kind == "pictures":
        _check_pictures(dataset)
    partial = target.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        if kind == "idx":
            _write_idx(dataset, partial)
        else:
            _write_pictures(dataset, partial)
        partial.rename(target)
    except OSError as error:
        raise DrilldownError(Problem(file=target, found=f"cannot be written ({error.strerror or error})")) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_idx(dataset: Dataset, folder: Path) -> None:
    content = Content(train=dataset.train, test=dataset.test, class_names=dataset.class_names)
    for name, data in idx_files(content):
        (folder / name).write_bytes(data)


def _write_pictures(dataset: Dataset, folder: Path) -> None:
    names = dataset.names
    for part in ("train", "test"):
        for name in names:
            (folder / part / name).mkdir(parents=True)
    for part, split in (("train", dataset.train), ("test", dataset.test)):
        for number in reading(range(len(split)), f"{part} pictures"):
            pixels = split.images[number].numpy()
            picture = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0).copy())
            picture.save(folder / part / names[split.labels[number]] / f"{number:06}.png")
    if list(names) != sorted(names, key=natural_order):
        (folder / CLASS_NAMES).write_text("\n".join(names) + "\n", encoding="utf-8")


def _check_pictures(dataset: Dataset) -> None:
    """Raises DrilldownError where pictures in folders cannot hold the dataset."""
    channels = dataset.image_shape[0]
    if channels not in (1, 3):
        found, expected = f"images with {channels} channels", "1 or 3, as a picture file has"
        raise DrilldownError(Problem(file=dataset.name, found=found, expected=expected, suggestion="write --to idx"))
    for name in dataset.class_names or ():
        if not name or set(name) & {"/", "\\", "\0"} or name[0] == "." or len(name.encode()) > LONGEST_NAME:
            found, expected = f'the class name "{name[:40]}"', "names that a folder can have"
            raise DrilldownError(
                Problem(file=dataset.name, found=found, expected=expected, suggestion="write --to idx")
            )
