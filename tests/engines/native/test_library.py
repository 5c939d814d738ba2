"""The library is compiled once, cached and shared; a damaged one is not loaded."""

from __future__ import annotations

import gc
import os
import re
import stat
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drilldown.engines.native import library
from drilldown.engines.native.library import (
    COMPILERS,
    FLAGS,
    EngineUnavailableError,
    _compiler,
    _key,
    _load,
    load_library,
)
from support.cli import drilldown, environment
from support.native import (
    reason_for_pytorch,
    script,
    until_an_epoch_is_done,
)


def test_without_a_compiler_auto_trains_with_pytorch_and_gives_the_reason(folder: Path) -> None:
    done = drilldown("run", "tiny.toml", cwd=folder, CXX="/nowhere/c++")
    assert done.returncode == 0, done.stderr
    assert "no C++ compiler was found (/nowhere/c++)" in reason_for_pytorch(done.stderr + done.stdout)


def test_without_a_compiler_the_message_names_the_compilers_that_were_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(EngineUnavailableError, match=re.escape(", ".join(COMPILERS))):
        _load(None)


def test_the_library_keeps_no_reference_to_the_callback() -> None:
    class Receiver:
        def notice(self, text: str) -> None: ...

    receiver = Receiver()
    load_library(receiver.notice)
    reference = weakref.ref(receiver)
    del receiver
    gc.collect()
    assert reference() is None
    assert load_library() is load_library(lambda _: None)


def test_a_failing_compiler_is_quoted_and_auto_trains_with_pytorch(folder: Path) -> None:
    broken = script(folder / "c++", "echo 'In file included from' >&2", "echo 'x.hpp:1: error: alas' >&2", "exit 1")
    line = reason_for_pytorch(until_an_epoch_is_done(folder, CXX=str(broken)))
    assert str(broken) in line
    assert "x.hpp:1: error: alas" in line


def notices() -> list[str]:
    """Loads the library, which must work, and returns the notices."""
    lines: list[str] = []
    assert _load(lines.append).drilldown_lanes() == 1
    return lines


def libraries(cache: Path) -> list[Path]:
    """Returns all files in the cache except the locks."""
    return sorted(file for file in cache.iterdir() if file.suffix != ".lock")


def test_the_library_is_compiled_once_and_then_read_from_the_cache(cache: Path) -> None:
    assert len(notices()) == 1
    (compiled,) = libraries(cache)
    written = compiled.stat().st_mtime_ns
    assert notices() == []
    assert libraries(cache) == [compiled]
    assert compiled.stat().st_mtime_ns == written


def other_process(small_sources: Path, **env: str) -> subprocess.Popen[str]:
    """Starts a process that prints `ready`, waits for a line, loads the library and prints the result of a call."""
    code = "import library; print('ready', flush=True); input(); print(library.load_library().drilldown_lanes())"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=small_sources, env=environment(**env), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_two_processes_at_the_same_time_compile_once(small_sources: Path, cache: Path, tmp_path: Path) -> None:
    (compiler, *_), log = _compiler(), tmp_path / "log"
    slow = script(
        tmp_path / "slow-c++",
        f'case "$*" in *--version*) ;; *) echo compiling >> "{log}"; sleep 1 ;; esac', f'exec "{compiler}" "$@"',
    )  # fmt: skip
    racers = [other_process(small_sources, CXX=str(slow)) for _ in range(2)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    assert [racer.communicate(timeout=60) for racer in racers] == [("1\n", "")] * 2
    assert log.read_text().splitlines() == ["compiling"]
    assert len(libraries(cache)) == 1


@pytest.fixture
def read_only(cache: Path) -> Iterator[Callable[[], None]]:
    """Returns a function that makes the cache read-only; this does not apply to root."""
    yield lambda: cache.chmod(0o555)
    cache.chmod(0o755)


def test_a_read_only_cache_is_used(cache: Path, read_only: Callable[[], None]) -> None:
    notices()
    for lock in cache.glob("*.lock"):
        lock.unlink()
    read_only()
    assert notices() == []
    assert list(cache.glob("*.lock")) == []


@pytest.mark.parametrize("taken", ["native", "drilldown", "cache"])
def test_without_a_cache_folder_the_library_is_still_compiled(
    taken: str, cache: Path, compilations: Callable[[], int]
) -> None:
    blocked = next(folder for folder in (cache, *cache.parents) if folder.name == taken)
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file where a folder should be")
    (line,) = notices()
    assert str(cache) in line
    assert compilations() == 1
    assert blocked.is_file()


@pytest.fixture
def compilations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Makes the compiler write a line each time; returns a function that counts the lines."""
    (compiler, *_), log = _compiler(), tmp_path / "log"
    counted = script(
        tmp_path / "counted-c++",
        f'case "$*" in *--version*) ;; *) echo compiling >> "{log}" ;; esac', f'exec "{compiler}" "$@"',
    )  # fmt: skip
    monkeypatch.setenv("CXX", str(counted))
    return lambda: len(log.read_text().splitlines()) if log.exists() else 0


def foreign_folder(cache: Path) -> None:
    os.chown(cache, STRANGER, STRANGER)


def open_folder(cache: Path) -> None:
    cache.chmod(0o777)


def open_parent(cache: Path) -> None:
    cache.parent.chmod(0o777)


def foreign_parent(cache: Path) -> None:
    os.chown(cache.parent, STRANGER, STRANGER)


STRANGER = 65534
"""The user `nobody`."""


@pytest.mark.parametrize("spoil", [foreign_folder, open_folder, foreign_parent, open_parent])
def test_a_cache_that_others_can_change_costs_one_line_and_one_compilation(
    spoil: Callable[[Path], None], cache: Path, compilations: Callable[[], int]
) -> None:
    notices()
    (kept,) = libraries(cache)
    try:
        spoil(cache)
    except PermissionError:
        pytest.skip("only root can give files away")
    (line,) = notices()
    assert "for this process alone" in line
    assert str(cache if spoil in (foreign_folder, open_folder) else cache.parent) in line
    assert compilations() == 2
    assert libraries(cache) == [kept]


def test_a_shared_folder_with_the_sticky_bit_can_contain_the_cache(cache: Path) -> None:
    notices()
    cache.parent.chmod(0o1777)
    assert notices() == []


def foreign_file(file: Path) -> None:
    os.chown(file, STRANGER, STRANGER)


def open_file(file: Path) -> None:
    file.chmod(0o666)


def planted_link(file: Path) -> None:
    file.symlink_to(file.rename(file.with_name("elsewhere")))


@pytest.mark.parametrize("spoil", [foreign_file, open_file, planted_link])
def test_a_library_that_others_can_change_is_compiled_again(
    spoil: Callable[[Path], None], cache: Path, compilations: Callable[[], int]
) -> None:
    notices()
    (kept,) = libraries(cache)
    try:
        spoil(kept)
    except PermissionError:
        pytest.skip("only root can give files away")
    assert len(notices()) == 1
    assert compilations() == 2
    assert notices() == []  # the new library has taken the place of the other one


def test_the_cache_is_private(cache: Path) -> None:
    old = os.umask(0)
    try:
        notices()
    finally:
        os.umask(old)
    (kept,) = libraries(cache)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert not kept.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def test_a_library_with_one_changed_byte_is_compiled_again(cache: Path, compilations: Callable[[], int]) -> None:
    notices()
    (kept,) = libraries(cache)
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.unlink()  # this process has loaded the file
    kept.write_bytes(content)
    assert len(notices()) == 1
    assert compilations() == 2


def test_a_full_cache_costs_no_second_compilation(
    cache: Path, compilations: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not cache.exists()
    monkeypatch.setattr(library, "store_library", lambda *_: None)  # what it returns where nothing can be written
    for times in (1, 2):
        assert len(notices()) == 1
        assert compilations() == times


def test_leftovers_of_a_killed_process_are_removed(cache: Path) -> None:
    cache.mkdir(parents=True, mode=0o700)
    leftover = cache / f".{'0' * 16}.partial"
    leftover.write_bytes(b"half")
    notices()
    assert not leftover.exists()


@pytest.mark.parametrize("command", ["g++ '", '"', "''", "   "])
def test_a_compiler_variable_that_is_no_command_is_explained(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", command)
    if not command.strip():
        assert _compiler()  # as if it were not set
        return
    with pytest.raises(EngineUnavailableError, match=r"CXX|no C\+\+ compiler"):
        _load(None)


@pytest.mark.parametrize("share", [0, 0.01, 0.5])
def test_a_truncated_library_in_the_cache_is_not_loaded(share: float, small_sources: Path, cache: Path) -> None:
    """The state after a power cut. Loading a truncated library can kill the process, so another process tries it."""
    notices()
    (compiled,) = libraries(cache)
    part = compiled.read_bytes()[: int(share * compiled.stat().st_size)]
    compiled.unlink()  # this process has loaded the file, and would die if it became shorter
    compiled.write_bytes(part)
    tried = other_process(small_sources)
    answer, errors = tried.communicate("go\n", timeout=60)
    assert (tried.returncode, answer) == (0, "ready\n1\n"), errors


def test_a_compiler_whose_libraries_do_not_load_is_unavailable(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a compiler for another processor, or where no folder allows execution."""
    foreign = script(
        tmp_path / "foreign-c++", 'while [ $# -gt 0 ]; do [ "$1" = -o ] && echo foreign > "$2"; shift; done', "exit 0"
    )
    monkeypatch.setenv("CXX", str(foreign))
    with pytest.raises(EngineUnavailableError):
        _load(None)
    assert not list(cache.glob("*.partial"))


def test_a_compilation_that_fails_leaves_nothing_in_the_cache(
    cache: Path, small_sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "SOURCES", small_sources)
    (small_sources / "native.cpp").write_text("#error not like this\n")
    with pytest.raises(EngineUnavailableError, match="not like this"):
        _load(None)
    assert libraries(cache) == []


def test_the_cache_key_changes_with_sources_flags_processor_and_compiler(
    small_sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = script(tmp_path / "c++", "echo version 1")
    keys = [_key([str(compiler)])]

    def changed() -> bool:
        keys.append(_key([str(compiler)]))
        return keys[-1] not in keys[:-1]

    assert not changed()
    (small_sources / "notes.txt").write_text("no source")
    assert not changed()
    (small_sources / "native.cpp").write_text("int changed;\n")
    assert changed()
    (small_sources / "more.hpp").write_text("")
    assert changed()
    (small_sources / "more.hpp").rename(small_sources / "renamed.hpp")
    assert changed()
    monkeypatch.setattr(library, "FLAGS", (*FLAGS, "-g"))
    assert changed()
    monkeypatch.setattr(library, "_processor", lambda: "another processor")
    assert changed()
    script(compiler, "echo version 2")
    assert changed()
    compiler = compiler.rename(tmp_path / "g++")
    assert changed()
