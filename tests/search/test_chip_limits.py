"""Limits on a chip in a search: candidates keep them before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from drilldown.errors import DrilldownError
from drilldown.runs.chips import figures_untrained
from drilldown.search.proposing import propose_candidate
from drilldown.search.reading import read_search
from drilldown.search.running import check_chip, load_state
from support.exports import need_program
from support.stand_in import write_search


@pytest.mark.parametrize("limit", ["flash=3000", "ram=650"])
def test_a_candidate_is_made_narrower_until_its_code_keeps_the_limits(limit: str, tmp_path: Path) -> None:
    need_program("arm-none-eabi-gcc", "gcc-arm-none-eabi")
    file = write_search(tmp_path)
    free, search = read_search(file), read_search(file, [f"budget.{limit}", "budget.chip=cortex-m0"])
    widest = propose_candidate(free, load_state(free, [])) or pytest.fail("nothing was proposed")
    made = propose_candidate(search, load_state(search, [])) or pytest.fail("nothing was proposed")
    found = [figures_untrained(search.space.experiment(each[0].values)) for each in (widest, made)]
    kind, size = limit.split("=")
    first, second = (each.flash if kind == "flash" else each.ram_with_stack for each in found if each is not None)
    assert first is not None
    assert second is not None
    assert 0.75 * int(size) < second <= int(size) < first  # not narrower than it must be, in whole channels


def test_limits_that_no_network_keeps_give_no_candidate(tmp_path: Path) -> None:
    need_program("arm-none-eabi-gcc", "gcc-arm-none-eabi")
    search = read_search(write_search(tmp_path), ["budget.flash=100", "budget.chip=cortex-m0"])
    assert propose_candidate(search, load_state(search, [])) is None


def test_a_search_is_refused_where_the_compiler_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = read_search(write_search(tmp_path), ["budget.ram=4k", "budget.chip=cortex-m0"])
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = "flash and RAM on cortex-m0 cannot be measured: arm-none-eabi-gcc is not installed .*gcc-arm-none-eabi"
    with pytest.raises(DrilldownError, match=f"budget.chip: {reason}"):
        check_chip(search)
    check_chip(read_search(write_search(tmp_path)))
