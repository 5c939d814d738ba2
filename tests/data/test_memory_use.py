"""Loading takes little more memory than the data, and refuses before it takes too much."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drilldown.data.catalogue import STEMS
from drilldown.data.loading import load_dataset
from drilldown.data.own import idx_files
from drilldown.errors import DrilldownError
from support.cli import drilldown, environment

IMAGES = 150_000
MEGABYTES = IMAGES * 28 * 28 / 1e6

MEASURE = """
import sys, torch
from drilldown.data.loading import load_dataset
load_dataset(sys.argv[1])  # a small dataset: all modules are loaded, and PyTorch has its threads
def peak():  # the resource module counts the process that started this one
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))
before = peak()
dataset = load_dataset(sys.argv[2])
assert len(dataset.train) == int(sys.argv[3])
print(peak() - before)
"""


def write(folder: Path, train: int, *, packed: bool = False) -> Path:
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, 28 * 28, dtype=np.uint8).tobytes()
    for part, count in (("train", train), ("t10k", 10)):
        images = struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28) + noise * count
        labels = struct.pack(">4BI", 0, 0, 8, 1, count) + bytes(index % 10 for index in range(count))
        ending = ".gz" if packed else ""
        for name, content in (("images-idx3", images), ("labels-idx1", labels)):
            file = folder / f"{part}-{name}-ubyte{ending}"
            file.write_bytes(gzip.compress(content, 1) if packed else content)
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak in this way")
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_loading_peaks_at_no_more_than_twice_the_data(packed: bool, tmp_path: Path) -> None:
    small, large = write(tmp_path / "small", 20), write(tmp_path / "large", IMAGES, packed=packed)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(small), str(large), str(IMAGES)],
        env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert MEGABYTES <= float(done.stdout) <= 2 * MEGABYTES


def write_terabyte(folder: Path) -> Path:
    """Writes a dataset with a terabyte in each split, which takes no space."""
    write(folder, 20)
    images = folder / "train-images-idx3-ubyte"
    with images.open("r+b") as file:  # a file with a hole
        file.write(struct.pack(">4B3I", 0, 0, 8, 3, 20, 200_000, 250_000))
        file.truncate(16 + 20 * 200_000 * 250_000)
    (folder / "t10k-images-idx3-ubyte").unlink()
    (folder / "t10k-images-idx3-ubyte").symlink_to(images)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    (folder / "t10k-labels-idx1-ubyte").symlink_to(folder / "train-labels-idx1-ubyte")
    return folder


def test_too_large_a_dataset_is_refused_with_both_figures_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_terabyte(tmp_path / "letters")
    monkeypatch.setattr(idx_files, "parse_idx", None)  # nothing is read
    with pytest.raises(DrilldownError, match=r"loading the dataset takes about 2,000.1 GB of memory; .* GB are free"):
        load_dataset(str(folder))


def test_the_command_refuses_too_large_a_dataset_with_exit_code_2(tmp_path: Path) -> None:
    write_terabyte(tmp_path / "letters")
    done = drilldown("data", "./letters", cwd=tmp_path)
    assert done.returncode == 2
    assert "loading the dataset takes about 2,000.1 GB of memory; " in done.stderr
    assert "Traceback" not in done.stderr


LIMITED = """
import resource, sys
import psutil
from drilldown.data.loading import load_dataset
from drilldown.data.own import idx_files
from drilldown.errors import DrilldownError
load_dataset(sys.argv[1])  # a small dataset: all modules are loaded, and PyTorch has its threads
mapped = psutil.Process().memory_info().vms
resource.setrlimit(resource.RLIMIT_AS, (mapped + 150_000_000, resource.RLIM_INFINITY))
try:
    load_dataset(sys.argv[2])
except DrilldownError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps this limit")
def test_a_limit_of_the_process_is_a_message_and_not_a_failed_allocation(tmp_path: Path) -> None:
    small, large = write(tmp_path / "small", 20), write(tmp_path / "large", IMAGES)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(small), str(large)],
        env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(f"{large}: loading the dataset takes about 183 MB of memory; ")
    assert done.stdout.endswith(" MB are free\n")


def test_a_published_dataset_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for stem in STEMS:
        (tmp_path / stem).write_bytes(b"")
    monkeypatch.setattr("drilldown.memory.available_memory", lambda: 100_000_000)
    # 70,000 images of 784 bytes, 70,000 labels of 1 + 8 bytes, and what loading takes beside them: 120 MB
    with pytest.raises(DrilldownError, match=r"^mnist: loading the dataset takes about 120 MB .*; 100 MB are free$"):
        load_dataset("mnist", tmp_path)
