"""A crew's file: a secret that is checked before anything listens or connects."""

from __future__ import annotations

import json
import os
import socket
import stat
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.errors import DrilldownError
from drilldown.workers import cluster
from drilldown.workers import crew as crews
from drilldown.workers.crew import Crew, abilities, make_crew, read_crew, versions_text, write_crew
from support.cli import drilldown
from support.crews import free_port, running_crew
from support.study import command

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes of files")


def message(file: Path) -> str:
    with pytest.raises(DrilldownError) as caught:
        read_crew(file)
    (problem,) = caught.value.problems
    return str(problem).replace(str(file), "crew.json")


def refused(*arguments: str, cwd: Path) -> str:
    """The message of a command that is refused at once."""
    with pytest.raises(DrilldownError) as caught:
        command(*arguments, cwd=cwd)
    return str(caught.value)


def refused_by_scheduler(*arguments: str, cwd: Path) -> str:
    """The message of a command that fails when it listens; Dask leaves a socket open in its process."""
    done = drilldown(*arguments, cwd=cwd)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    return line.removeprefix("drilldown: ")


@pytest.fixture(scope="module")
def made() -> Crew:
    return make_crew("127.0.0.1", 4321)


@pytest.fixture
def file(tmp_path: Path, made: Crew) -> Path:
    write_crew(made, tmp_path / "crew.json")
    return tmp_path / "crew.json"


def test_a_written_crew_reads_back(file: Path, made: Crew) -> None:
    assert read_crew(file) == made
    assert (made.host, made.port) == ("127.0.0.1", 4321)
    assert timedelta(days=364) < made.expires - datetime.now(UTC) < timedelta(days=366)
    assert make_crew("127.0.0.1", 4321).key != made.key


@posix
def test_only_the_owner_may_read_the_file(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for mode in (0o640, 0o604, 0o602, 0o610, 0o644):
        file.chmod(mode)
        assert message(file) == (
            f"crew.json: other users can read or change this secret (mode {mode:03o}); expected mode 600; "
            f"chmod 600 {file}"
        ).replace(str(file), "crew.json")
    file.chmod(0o400)
    read_crew(file)


def test_an_existing_file_is_never_replaced(file: Path, made: Crew) -> None:
    with pytest.raises(DrilldownError, match="cannot be written"):
        write_crew(make_crew("127.0.0.1", 1), file)
    assert read_crew(file) == made


@posix
def test_a_link_is_not_followed_when_the_file_is_written(tmp_path: Path, made: Crew) -> None:
    (tmp_path / "crew.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DrilldownError, match="cannot be written"):
        write_crew(made, tmp_path / "crew.json")
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_no_file_is_one_message(tmp_path: Path) -> None:
    assert message(tmp_path / "none.json").endswith("make one with drilldown crew start --host ADDRESS")
    assert "cannot be read" in message(tmp_path)


def test_a_file_that_is_cut_off_anywhere_is_refused(file: Path) -> None:
    whole = file.read_bytes()
    for length in range(0, len(whole) - 2, 7):
        file.write_bytes(whole[:length])
        assert message(file).startswith("crew.json: not a crew's file ("), length


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_damaged_file_is_one_message_or_the_same_key(
    tmp_path_factory: pytest.TempPathFactory, made: Crew, data: st.DataObject
) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged.json"
    file.unlink(missing_ok=True)
    write_crew(made, file)
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    try:
        found = read_crew(file)
    except DrilldownError:
        return
    assert found.address.startswith("tls://")
    assert found.security.require_encryption


def test_parts_that_do_not_fit_together_are_refused(file: Path, made: Crew) -> None:
    other = make_crew("127.0.0.1", 4321)
    for wrong in (
        replace(made, key=other.key),
        replace(made, certificate="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        replace(made, address="tcp://127.0.0.1:4321"),
        replace(made, address="tls://127.0.0.1"),
        replace(made, address="tls://127.0.0.1:99999"),
        replace(made, address=""),
    ):
        file.write_text(json.dumps(asdict(wrong)))
        assert message(file).startswith("crew.json: not a crew's file (")
    numbers = {"address": 1, "certificate": 2, "key": 3}
    documents: tuple[object, ...] = (None, [], 3, {}, numbers, {**asdict(made), "address": 5})
    for document in documents:
        file.write_text(json.dumps(document))
        assert message(file).startswith("crew.json: not a crew's file (")


def test_an_expired_certificate_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, "VALID_DAYS", -0.5)
    old = make_crew("127.0.0.1", 4321)
    assert old.expires < datetime.now(UTC)
    write_crew(old, tmp_path / "crew.json")
    assert message(tmp_path / "crew.json") == (
        f"crew.json: the crew's certificate ended on {old.expires:%Y-%m-%d}; "
        "delete the file, start the crew again, and copy the new file to all machines"
    )


@pytest.mark.parametrize(
    ("host", "address"),
    [("node-1.example.org", "tls://node-1.example.org:8786"), ("10.0.0.7", "tls://10.0.0.7:8786"),
     ("fd93::1", "tls://[fd93::1]:8786"), ("::ffff:10.0.0.7", "tls://[::ffff:10.0.0.7]:8786")],
)  # fmt: skip
def test_a_host_is_a_name_or_an_address(host: str, address: str) -> None:
    crew = make_crew(host)
    assert (crew.address, crew.host, crew.port) == (address, host, 8786)


@pytest.mark.parametrize(
    "host", ["", " ", "a b", "http://node", "node:80", "node/x", "a\nb", "user@node", "-x", "[::1]"]
)
def test_a_host_that_is_none_is_one_message(host: str, tmp_path: Path) -> None:
    assert f'--host: "{host}" is not a name or an address' in refused("crew", "start", "--host", host, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_new_crew_needs_a_host(tmp_path: Path) -> None:
    assert refused("crew", "start", cwd=tmp_path).startswith("--host: a new crew needs the address of this machine")
    assert list(tmp_path.iterdir()) == []


def test_another_host_or_port_than_the_file_has_is_refused(file: Path) -> None:
    assert refused("crew", "start", "--host", "10.0.0.7", cwd=file.parent) == (
        "crew.json: the crew's host is 127.0.0.1; expected 10.0.0.7; name another --file to start another crew"
    )
    assert refused("crew", "start", "--port", "5555", cwd=file.parent).startswith(
        "crew.json: the crew's port is 4321; expected 5555"
    )


def test_a_taken_port_is_one_message_and_leaves_no_file(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        arguments = ("crew", "start", "--host", "127.0.0.1", "--port", str(port))
        assert refused_by_scheduler(*arguments, cwd=tmp_path) == (
            f"crew.json: cannot listen on tls://127.0.0.1:{port} (Address already in use); "
            "expected an address of this machine and a free port"
        )
        assert list(tmp_path.iterdir()) == []
        write_crew(make_crew("127.0.0.1", port), tmp_path / "crew.json")  # one that others may have copied
        assert "cannot listen on" in refused_by_scheduler("crew", "start", cwd=tmp_path)
        assert (tmp_path / "crew.json").exists()


def test_an_address_of_another_machine_is_one_message(tmp_path: Path) -> None:
    """The address belongs to a network for documentation: no machine has it."""
    arguments = ("crew", "start", "--host", "192.0.2.1")
    assert "cannot listen on tls://192.0.2.1:" in refused_by_scheduler(*arguments, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_crew_that_runs_cannot_be_started_twice(tmp_path: Path) -> None:
    with running_crew(tmp_path) as crew:
        assert "cannot listen on" in refused_by_scheduler("crew", "start", cwd=tmp_path)
        assert crew.scheduler.poll() is None
        assert crew.file.exists()


def test_a_crew_that_does_not_run_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1.0)
    port = free_port()
    write_crew(make_crew("127.0.0.1", port), tmp_path / "crew.json")
    assert refused("crew", "crew.json", cwd=tmp_path) == (
        f"crew.json: no crew answers at tls://127.0.0.1:{port}; "
        "start it there with drilldown crew start --file crew.json"
    )


def test_abilities_are_versions_and_engines() -> None:
    assert list(abilities(native=False, cuda=False)) == [versions_text()]
    assert list(abilities(native=True, cuda=True)) == [versions_text(), "native", "cuda"]
