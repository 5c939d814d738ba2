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
    sha256: str = ""
    """The checksum of the archive where `packed` is true, else of the decompressed bytes; 64 hex digits."""
    md5: str = ""
    """The checksum of the archive where no SHA-256 is published: 32 hex digits. It finds damage and mistakes, but does
    not stop a person who makes a false file on purpose."""
    size: int
    """The number of decompressed bytes."""
    packed: bool = False
    """Whether the checksum is that of the archive."""

    def read(self, file: Path) -> bytearray:
        """Reads and verifies a stored file; returns its decompressed bytes.

        *Raises* DrilldownError where the file cannot be read, or is not the published one.
        """
        if self.packed:
            self.verify(file)  # before anything is decompressed
            return read_unpacked(self._archive(file), self.size)
        content = read_unpacked(file, self.size)
        self._compare(file, hashlib.sha256(content).hexdigest())
        return content

    def verify(self, file: Path) -> None:
        """Verifies a stored file and keeps none of its bytes in memory.

        *Raises* DrilldownError where the file cannot be read, or is not the published one.
        """
        if self.packed:
            file = self._archive(file)
            algorithm = "sha256" if self.sha256 else "md5"
            with explain_read_errors(file), file.open("rb") as archive:
                checksum = hashlib.file_digest(archive, algorithm).hexdigest()
        else:
            checksum = hash_unpacked(file, self.size)
        self._compare(file, checksum)

    def _archive(self, file: Path) -> Path:
        """Returns the archive beside an unpacked file: other libraries keep both, and an archive can be verified."""
        beside = file.with_name(f"{self.stem}.gz")
        return beside if beside.is_file() else file

    def _compare(self, file: Path, checksum: str) -> None:
        published, algorithm = (self.sha256, "SHA-256") if self.sha256 else (self.md5, "MD5")
        if checksum != published:
            kind = "archive" if self.packed else "data"
            raise DrilldownError(
                Problem(
                    file=file,
                    found=f"the {kind}'s {algorithm} is {checksum[:12]}…, not {published[:12]}…",
                    expected="the published dataset",
                    suggestion="delete the file to fetch it again, or give the folder's path as the dataset",
                )
            )


def _files(mirrors: tuple[str, ...], checksums: tuple[str, ...], *, packed: bool) -> dict[str, PublishedFile]:
    return {
        stem: PublishedFile(stem=stem, mirrors=mirrors, sha256=checksum, size=SIZES[stem], packed=packed)
        for stem, checksum in zip(STEMS, checksums, strict=True)
    }


QMNIST = "qmnist"
"""The name of the dataset whose label files say who wrote each image of MNIST."""


def _qmnist_file(stem: str, size: int, *, sha256: str = "", md5: str = "") -> PublishedFile:
    mirrors = (
        "https://raw.githubusercontent.com/facebookresearch/qmnist/master/",
        "https://github.com/facebookresearch/qmnist/raw/master/",  # for networks that block the first name
    )
    return PublishedFile(stem=stem, mirrors=mirrors, sha256=sha256, md5=md5, size=size, packed=bool(md5))


_QMNIST_IMAGES, _QMNIST_LABELS = 16 + 60_000 * 28 * 28, 12 + 60_000 * 8 * 4
_QMNIST_FILES = (
    # The MD5 sums are those of torchvision's loader, `torchvision.datasets.QMNIST.resources`.
    _qmnist_file("qmnist-train-images-idx3-ubyte", _QMNIST_IMAGES, md5="ed72d4157d28c017586c42bc6afe6370"),
    _qmnist_file(
        "qmnist-train-labels-idx2-int",
        _QMNIST_LABELS,
        sha256="bb1b6e1ec7b04fd5696f1ed50b5f58f8ef195118edd5c93c81783df9740b8ac5",
    ),
    _qmnist_file("qmnist-test-images-idx3-ubyte", _QMNIST_IMAGES, md5="1394631089c404de565df7b7aeaf9412"),
    _qmnist_file(
        "qmnist-test-labels-idx2-int",
        _QMNIST_LABELS,
        sha256="92d0ccb8c25f9c6534270fb4be7e1d24a1c6d315edfc8a638bfbd31c70f362dd",
    ),
)
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
    QMNIST: {file.stem: file for file in _QMNIST_FILES},
}
"""The published datasets by name, and their files by stem: of the training set, then of the test set.

*Source* of QMNIST: Yadav and Bottou, "Cold Case: The Lost MNIST Digits", 2019.
"""
WRITERS: dict[str, PublishedFile] = dict.fromkeys(("mnist", QMNIST), CATALOGUE[QMNIST]["qmnist-train-labels-idx2-int"])
"""The files that name the writers of the training images, by the name of the dataset."""
TEST_WRITERS: dict[str, PublishedFile] = dict.fromkeys(WRITERS, CATALOGUE[QMNIST]["qmnist-test-labels-idx2-int"])
"""The files that name the writers of the test images, by the name of the dataset; MNIST's are the first rows."""
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
