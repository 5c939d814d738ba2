"""Searches the folders of this machine for the files of a dataset, and fetches them where no folder has them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import platformdirs

from drilldown.data.catalogue import QMNIST, PublishedFile
from drilldown.data.download import OnDownload, UnreachableError, fetch_file
from drilldown.data.idx import explain_read_errors
from drilldown.errors import DrilldownError, Problem

SUBFOLDERS: dict[str, tuple[str, ...]] = {
    # The names of the image files are the same for all datasets, so the folder itself is only searched for MNIST.
    "mnist": ("mnist", "MNIST/raw", "."),
    "fashion-mnist": ("fashion-mnist", "FashionMNIST/raw"),
    "kmnist": ("kmnist", "KMNIST/raw"),
    QMNIST: (QMNIST, "QMNIST/raw", "mnist", "."),
}
"""The folders that may hold the files, below a folder that the user names: ours, then those of other libraries."""


def cache_folder() -> Path:
    """Returns the folder of fetched datasets."""
    return Path(platformdirs.user_cache_dir("drilldown", appauthor=False))


def dataset_folders(name: str, folder: Path | str | None) -> list[Path]:
    """Returns the folders that may hold the files, in the order of the search.

    *Arguments*: `name`: a key of SUBFOLDERS. `folder`: the first folder to search (`--data`).

    *Raises* DrilldownError where a folder that the user named is a file or cannot be read; it may be missing.
    """
    roots: list[Path] = [] if folder is None else [Path(folder)]
    if os.environ.get("DRILLDOWN_DATA"):
        roots.append(Path(os.environ["DRILLDOWN_DATA"]))
    for root in roots:
        with explain_read_errors(root):
            mode = _mode(root)
        if mode is not None and not stat.S_ISDIR(mode):
            raise DrilldownError(Problem(file=root, found="not a folder", expected="a folder that holds datasets"))
    roots.append(cache_folder())
    return [root / subfolder for root in roots for subfolder in SUBFOLDERS[name]]


def find_files(folders: Iterable[Path], stems: Sequence[str]) -> dict[str, Path] | None:
    """Returns the files of these stems, plain or `.gz`, in the first folder that has all; None where no folder has.

    *Raises* DrilldownError where a folder or a file cannot be read: the search does not go on to another folder.
    """
    for folder in folders:
        files: dict[str, Path] = {}
        for stem in stems:
            # Some unpacked copies have a dot before idx where the published names have a dash.
            dotted = stem.replace("-idx", ".idx")
            # Some archives are unpacked into folders that are named like the files in them.
            names = (stem, dotted, f"{stem}.gz", f"{stem}/{stem}", f"{stem}/{dotted}", f"{dotted}/{dotted}")
            file = next((folder / name for name in names if _is_file(folder / name)), None)
            if file is None:
                break
            files[stem] = file
        else:
            return files
    return None


def fetch_files(
    name: str,
    files: Mapping[str, PublishedFile],
    searched: Iterable[Path],
    on_download: OnDownload | None,
    *,
    title: str,
    instead: str,
) -> dict[str, Path]:
    """Fetches published files into the folder `name` of the cache and verifies them.

    *Arguments*: `files`: by stem. The others are for the message: `searched`, the folders without them; `title`, the
    files in words; `instead`, a way to do without them.

    *Returns* the stored files by stem.

    *Raises* DrilldownError where a file cannot be fetched or stored.
    """
    try:
        return {stem: fetch_file(file, cache_folder() / name, on_download=on_download) for stem, file in files.items()}
    except UnreachableError as error:
        form = "as .gz" if any(file.packed for file in files.values()) else "plain or .gz"
        raise DrilldownError(
            f"{title} is not on this machine and could not be fetched.\n"
            f"  Searched\n" + "\n".join(f"    {folder}" for folder in searched) + "\n"
            "  Tried\n" + "\n".join(f"    {line}" for line in error.attempts) + "\n"
            f"  To solve this: connect to the network and repeat the command;\n"
            f"  or copy {', '.join(files)} ({form})\n"
            f"  into a folder and name it with --data or DRILLDOWN_DATA;\n"
            f"  or {instead}"
        ) from None


def _is_file(path: Path) -> bool:
    """Whether there is a file; raises DrilldownError where the operating system does not tell."""
    try:
        return stat.S_ISREG(_mode(path) or 0)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # there can be no such file
            return False
        with explain_read_errors(path):
            raise


def _mode(path: Path) -> int | None:
    """Returns the type of a file or folder, as `stat` has it; None where nothing has this path."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: the path contains a null byte
        return None
