"""Fetching one file from mirrors; a local server gives correct and wrong answers."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from drilldown.data import download
from drilldown.data.download import UnreachableError, fetch_file
from drilldown.errors import DrilldownError
from drilldown.files import LOCK
from support.cli import environment
from support.mirror import ANSWERS, CONTENT, NOWHERE, PACKED, Mirror, published_file, send

NAME = "train-labels-idx1-ubyte.gz"


@pytest.fixture(scope="module")
def server() -> Iterator[Mirror]:
    with Mirror.running() as mirror:
        yield mirror


@pytest.fixture
def mirror(server: Mirror) -> Mirror:
    """The server, before the first request."""
    server.requested.clear()
    return server


@pytest.fixture(autouse=True)
def _no_other_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DRILLDOWN_MIRROR", "DRILLDOWN_DATA", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder"


def entries(folder: Path) -> list[Path]:
    """The content of a folder, without the file of the lock."""
    return [path for path in folder.iterdir() if path.name != LOCK]


def failed_attempts(folder: Path, *mirrors: str, patience: float = 5.0) -> list[str]:
    """The reason of each mirror; none of them gives the file."""
    with pytest.raises(UnreachableError) as caught:
        fetch_file(published_file(*mirrors), folder, patience=patience)
    assert entries(folder) == []
    return caught.value.attempts


# ---- success


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("answer", ["right", "redirecting", "chunked", "odd-length", "negative-length", "encoded"])
def test_the_right_file_is_stored_under_its_name_and_nothing_else(mirror, folder, answer, packed):
    path = fetch_file(published_file(mirror(answer), packed=packed), folder)
    assert entries(folder) == [path]
    assert path.name == NAME
    assert path.read_bytes() == PACKED


def test_an_unpacked_file_is_accepted_only_if_the_data_are_verified(mirror, folder):
    assert fetch_file(published_file(mirror("unpacked")), folder).read_bytes() == CONTENT
    with pytest.raises(UnreachableError, match="the archive's SHA-256 is "):
        fetch_file(published_file(mirror("unpacked"), packed=True), folder / "other")


def test_a_repacked_file_is_accepted_only_if_the_data_are_verified(mirror, folder, monkeypatch):
    monkeypatch.setitem(ANSWERS, "repacked", send(gzip.compress(CONTENT, 1)))
    assert gzip.decompress(fetch_file(published_file(mirror("repacked")), folder).read_bytes()) == CONTENT
    with pytest.raises(UnreachableError, match="the archive's SHA-256 is "):
        fetch_file(published_file(mirror("repacked"), packed=True), folder / "other")


def test_mirrors_are_tried_in_order_until_one_gives_the_file(mirror, folder):
    fetch_file(published_file(mirror("missing"), mirror("other"), mirror("right"), mirror("busy")), folder)
    assert mirror.requested == [f"missing/{NAME}", f"other/{NAME}", f"right/{NAME}"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_mirror_in_the_environment_is_tried_first(mirror, folder, monkeypatch, slash):
    monkeypatch.setenv("DRILLDOWN_MIRROR", mirror("right").rstrip("/") + slash)
    fetch_file(published_file(mirror("busy")), folder)
    assert mirror.requested == [f"right/{NAME}"]


@pytest.mark.parametrize(
    "address", ["/no/scheme", "http://[::1", "ftp://x", f"http://{'a' * 70}.invalid", "http://a b/", NOWHERE]
)
def test_after_a_wrong_mirror_in_the_environment_the_others_are_tried(mirror, folder, monkeypatch, address):
    monkeypatch.setenv("DRILLDOWN_MIRROR", address)
    assert fetch_file(published_file(mirror("right")), folder).is_file()


def test_progress_grows_up_to_the_size_of_the_file(mirror, folder):
    calls: list[tuple[str, int, int | None]] = []
    fetch_file(published_file(mirror("right")), folder, on_download=lambda *call: calls.append(call))
    received = [bytes_so_far for _, bytes_so_far, _ in calls]
    assert {name for name, _, _ in calls} == {NAME.removesuffix(".gz")}
    assert {total for _, _, total in calls} == {len(PACKED)}
    assert len(received) > 1
    assert received == sorted(set(received))
    assert received[0] > 0
    assert received[-1] == len(PACKED)


def test_progress_has_no_total_if_the_server_does_not_send_one(mirror, folder):
    calls: list[tuple[str, int, int | None]] = []
    fetch_file(published_file(mirror("chunked")), folder, on_download=lambda *call: calls.append(call))
    assert {total for _, _, total in calls} == {None}
    assert calls[-1][1] == len(PACKED)


def test_an_existing_file_is_replaced(mirror, folder):
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(b"old")
    assert fetch_file(published_file(mirror("right")), folder).read_bytes() == PACKED


def test_several_downloads_at_the_same_time_do_not_disturb_each_other(mirror, folder):
    arguments = (published_file(mirror("right")), folder)
    threads = [threading.Thread(target=fetch_file, args=arguments) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for path in entries(folder)] == [PACKED]
    assert len(mirror.requested) == 1  # the others wait for the first


def test_a_right_file_that_is_stored_is_not_fetched_again(mirror, folder):
    file = published_file(mirror("right"))
    assert fetch_file(file, folder) == fetch_file(file, folder)
    assert len(mirror.requested) == 1


def test_only_drilldown_shows_the_progress(mirror, folder, capfd):
    fetch_file(published_file(mirror("right")), folder)
    assert capfd.readouterr() == ("", "")


# ---- failure


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("missing", "status 404"),
        ("busy", "status 503"),
        ("other", "the data's SHA-256 is "),
        ("html", "the data's SHA-256 is "),
        ("empty", "the data's SHA-256 is "),
        ("short", "damaged gzip data"),
        ("cut", "the connection broke off"),
        ("hanging-up", ""),
        ("rubbish", ""),
        ("circling", "Exceeded 30 redirects"),
        ("astray", ""),
    ],
)
def test_a_wrong_answer_gives_one_line_and_leaves_no_file(mirror, folder, answer, reason):
    (attempt,) = failed_attempts(folder, mirror(answer))
    assert attempt.startswith(f"{mirror(answer)}{NAME}: {reason}")
    assert "\n" not in attempt


def test_an_address_without_a_server_is_no_connection(folder):
    assert failed_attempts(folder, NOWHERE) == [f"{NOWHERE}{NAME}: no connection"]


@pytest.mark.parametrize("answer", ["silent", "halfway"])
def test_a_silent_mirror_is_given_up(mirror, folder, answer):
    (attempt,) = failed_attempts(folder, mirror(answer), patience=0.3)
    assert attempt.endswith(": no answer in time")


def test_a_slow_mirror_is_given_up(mirror, folder):
    (attempt,) = failed_attempts(folder, mirror("dripping"), patience=0.5)
    assert "too slow: " in attempt


def test_the_next_mirror_is_tried_after_a_slow_one(mirror, folder):
    fetch_file(published_file(mirror("silent"), mirror("dripping"), mirror("right")), folder, patience=0.5)
    assert mirror.requested == [f"{answer}/{NAME}" for answer in ("silent", "dripping", "right")]


def test_an_endless_answer_is_stopped(mirror, folder, monkeypatch):
    monkeypatch.setattr(download, "LARGEST_ARCHIVE", 1_000_000)
    (attempt,) = failed_attempts(folder, mirror("endless"))
    assert attempt.endswith(": sends more than 1,000,000 bytes")


def test_the_reasons_are_in_the_order_of_the_mirrors(mirror, folder):
    attempts = failed_attempts(folder, mirror("busy"), NOWHERE, mirror("missing"))
    assert [line.rpartition(": ")[2] for line in attempts] == ["status 503", "no connection", "status 404"]


def test_a_failure_does_not_change_an_existing_file(mirror, folder):
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(b"old")
    for answer in ("other", "cut", "html"):
        with pytest.raises(UnreachableError):
            fetch_file(published_file(mirror(answer)), folder)
    assert [path.read_bytes() for path in entries(folder)] == [b"old"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interruption_is_passed_on_and_leaves_no_file(mirror, folder, interruption):
    def interrupt(_: str, received: int, __: int | None) -> None:
        assert entries(folder) != []  # the temporary folder
        if received > 100_000:
            raise interruption

    with pytest.raises(interruption):
        fetch_file(published_file(mirror("right"), mirror("right")), folder, on_download=interrupt)
    assert entries(folder) == []
    assert len(mirror.requested) == 1


def test_a_folder_that_cannot_be_made_is_reported_before_any_request(mirror, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DrilldownError) as caught:
        fetch_file(published_file(mirror("right")), tmp_path / "file" / "below")
    assert str(caught.value).startswith(f"{tmp_path / 'file' / 'below'}: the dataset cannot be stored here (")
    assert "XDG_CACHE_HOME" in str(caught.value)
    assert mirror.requested == []


def test_a_folder_with_the_name_of_the_file_is_reported(mirror, folder):
    (folder / NAME).mkdir(parents=True)
    with pytest.raises(DrilldownError, match="the dataset cannot be stored here"):
        fetch_file(published_file(mirror("right")), folder)
    assert [path.is_dir() for path in entries(folder)] == [True]


def test_a_full_disk_is_reported_and_leaves_no_file(mirror, folder):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(PACKED) - 10, hard))  # full at the last bytes
    try:
        with pytest.raises(DrilldownError, match="the dataset cannot be stored here"):
            fetch_file(published_file(mirror("right")), folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert entries(folder) == []


BOMB_BYTES = 1_000_000_000
"""The decompressed size of the bomb, which is 1 MB of gzip data."""

FETCH = """
import sys
from pathlib import Path
from drilldown.data.catalogue import PublishedFile
from drilldown.data.download import UnreachableError, fetch_file
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))
before = peak()
file = PublishedFile(stem="train-images-idx3-ubyte", mirrors=(sys.argv[1],), sha256="0" * 64, size=47_040_016,
                     packed=sys.argv[3] == "packed")
try:
    fetch_file(file, Path(sys.argv[2]))
except UnreachableError as error:
    print(peak() - before, error.attempts)
"""


@pytest.fixture(scope="module")
def bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    block = bytes(10_000_000)
    return b"".join([*(packer.compress(block) for _ in range(BOMB_BYTES // len(block))), packer.flush()])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak in this way")
@pytest.mark.parametrize(
    ("kind", "reason"), [("packed", "the archive's SHA-256 is"), ("unpacked", "more than 47,040,016 bytes")]
)
def test_a_gzip_bomb_is_one_line_and_takes_little_memory(kind, reason, bomb, mirror, folder, monkeypatch):
    monkeypatch.setitem(ANSWERS, "bomb", send(bomb))
    done = subprocess.run(
        [sys.executable, "-c", FETCH, mirror("bomb"), str(folder), kind],
        env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    megabytes, _, attempts = done.stdout.partition(" ")
    assert reason in attempts
    assert attempts.count("bomb/") == 1
    assert float(megabytes) < 25
    assert entries(folder) == []


def test_leftovers_of_a_killed_download_are_removed(mirror, folder, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from support.mirror import published_file\n"
        "from drilldown.data.download import fetch_file\n"
        "fetch_file(published_file(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    killed = subprocess.Popen(
        [sys.executable, "-c", code, mirror("halfway"), str(folder)],
        env=environment(PYTHONPATH=str(Path(__file__).parents[1])),
    )
    while not any(folder.glob(".train-labels-idx1-ubyte-*/*")):
        assert killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("not a leftover")
    (folder / ".train-images-idx3-ubyte-planted").symlink_to(precious)
    (folder / ".t10k-images-idx3-ubyte-planted").write_text("a file, where a folder is expected")
    (folder / ".qmnist-train-labels-idx2-int-killed").mkdir()
    fetch_file(published_file(mirror("right")), folder)
    assert [entry.name for entry in entries(folder)] == [NAME]
    assert (precious / "file").exists()
