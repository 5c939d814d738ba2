"""The memory that is left is known, and what does not fit is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from drilldown import memory
from drilldown.errors import DrilldownError
from drilldown.memory import available_memory, check_memory
from support.cli import environment


def test_the_machines_free_memory_is_the_upper_limit() -> None:
    assert 0 < available_memory() <= psutil.virtual_memory().total


def test_what_fits_is_not_refused() -> None:
    check_memory(1_000_000, "a small thing")


def test_what_does_not_fit_is_refused_with_both_figures() -> None:
    with pytest.raises(
        DrilldownError, match=r"^here: key: a large thing takes about 1,000,000.0 GB of memory; .* are free; buy some$"
    ):
        check_memory(10**15, "a large thing", file="here", place="key", suggestion="buy some")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps this limit")
def test_a_limit_of_the_process_counts() -> None:
    code = (
        "import resource\n"
        "from drilldown.memory import available_memory\n"
        "import psutil\n"
        "mapped = psutil.Process().memory_info().vms\n"
        "resource.setrlimit(resource.RLIMIT_AS, (mapped + 500_000_000,) * 2)\n"
        "print(available_memory())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert 400_000_000 < int(done.stdout) <= 500_000_000


V1 = {"limit": "memory.limit_in_bytes", "used": "memory.usage_in_bytes", "cached": "total_inactive_file"}
V2 = {"limit": "memory.max", "used": "memory.current", "cached": "inactive_file"}
UNLIMITED = 9_223_372_036_854_771_712
"""The limit that version 1 gives where there is none."""


def write_group(folder: Path, names: dict[str, str], limit: int | str, used: int, cached: int = 0) -> None:
    """Writes the files that the kernel shows for one control group."""
    folder.mkdir(parents=True)
    (folder / names["limit"]).write_text(f"{limit}\n")
    (folder / names["used"]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 7\n{names['cached']} {cached}\n")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of control groups of this process, which is in the group /job/step; there are none yet."""
    (tmp_path / "own").write_text("5:cpu,cpuacct:/elsewhere\n4:memory:/job/step\n0::/job/step\n")
    monkeypatch.setattr(memory, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "groups")
    return tmp_path / "groups"


@pytest.mark.parametrize(("hierarchy", "names"), [("", V2), ("memory", V1)], ids=["version 2", "version 1"])
@pytest.mark.parametrize("group", ["", "job", "job/step"])
def test_a_limit_of_the_control_group_or_of_one_above_it_counts(
    groups: Path, hierarchy: str, names: dict[str, str], group: str
) -> None:
    write_group(groups / hierarchy / group, names, limit=50_000_000, used=20_000_000)
    assert available_memory() == 30_000_000


def test_the_tightest_of_several_limits_counts(groups: Path) -> None:
    write_group(groups / "job" / "step", V2, "max", 20_000_000)
    write_group(groups / "memory" / "job" / "step", V1, UNLIMITED, 20_000_000)
    assert available_memory() > 100_000_000
    write_group(groups / "memory" / "job" / "other", V1, 30_000_000, 20_000_000)  # not a group of this process
    assert available_memory() > 100_000_000
    for file, limit in ((groups / "memory/job/step" / V1["limit"], 60), (groups / "job/step" / V2["limit"], 50)):
        file.write_text(f"{limit}_000_000".replace("_", ""))
    assert available_memory() == 30_000_000


def test_copies_of_files_that_the_system_drops_on_demand_are_free(groups: Path) -> None:
    write_group(groups / "job", V2, limit=50_000_000, used=50_000_000, cached=45_000_000)
    assert available_memory() == 45_000_000


def test_a_limit_that_is_exceeded_leaves_nothing(groups: Path) -> None:
    write_group(groups / "job", V2, limit=50_000_000, used=60_000_000)
    assert available_memory() == 0
