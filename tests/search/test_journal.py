"""The journal: after a killed process, a full disk or an edit, whole lines stay and damage is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.errors import DrilldownError
from drilldown.search.journal import JOURNAL, Journal, SearchBusyError, line_of, open_journal, read_journal

EVENTS: list[dict[str, Any]] = [
    {"kind": "search", "fingerprint": "0a1b2c3d", "name": "études/ärger"},
    {"kind": "candidate", "number": 0, "values": {"w1": 4, "head": "gap, linear 10", "augment": {"rotate": 10.0}}},
    {"kind": "result", "candidate": 0, "seed": 0, "loss": None, "passed": False, "clock": 1.5},
    {"kind": "limit", "limit": 8000, "too_small": None, "reason": "no line\nbreak \u2028 \r ends a line"},
]
CONTENT = b"".join(map(line_of, EVENTS))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def whole_lines(content: bytes) -> int:
    return content.count(b"\n")


def test_events_come_back_in_their_order(tmp_path: Path) -> None:
    with open_journal(tmp_path / "search") as journal:
        for event in EVENTS:
            journal.write(event)
        assert journal.events == EVENTS
        assert read_journal(tmp_path / "search") == EVENTS  # also while it is open
    with open_journal(tmp_path / "search") as again:
        assert again.events == EVENTS
    assert (tmp_path / "search" / JOURNAL).read_bytes() == CONTENT


@given(values=st.dictionaries(st.sampled_from(["loss", "values", "reason"]), JSON_VALUES))
def test_any_event_is_one_line_and_reads_back(values: dict[str, Any], scratch: Path) -> None:
    event = {"kind": "x", **values}
    line = line_of(event)
    assert line.count(b"\n") == 1
    (scratch / JOURNAL).write_bytes(line)
    assert read_journal(scratch) == [event]
    document = json.loads(line)
    assert {key: document[key] for key in event} == event


def test_a_missing_journal_has_no_events(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "nothing") == []


def test_a_journal_torn_at_any_byte_continues_after_its_last_whole_line(tmp_path: Path) -> None:
    file = tmp_path / JOURNAL
    more = {"kind": "exhausted"}
    for size in range(len(CONTENT) + 1):
        file.write_bytes(CONTENT[:size])
        kept = EVENTS[: whole_lines(CONTENT[:size])]
        assert read_journal(tmp_path) == kept
        journal = Journal(tmp_path)
        assert journal.events == kept
        journal.write(more)
        assert read_journal(tmp_path) == [*kept, more], size


def test_a_journal_torn_twice_in_the_same_place_stays_readable(tmp_path: Path) -> None:
    """Optuna's journal opens once after a torn line, and never again after the next one."""
    file = tmp_path / JOURNAL
    for _ in range(3):
        journal = Journal(tmp_path)
        journal.write(EVENTS[0])
        with file.open("ab") as opened:
            opened.write(line_of(EVENTS[1])[:20])
    assert read_journal(tmp_path) == [EVENTS[0]] * 3


@settings(max_examples=200)
@given(at=st.integers(0, len(CONTENT) - 2), byte=st.integers(0, 255))
def test_a_changed_byte_is_refused_with_its_line(at: int, byte: int, scratch: Path) -> None:
    damaged = bytearray(CONTENT)
    damaged[at] = byte
    (scratch / JOURNAL).write_bytes(damaged)
    try:
        events = read_journal(scratch)
    except DrilldownError as error:
        (problem,) = error.problems
        assert problem.file == scratch / JOURNAL
        assert problem.line == whole_lines(CONTENT[:at]) + 1
        assert "the line is damaged" in problem.found
        assert "delete this line" in str(problem.suggestion)
        assert len(str(problem).splitlines()) == 1
    else:
        assert events == EVENTS  # the byte was the same, or it changed nothing, such as a space between two values


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"{}", b"null", b"[" * 100_000, b'{"kind": "x"}', b'{"kind": 3, "check": "x"}', b"\xff\xfe"]
)
def test_a_line_that_is_no_event_is_refused(line: bytes, tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_bytes(line_of(EVENTS[0]) + line + b"\n" + line_of(EVENTS[1]))
    with pytest.raises(DrilldownError, match=rf"{JOURNAL}:2: the line is damaged"), open_journal(tmp_path):
        pass


def test_a_damaged_journal_is_not_changed(tmp_path: Path) -> None:
    content = line_of(EVENTS[0]) + b"damage\n" + line_of(EVENTS[1])[:-5]
    (tmp_path / JOURNAL).write_bytes(content)
    with pytest.raises(DrilldownError), open_journal(tmp_path):
        pass
    assert (tmp_path / JOURNAL).read_bytes() == content


def test_a_second_process_is_refused_with_one_message(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom drilldown.search.journal import open_journal\n"
        f"with open_journal(Path({str(tmp_path)!r})):\n    print('open', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"open"
        with pytest.raises(SearchBusyError, match="another process works on this search") as caught:
            open_journal(tmp_path).__enter__()
        assert len(caught.value.problems) == 1
        other.kill()  # nothing is left to be cleaned up by hand
    with open_journal(tmp_path) as journal:
        assert journal.events == []


def test_another_programs_line_is_noticed_before_the_next_one_is_written(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        journal.write(EVENTS[0])
        with journal.file.open("ab") as opened:
            opened.write(b"a line\n")
        with pytest.raises(DrilldownError, match="another program has changed the file"):
            journal.write(EVENTS[1])
        assert journal.events == [EVENTS[0]]


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_gives_one_message(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.file = Path("/dev/full")
    with pytest.raises(DrilldownError) as caught:
        journal.write(EVENTS[0])
    assert len(caught.value.problems) == 1
    assert journal.events == []


def test_a_folder_in_place_of_the_journal_gives_one_message(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).mkdir()
    with pytest.raises(DrilldownError), open_journal(tmp_path):
        pass
    with pytest.raises(DrilldownError, match="cannot be read"):
        read_journal(tmp_path)
