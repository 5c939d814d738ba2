"""The memory that is left is known, and what does not fit is refused."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from drilldown.errors import DrilldownError
from drilldown.memory import available_memory, check_memory
from support.cli import environment


def test_the_machines_free_memory_is_the_upper_limit() -> None:
    assert 0 < available_memory() <= psutil.virtual_memory().total


def test_what_fits_is_not_refused() -> None:
    check_memory(1_000_000, "a small thing")


def test_what_does_not_fit_is_refused_with_both_figures() -> None:
    with pytest.raises(DrilldownError, match=r"^here: a large thing takes about 1,000,000.0 GB of memory; .* are free"):
        check_memory(10**15, "a large thing", file="here")


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
