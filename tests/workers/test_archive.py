"""Archives: the files of a run arrive as they were sent, and nothing else is ever written."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown import load
from drilldown.errors import DrilldownError
from drilldown.experiment.experiment import Experiment
from drilldown.workers import archive
from drilldown.workers.archive import MANIFEST, ORDER, ArchiveError, pack_run, read_archive, unpack_run
from support.cli import world

BLOCK = 512
"""The bytes of a header in a tar archive, and of the steps in which files are stored."""
MODULE = "import torch\n\n\nclass Net(torch.nn.Module):\n    def __init__(self, **_):\n        super().__init__()\n"
CONTENTS = {"experiment.toml": b"title = 'A'\n", "epochs.jsonl": b"{}\n" * 300, "summary.json": b"{}"}

Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return load(world(tmp_path_factory.mktemp("lab")))


@pytest.fixture(scope="module")
def own_module(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """An experiment with the user's own network, `net.py`."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "net.py").write_text(MODULE)
    file = folder / "own.toml"
    file.write_text('title = "Own"\n[network]\npython = "net.py:Net"\n[recipe]\ndataset = "glyphs"\n')
    return load(file)


def plain(name: str, content: bytes = b"") -> Member:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    return entry, content


def special(name: str, kind: bytes, target: str = "") -> Member:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry, b""


def manifest(contents: dict[str, bytes]) -> Member:
    """The archive's list of checksums, made without the code under test."""
    return plain(
        MANIFEST, json.dumps({name: hashlib.sha256(body).hexdigest() for name, body in contents.items()}).encode()
    )


def tar(*members: Member, format: int = tarfile.USTAR_FORMAT, mode: str = "w") -> bytes:  # noqa: A002 - tarfile's word
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode, format=format) as opened:  # type: ignore[call-overload]
        for entry, content in members:
            opened.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def good() -> list[Member]:
    return [manifest(CONTENTS), *(plain(name, body) for name, body in CONTENTS.items())]


def refuse(packed: bytes, experiment: Experiment, folder: Path) -> str:
    """The message of an archive that is refused; nothing was written, and nothing was done before writing."""
    before = sorted(folder.parent.rglob("*"))

    def never() -> None:
        pytest.fail("the old run was removed")

    with pytest.raises(ArchiveError) as caught:
        unpack_run(packed, folder, experiment, before=never)
    assert sorted(folder.parent.rglob("*")) == before
    (problem,) = caught.value.problems
    return str(problem)


@settings(deadline=None, max_examples=60)
@given(files=st.dictionaries(st.sampled_from(ORDER), st.binary(max_size=1500)))
def test_files_arrive_as_they_were_sent(files: dict[str, bytes], experiment: Experiment) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        source.mkdir()
        for name, content in files.items():
            (source / name).write_bytes(content)
        for name in ("model.py", "report.html", ".lock", ".0123456789abcdef.partial"):
            (source / name).write_bytes(b"stays")
        packed = pack_run(source, experiment)
        unpack_run(packed, target, experiment)
        assert {file.name: file.read_bytes() for file in target.iterdir()} == files
        assert read_archive(packed, experiment) == files


def test_the_users_module_arrives_too(own_module: Experiment, experiment: Experiment, tmp_path: Path) -> None:
    packed = tar(manifest({"net.py": b"x = 1\n"}), plain("net.py", b"x = 1\n"))
    unpack_run(packed, tmp_path / "target", own_module)
    assert (tmp_path / "target" / "net.py").read_bytes() == b"x = 1\n"
    assert 'found the file "net.py"' in refuse(packed, experiment, tmp_path / "other")


def test_an_archive_with_files_of_a_run_is_accepted(experiment: Experiment) -> None:
    """The tests below change this archive in one point each."""
    assert read_archive(tar(*good()), experiment) == CONTENTS


@pytest.mark.parametrize(
    "name", ["../summary.json", "/tmp/summary.json", "./summary.json", "sub/summary.json", "", "report.html", ".lock",
             "other.py", "SUMMARY.JSON", "summary.json\n", "C:\\summary.json"],
)  # fmt: skip
def test_a_name_that_no_run_has_is_refused(name: str, experiment: Experiment, tmp_path: Path) -> None:
    packed = tar(manifest({name: b"x"}), plain(name, b"x"))
    assert "expected each file of a run once, and no other" in refuse(packed, experiment, tmp_path / "run")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_links_devices_and_folders_are_refused(kind: bytes, experiment: Experiment, tmp_path: Path) -> None:
    for target in ("/etc/passwd", "experiment.toml"):
        packed = tar(*good()[:2], special("summary.json", kind, target))
        assert "is not a plain file; expected plain files only" in refuse(packed, experiment, tmp_path / "run")


def test_a_file_that_is_there_twice_is_refused(experiment: Experiment, tmp_path: Path) -> None:
    for twice in (plain("summary.json", CONTENTS["summary.json"]), manifest(CONTENTS)):
        assert "each file of a run once" in refuse(tar(*good(), twice), experiment, tmp_path / "run")


def test_a_wrong_checksum_is_refused(experiment: Experiment, tmp_path: Path) -> None:
    wrong = {**CONTENTS, "summary.json": b"{ }"}
    fewer = {name: body for name, body in CONTENTS.items() if name != "summary.json"}
    for listed in (wrong, fewer, {**CONTENTS, "log.txt": b""}):
        packed = tar(manifest(listed), *good()[1:])
        assert "differ from the archive's manifest" in refuse(packed, experiment, tmp_path / "run")


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"summary.json": 3}'])
def test_a_damaged_or_missing_manifest_is_refused(text: bytes, experiment: Experiment, tmp_path: Path) -> None:
    assert refuse(tar(plain(MANIFEST, text), *good()[1:]), experiment, tmp_path / "run")
    assert refuse(tar(*good()[1:]), experiment, tmp_path / "run")


def test_an_archive_that_is_cut_off_anywhere_is_refused(experiment: Experiment, tmp_path: Path) -> None:
    """An archive ends with empty blocks, which may be missing: no file is."""
    small = {"experiment.toml": b"title = 'A'\n", "summary.json": b"{}"}
    packed = tar(manifest(small), *(plain(name, body) for name, body in small.items()))
    end = len(packed.rstrip(b"\0"))
    for length in range(end):
        assert refuse(packed[:length], experiment, tmp_path / "run"), length
    assert read_archive(packed[:end] + bytes(-end % BLOCK), experiment) == small


def test_compressed_archives_are_refused_before_they_are_expanded(experiment: Experiment, tmp_path: Path) -> None:
    bomb = gzip.compress(tar(manifest({}), plain("log.txt", bytes(50_000_000))))
    assert len(bomb) < 100_000
    assert "cannot be read" in refuse(bomb, experiment, tmp_path / "run")
    for mode in ("w:bz2", "w:xz"):
        assert "cannot be read" in refuse(tar(*good(), mode=mode), experiment, tmp_path / "run")


def test_too_large_an_archive_is_refused(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tar(*good())
    monkeypatch.setattr(archive, "LARGEST_ARCHIVE", len(packed) - 1)
    assert refuse(packed, experiment, tmp_path / "run") == (
        f"run from a worker: an archive of {len(packed):,} bytes; expected at most {len(packed) - 1:,}"
    )
    monkeypatch.setattr(archive, "LARGEST_ARCHIVE", len(packed))
    assert read_archive(packed, experiment) == CONTENTS


def signed(header: bytes) -> bytes:
    """A header with the checksum that tar expects: the sum of its bytes, where the checksum itself counts as spaces."""
    blank = header[:148] + b" " * 8 + header[156:BLOCK]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def number(value: int, size: int) -> bytes:
    """A number in base 256, by which tar writes large and negative ones."""
    return (b"\xff" if value < 0 else b"\x80") + value.to_bytes(size - 1, "big", signed=True)


def sparse(name: str, size: int) -> bytes:
    """The header of an old GNU sparse file: it has `size` bytes of zeros, and none of them is in the archive."""
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT)[:BLOCK])
    header[386:398], header[398:410] = b"%011o\0" % size, b"%011o\0" % 0
    header[483:495] = b"%011o\0" % size
    return signed(bytes(header))


@pytest.mark.parametrize("size", [1, 8**10])
def test_sparse_files_are_refused_before_they_are_expanded(size: int, experiment: Experiment, tmp_path: Path) -> None:
    listed = tar(manifest({"log.txt": bytes(size if size < 10 else 0)})).rstrip(b"\0")
    packed = listed + bytes(-len(listed) % BLOCK) + sparse("log.txt", size) + bytes(2 * BLOCK)
    assert "is not a plain file" in refuse(packed, experiment, tmp_path / "run")
    entry, _ = plain("log.txt")
    entry.pax_headers = {"GNU.sparse.size": str(size), "GNU.sparse.numblocks": "0", "GNU.sparse.map": f"{size},0"}
    packed = tar(manifest({"log.txt": b""}), (entry, b""), format=tarfile.PAX_FORMAT)
    assert refuse(packed, experiment, tmp_path / "run")


@pytest.mark.parametrize("size", [-1, -BLOCK, -3 * BLOCK, 2**40, 2**63, 2**80])
def test_a_wrong_size_is_refused(size: int, experiment: Experiment, tmp_path: Path) -> None:
    members = good()
    header = members[-1][0].tobuf(tarfile.GNU_FORMAT)[:BLOCK]
    packed = tar(*members[:-1]).rstrip(b"\0")
    packed += bytes(-len(packed) % BLOCK) + signed(header[:124] + number(size, 12) + header[136:]) + b"{}"
    assert refuse(packed + bytes(3 * BLOCK), experiment, tmp_path / "run")


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_no_change_of_an_archive_gives_other_files(experiment: Experiment, data: st.DataObject) -> None:
    """Bytes are changed, and the header's checksum is made right again: the files are the same, or it is refused."""
    packed = bytearray(tar(*good()))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    block = data.draw(
        st.sampled_from([i for i in range(0, len(packed), BLOCK) if packed[i + 257 : i + 262] == b"ustar"])
    )
    packed[block : block + BLOCK] = signed(bytes(packed[block : block + BLOCK]))
    try:
        contents = read_archive(bytes(packed), experiment)
    except ArchiveError:
        return
    assert contents.items() <= CONTENTS.items()


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=3000))
def test_noise_is_refused(experiment: Experiment, noise: bytes) -> None:
    with pytest.raises(ArchiveError):
        read_archive(noise, experiment)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is that of POSIX")
def test_a_full_disk_is_one_message_and_the_run_does_not_count_as_finished(
    experiment: Experiment, tmp_path: Path
) -> None:
    """The system refuses files of more than 100 bytes, as a full disk would; the records have 900."""
    import resource

    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, allowed[1]))
    try:
        with pytest.raises(DrilldownError, match="there is no space left to save the run"):
            unpack_run(tar(*good()), tmp_path / "run", experiment)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["experiment.toml"]
    unpack_run(tar(*good()), tmp_path / "run", experiment)
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()} == CONTENTS


def test_the_file_that_makes_a_run_finished_is_written_last() -> None:
    assert ORDER[-1] == "summary.json"
