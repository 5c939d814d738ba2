"""The datasets that have a name: their files, mirrors and checksums."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from drilldown.data.idx import explain_read_errors, hash_unpacked, read_unpacked
from drilldown.errors import DrilldownError, Problem, did_you_mean, quoted

STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""The names, without `.gz`, of the four files of a dataset."""
SIZES = dict(zip(STEMS, (16 + 60_000 * 28 * 28, 8 + 60_000, 16 + 10_000 * 28 * 28, 8 + 10_000), strict=True))
"""The decompressed bytes of these files, the same in all published datasets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """One file of a published dataset."""

    stem: str
    """The file's name without `.gz`."""
    mirrors: tuple[str, ...]
    """The addresses of the folders that hold the file, each ending in a slash."""
    sha256: str
    """The checksum of the archive where `packed` is true, else of the decompressed bytes; 64 hex digits."""
    size: int
    """The number of decompressed bytes."""
    packed: bool = False
    """Whether `sha256` is the checksum of the archive."""

    def read(self, file: Path) -> bytearray:
        """Reads and verifies a stored file; returns its decompressed bytes.

        *Raises* DrilldownError where the file cannot be read, or is not the published one.
        """
        if self.packed:
            self.verify(file)  # before anything is decompressed
            return read_unpacked(file, self.size)
        content = read_unpacked(file, self.size)
        self._compare(file, hashlib.sha256(content).hexdigest())
        return content

    def verify(self, file: Path) -> None:
        """Verifies a stored file and keeps none of its bytes in memory.

        *Raises* DrilldownError where the file cannot be read, or is not the published one.
        """
        if self.packed:
            with explain_read_errors(file), file.open("rb") as archive:
                checksum = hashlib.file_digest(archive, "sha256").hexdigest()
        else:
            checksum = hash_unpacked(file, self.size)
        self._compare(file, checksum)

    def _compare(self, file: Path, checksum: str) -> None:
        if checksum != self.sha256:
            kind = "archive" if self.packed else "data"
            raise DrilldownError(
                Problem(
                    file=file,
                    found=f"the {kind}'s SHA-256 is {checksum[:12]}…, not {self.sha256[:12]}…",
                    expected="the published dataset",
                    suggestion="delete the file to fetch it again, or give the folder's path as the dataset",
                )
            )


def _files(mirrors: tuple[str, ...], checksums: tuple[str, ...], *, packed: bool) -> dict[str, PublishedFile]:
    return {
        stem: PublishedFile(stem=stem, mirrors=mirrors, sha256=checksum, size=SIZES[stem], packed=packed)
        for stem, checksum in zip(STEMS, checksums, strict=True)
    }


CATALOGUE: dict[str, dict[str, PublishedFile]] = {
    "mnist": _files(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        packed=False,
    ),
    "fashion-mnist": _files(
        (
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
        packed=True,
    ),
    "kmnist": _files(
        (
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        ),
        (
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
        packed=True,
    ),
}
"""The published datasets by name, and their files by stem."""
QMNIST = "qmnist"
"""The name of the dataset whose label files say who wrote each image of MNIST."""
WRITERS: dict[str, PublishedFile] = {
    "mnist": PublishedFile(
        stem="qmnist-train-labels-idx2-int",
        mirrors=(
            "https://raw.githubusercontent.com/facebookresearch/qmnist/master/",
            "https://github.com/facebookresearch/qmnist/raw/master/",  # for networks that block the first name
        ),
        sha256="bb1b6e1ec7b04fd5696f1ed50b5f58f8ef195118edd5c93c81783df9740b8ac5",
        size=12 + 60_000 * 8 * 4,
    )
}
"""The files that name the writers of the training images, by the name of the dataset.

*Source*: Yadav and Bottou, "Cold Case: The Lost MNIST Digits", 2019.
"""
GLYPHS = "glyphs"
"""The name of the dataset that is drawn and not fetched, see `glyphs.py`."""
NAMES = (*CATALOGUE, GLYPHS)
"""The datasets that have a name; any other dataset is a path."""
FILE_ENDINGS = (".npz", ".csv", ".tsv", ".csv.gz", ".tsv.gz")
"""The endings of files that hold a dataset."""


def is_dataset_path(name: str) -> bool:
    """Whether a dataset is given as a path: the name contains a slash, is `.` or `..`, or is that of a file.

    >>> is_dataset_path("./letters"), is_dataset_path("letters.npz"), is_dataset_path("mnist")
    (True, True, False)
    """
    return "/" in name or os.sep in name or name in (".", "..") or name.lower().endswith(FILE_ENDINGS)


def check_dataset_name(name: str) -> str:
    """Returns the name if it is one of NAMES.

    *Raises* DrilldownError, with a suggestion, for any other name.

    >>> check_dataset_name("mnist")
    'mnist'
    """
    if name in NAMES:
        return name
    raise DrilldownError(
        Problem(
            found=f'unknown dataset "{name}"',
            expected=f"one of {quoted(NAMES)}, or the path of a folder or a file, such as ./{name}",
            suggestion=did_you_mean(name, NAMES),
        )
    )
