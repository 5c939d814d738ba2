"""Fetching, from a server of our own that does what servers do."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from drilldown.data import download
from drilldown.data.catalogue import CATALOGUE, STEMS, PublishedFile
from drilldown.data.download import UnreachableError, fetch_file
from drilldown.data.loading import cache_folder, load_dataset
from drilldown.errors import DrilldownError

CONTENT = np.random.default_rng(0).bytes(300_000)
PACKED = gzip.compress(CONTENT)
OTHER = gzip.compress(CONTENT[::-1])
HTML = b"<!DOCTYPE html><html><body>Please log in to this network.</body></html>"
NOWHERE = "http://127.0.0.1:9/"
"""A port that no one listens on."""

Answer = Callable[["Mirror", BaseHTTPRequestHandler], None]


class Mirror(ThreadingHTTPServer):
    """A server that answers as the first part of the path says; the rest is the file's name."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    def __call__(self, answer: str) -> str:
        """The address at which one answer is given, as a mirror's is written."""
        return f"http://127.0.0.1:{self.server_port}/{answer}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what several tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        answer = self.path.split("/")[1]
        self.server.asked.append(self.path.strip("/"))
        ANSWERS[answer](self.server, self)

    def log_message(self, *_: object) -> None:
        pass


def send(body: bytes, *, length: int | str | None = None, status: int = 200, **headers: str) -> Answer:
    """An answer with its length, or with the length that is claimed."""

    def answer(_: Mirror, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def dripping(mirror: Mirror, handler: BaseHTTPRequestHandler) -> None:
    """A few bytes at a time, never silent for long; at most for ten seconds."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(PACKED)))
    handler.end_headers()
    for start in range(0, 10_000, 50):
        handler.wfile.write(PACKED[start : start + 50])
        if mirror.closing.wait(0.05):
            return


def silent(mirror: Mirror, _: BaseHTTPRequestHandler) -> None:
    mirror.closing.wait(10)


def silent_in_the_middle(mirror: Mirror, handler: BaseHTTPRequestHandler) -> None:
    send(PACKED[:1000], length=len(PACKED))(mirror, handler)
    mirror.closing.wait(10)


def endless(mirror: Mirror, handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not mirror.closing.is_set():
        handler.wfile.write(bytes(64 * 1024))


def hanging_up(_: Mirror, handler: BaseHTTPRequestHandler) -> None:
    # Lingering for no time at all: the connection is reset, not closed.
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    handler.close_connection = True


def chunked(_: Mirror, handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
    for start in range(0, len(PACKED), 10_000):
        chunk = PACKED[start : start + 10_000]
        handler.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
    handler.wfile.write(b"0\r\n\r\n")
    handler.close_connection = True


def rubbish(_: Mirror, handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x00\x01\x02 this is no HTTP\r\n\r\n")
    handler.close_connection = True


def redirecting(mirror: Mirror, handler: BaseHTTPRequestHandler) -> None:
    send(b"", status=302, Location=mirror("right") + handler.path.split("/")[2])(mirror, handler)


def circling(mirror: Mirror, handler: BaseHTTPRequestHandler) -> None:
    send(b"", status=302, Location=handler.path)(mirror, handler)


def astray(mirror: Mirror, handler: BaseHTTPRequestHandler) -> None:
    send(b"", status=302, Location=f"http://{'a' * 70}.invalid/")(mirror, handler)


ANSWERS: dict[str, Answer] = {
    "right": send(PACKED),
    "unpacked": send(CONTENT),
    "other": send(OTHER),
    "cut": send(PACKED[:100_000], length=len(PACKED)),
    "short": send(PACKED[:100_000]),
    "longer": send(PACKED + bytes(1000)),
    "html": send(HTML, Content_Type="text/html"),
    "empty": send(b""),
    "missing": send(b"Not Found", status=404),
    "busy": send(b"", status=503),
    "odd-length": send(PACKED, length="a lot"),
    "negative-length": send(PACKED, length=-1),
    "encoded": send(PACKED, Content_Encoding="gzip"),
    "dripping": dripping,
    "silent": silent,
    "halfway": silent_in_the_middle,
    "endless": endless,
    "hanging-up": hanging_up,
    "chunked": chunked,
    "rubbish": rubbish,
    "redirecting": redirecting,
    "circling": circling,
    "astray": astray,
}


@pytest.fixture(scope="module")
def server() -> Iterator[Mirror]:
    with Mirror() as mirror:
        thread = threading.Thread(target=mirror.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield mirror
        mirror.closing.set()
        mirror.shutdown()
        thread.join()


@pytest.fixture
def mirror(server: Mirror) -> Mirror:
    """The server, nothing asked of it yet."""
    server.asked.clear()
    return server


@pytest.fixture(autouse=True)
def _nothing_leads_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DRILLDOWN_MIRROR", "DRILLDOWN_DATA", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder"


def file(*mirrors: str, stem: str = "train-labels-idx1-ubyte", packed: bool = False) -> PublishedFile:
    return PublishedFile(
        stem=stem, mirrors=mirrors, sha256=hashlib.sha256(PACKED if packed else CONTENT).hexdigest(), packed=packed
    )


def attempts(folder: Path, *mirrors: str, patience: float = 5.0) -> list[str]:
    """What each mirror did, none of them giving the file."""
    with pytest.raises(UnreachableError) as caught:
        fetch_file(file(*mirrors), folder, patience=patience)
    assert list(folder.iterdir()) == []
    return caught.value.attempts


# ---- what works


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("answer", ["right", "redirecting", "chunked", "odd-length", "negative-length", "encoded"])
def test_the_right_file_is_stored_under_its_name_and_nothing_beside_it(mirror, folder, answer, packed):
    path = fetch_file(file(mirror(answer), packed=packed), folder)
    assert list(folder.iterdir()) == [path]
    assert path.name == "train-labels-idx1-ubyte.gz"
    assert path.read_bytes() == PACKED


def test_a_file_that_comes_unpacked_is_right_where_the_data_count(mirror, folder):
    assert fetch_file(file(mirror("unpacked")), folder).read_bytes() == CONTENT
    with pytest.raises(UnreachableError, match="the archive's SHA-256 is "):
        fetch_file(file(mirror("unpacked"), packed=True), folder / "other")


def test_a_file_packed_anew_is_right_only_where_the_data_count(mirror, folder, monkeypatch):
    monkeypatch.setitem(ANSWERS, "anew", send(gzip.compress(CONTENT, 1)))
    assert gzip.decompress(fetch_file(file(mirror("anew")), folder).read_bytes()) == CONTENT
    with pytest.raises(UnreachableError, match="the archive's SHA-256 is "):
        fetch_file(file(mirror("anew"), packed=True), folder / "other")


def test_mirrors_are_asked_in_turn_until_one_gives_the_file(mirror, folder):
    name = "train-labels-idx1-ubyte.gz"
    fetch_file(file(mirror("missing"), mirror("other"), mirror("right"), mirror("busy")), folder)
    assert mirror.asked == [f"missing/{name}", f"other/{name}", f"right/{name}"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_mirror_of_ones_own_is_asked_first(mirror, folder, monkeypatch, slash):
    monkeypatch.setenv("DRILLDOWN_MIRROR", mirror("right").rstrip("/") + slash)
    fetch_file(file(mirror("busy")), folder)
    assert [path.split("/")[0] for path in mirror.asked] == ["right"]


@pytest.mark.parametrize(
    "own", ["/no/scheme", "http://[::1", "ftp://x", f"http://{'a' * 70}.invalid", "http://a b/", NOWHERE]
)
def test_a_mirror_of_ones_own_that_is_none_does_not_stand_in_the_way(mirror, folder, monkeypatch, own):
    monkeypatch.setenv("DRILLDOWN_MIRROR", own)
    assert fetch_file(file(mirror("right")), folder).is_file()


def test_progress_grows_from_something_to_the_whole(mirror, folder):
    told: list[tuple[str, int, int | None]] = []
    fetch_file(file(mirror("right")), folder, progress=lambda *what: told.append(what))
    received = [bytes_so_far for _, bytes_so_far, _ in told]
    assert {name for name, _, _ in told} == {"train-labels-idx1-ubyte"}
    assert {total for _, _, total in told} == {len(PACKED)}
    assert len(received) > 1
    assert received == sorted(set(received))
    assert received[0] > 0
    assert received[-1] == len(PACKED)


def test_progress_knows_no_total_where_the_server_says_none(mirror, folder):
    told: list[tuple[str, int, int | None]] = []
    fetch_file(file(mirror("chunked")), folder, progress=lambda *what: told.append(what))
    assert {total for _, _, total in told} == {None}
    assert told[-1][1] == len(PACKED)


def test_a_file_that_was_there_is_replaced(mirror, folder):
    folder.mkdir(parents=True)
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(b"old")
    assert fetch_file(file(mirror("right")), folder).read_bytes() == PACKED


def test_several_at_once_do_not_disturb_each_other(mirror, folder):
    threads = [threading.Thread(target=fetch_file, args=(file(mirror("right")), folder)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for path in folder.iterdir()] == [PACKED]


# ---- what does not


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
def test_a_wrong_answer_is_told_and_leaves_nothing_behind(mirror, folder, answer, reason):
    (said,) = attempts(folder, mirror(answer))
    assert said.startswith(f"{mirror(answer)}train-labels-idx1-ubyte.gz: {reason}")
    assert "\n" not in said


def test_a_mirror_that_no_one_runs_is_no_connection(folder):
    assert attempts(folder, NOWHERE) == [f"{NOWHERE}train-labels-idx1-ubyte.gz: no connection"]


def test_a_mirror_that_never_answers_is_given_up(mirror, folder):
    (said,) = attempts(folder, mirror("silent"), patience=0.3)
    assert said.endswith(": no answer in time")


def test_a_mirror_that_falls_silent_is_given_up(mirror, folder):
    (said,) = attempts(folder, mirror("halfway"), patience=0.3)
    assert said.endswith(": no answer in time")


def test_a_mirror_that_drips_is_given_up_as_too_slow(mirror, folder):
    (said,) = attempts(folder, mirror("dripping"), patience=0.5)
    assert "too slow: " in said


def test_the_mirror_after_a_slow_one_is_asked(mirror, folder):
    fetch_file(file(mirror("silent"), mirror("dripping"), mirror("right")), folder, patience=0.5)
    assert [path.split("/")[0] for path in mirror.asked] == ["silent", "dripping", "right"]


def test_a_stream_without_end_is_cut(mirror, folder, monkeypatch):
    monkeypatch.setattr(download, "LARGEST_ARCHIVE", 1_000_000)
    (said,) = attempts(folder, mirror("endless"))
    assert said.endswith(": sends more than 1,000,000 bytes")


def test_every_attempt_is_told_in_order(mirror, folder):
    said = attempts(folder, mirror("busy"), NOWHERE, mirror("missing"))
    assert [line.rpartition(": ")[2] for line in said] == ["status 503", "no connection", "status 404"]


def test_a_failure_leaves_the_file_that_was_there_as_it_was(mirror, folder):
    folder.mkdir(parents=True)
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(b"old")
    for answer in ("other", "cut", "html"):
        with pytest.raises(UnreachableError):
            fetch_file(file(mirror(answer)), folder)
    assert [path.read_bytes() for path in folder.iterdir()] == [b"old"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interruption_goes_through_and_leaves_nothing_behind(mirror, folder, interruption):
    def progress(_: str, received: int, __: int | None) -> None:
        assert list(folder.iterdir()) != []  # the temporary file
        if received > 100_000:
            raise interruption

    with pytest.raises(interruption):
        fetch_file(file(mirror("right"), mirror("right")), folder, progress=progress)
    assert list(folder.iterdir()) == []
    assert len(mirror.asked) == 1


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_fetched(mirror, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DrilldownError) as caught:
        fetch_file(file(mirror("right")), tmp_path / "file" / "below")
    assert str(caught.value).startswith(f"{tmp_path / 'file' / 'below'}: the dataset cannot be stored here (")
    assert "XDG_CACHE_HOME" in str(caught.value)
    assert mirror.asked == []


def test_a_name_that_is_taken_by_a_folder_is_told(mirror, folder):
    (folder / "train-labels-idx1-ubyte.gz").mkdir(parents=True)
    with pytest.raises(DrilldownError, match="the dataset cannot be stored here"):
        fetch_file(file(mirror("right")), folder)
    assert [path.is_dir() for path in folder.iterdir()] == [True]


def test_a_disk_that_is_full_at_the_last_bytes_is_told_and_left_as_it_was(mirror, folder):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(PACKED) - 10, hard))
    try:
        with pytest.raises(DrilldownError, match="the dataset cannot be stored here"):
            fetch_file(file(mirror("right")), folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(folder.iterdir()) == []


# ---- from a name to a dataset


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has no data yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache" / "drilldown"
    return cache_folder()


def serve(
    monkeypatch: pytest.MonkeyPatch, mirror: Mirror, name: str, contents: dict[str, bytes], *, packed: bool
) -> str:
    """Puts four files on the server and their checksums into the catalogue; gives the address."""

    def answer(server: Mirror, handler: BaseHTTPRequestHandler) -> None:
        send(gzip.compress(contents[handler.path.split("/")[2].removesuffix(".gz")], mtime=0))(server, handler)

    monkeypatch.setitem(ANSWERS, "served", answer)
    files = {
        stem: PublishedFile(
            stem=stem,
            mirrors=(mirror("served"),),
            sha256=hashlib.sha256(gzip.compress(content, mtime=0) if packed else content).hexdigest(),
            packed=packed,
        )
        for stem, content in contents.items()
    }
    monkeypatch.setitem(CATALOGUE, name, files)
    return mirror("served")


def small_dataset() -> dict[str, bytes]:
    """Images of noise, ten classes."""
    pixels = np.random.default_rng(1).bytes(20 * 28 * 28)
    images = struct.pack(">HBBIII", 0, 8, 3, 20, 28, 28) + pixels
    labels = struct.pack(">HBBI", 0, 8, 1, 20) + bytes(range(10)) * 2
    return {stem: images if "images" in stem else labels for stem in STEMS}


@pytest.mark.parametrize(("name", "packed"), [("mnist", False), ("kmnist", True)])
def test_a_dataset_is_fetched_once_and_then_found(mirror, empty_cache, monkeypatch, name, packed):
    serve(monkeypatch, mirror, name, small_dataset(), packed=packed)
    names: list[str] = []
    first = load_dataset(name, progress=lambda stem, *_: names.append(stem))
    assert (len(first.train), first.classes, first.identity) == (20, 10, name)
    assert list(dict.fromkeys(names)) == list(STEMS)
    assert sorted(path.name for path in (empty_cache / name).iterdir()) == sorted(f"{stem}.gz" for stem in STEMS)
    assert mirror.asked == [f"served/{stem}.gz" for stem in STEMS]
    again = load_dataset(name)
    assert len(mirror.asked) == len(STEMS)
    assert again.train.images.equal(first.train.images)


def test_a_fetched_file_that_was_changed_since_is_refused(mirror, empty_cache, monkeypatch):
    contents = small_dataset()
    serve(monkeypatch, mirror, "kmnist", contents, packed=True)
    load_dataset("kmnist")
    # The same data, packed differently: of these archives it is not the data whose checksum is published.
    path = empty_cache / "kmnist" / f"{STEMS[3]}.gz"
    path.write_bytes(gzip.compress(contents[STEMS[3]], 1, mtime=5))
    with pytest.raises(
        DrilldownError, match=r"the archive's SHA-256 is .*; expected the published kmnist; delete the file"
    ):
        load_dataset("kmnist")


def test_what_is_fetched_lies_in_the_cache_and_not_in_a_folder_that_was_only_looked_at(
    mirror, empty_cache, tmp_path, monkeypatch
):
    serve(monkeypatch, mirror, "mnist", small_dataset(), packed=False)
    (tmp_path / "given").mkdir()
    load_dataset("mnist", tmp_path / "given")
    assert list((tmp_path / "given").iterdir()) == []
    assert len(list((empty_cache / "mnist").iterdir())) == 4


@pytest.fixture(scope="module")
def mnist_root() -> Path:
    """The folder of MNIST's files, where this machine has it."""
    root = Path(os.environ.get("DRILLDOWN_DATA") or "nowhere") / "mnist"
    if not all((root / f"{stem}.gz").is_file() for stem in STEMS):
        pytest.skip("DRILLDOWN_DATA does not say where MNIST lies")
    return root


def test_mnist_itself_comes_from_a_mirror_of_ones_own(mirror, empty_cache, monkeypatch, mnist_root):
    monkeypatch.setitem(
        ANSWERS,
        "mnist",
        lambda server, handler: send((mnist_root / Path(handler.path).name).read_bytes())(server, handler),
    )
    monkeypatch.setenv("DRILLDOWN_MIRROR", mirror("mnist"))
    dataset = load_dataset("mnist")
    assert (len(dataset.train), len(dataset.test), dataset.mean) == (60_000, 10_000, 0.1307)
    assert mirror.asked == [f"mnist/{stem}.gz" for stem in STEMS]
    assert len(list((empty_cache / "mnist").iterdir())) == 4


def test_without_a_network_the_message_says_where_was_looked_and_what_helps(empty_cache, tmp_path, monkeypatch):
    offline = {
        stem: replace(known, mirrors=(NOWHERE, f"{NOWHERE}second/")) for stem, known in CATALOGUE["mnist"].items()
    }
    monkeypatch.setitem(CATALOGUE, "mnist", offline)
    monkeypatch.setenv("DRILLDOWN_DATA", str(tmp_path / "environment"))
    with pytest.raises(DrilldownError) as caught:
        load_dataset("mnist", tmp_path / "given")
    said = str(caught.value)
    assert said.startswith("mnist is not on this machine and could not be fetched.")
    places = [tmp_path / "given", tmp_path / "environment", empty_cache]
    for place in places:
        assert f"{place / 'mnist'}\n" in said
        assert f"{place / 'MNIST' / 'raw'}\n" in said
    assert said.index(str(places[0])) < said.index(str(places[1])) < said.index(str(places[2]))
    for address in (NOWHERE, f"{NOWHERE}second/"):
        assert f"{address}train-images-idx3-ubyte.gz: no connection" in said
    for help_ in ("connect to the network", "--data", "DRILLDOWN_DATA", "--set recipe.dataset=glyphs", *STEMS):
        assert help_ in said
    with contextlib.suppress(FileNotFoundError):
        assert list((empty_cache / "mnist").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_told(mirror, tmp_path, monkeypatch):
    serve(monkeypatch, mirror, "mnist", small_dataset(), packed=False)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DrilldownError, match="the dataset cannot be stored here"):
        load_dataset("mnist")


def test_the_catalogue_names_four_files_with_a_checksum_and_two_mirrors_each():
    for files in CATALOGUE.values():
        assert tuple(files) == STEMS
        assert len({known.sha256 for known in files.values()}) == 4
        for stem, known in files.items():
            assert known.stem == stem
            assert len(bytes.fromhex(known.sha256)) == 32
            assert len(set(known.mirrors)) >= 2
            assert all(address.endswith("/") for address in known.mirrors)
