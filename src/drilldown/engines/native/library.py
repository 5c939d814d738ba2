"""The C++ part: compiled on first use by the system's own compiler, loaded through ctypes.

Compiled where it runs, it uses all that the processor has (AVX-512, AVX2, NEON), and the package itself stays pure
Python: where there is no compiler, it installs and trains all the same, with PyTorch.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import filelock
import platformdirs

SOURCES = Path(__file__).parent
FLAGS = (
    "-std=c++20", "-O3", "-mcpu=native" if platform.machine() in ("aarch64", "arm64") else "-march=native",
    # Multiply and add in one instruction; no error numbers, no traps. Nothing that would touch NaN or denormals.
    "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math",
    "-fvisibility=hidden", "-fPIC", "-shared", "-pthread",
)  # fmt: skip
COMPILERS = ("c++", "g++", "clang++")
PATIENCE_SECONDS = 600


class EngineUnavailableError(Exception):
    """Why the native engine cannot be had here, in a phrase."""


class Images(ctypes.Structure):
    """See images.hpp."""

    _fields_ = (
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("scale", ctypes.c_float),
        ("shift", ctypes.c_float),
    )


class LayerSpec(ctypes.Structure):
    """A layer; see network.hpp."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("kind", "out", "kernel", "stride", "pad", "groups", "bias", "size")),
        ("probability", ctypes.c_double),
    )


class NativeRecipe(ctypes.Structure):
    """See trainer.hpp."""

    _fields_ = (
        ("batch", ctypes.c_int32),
        ("nesterov", ctypes.c_int32),
        *((name, ctypes.c_double) for name in ("momentum", "weight_decay", "smoothing", "average")),
    )


class NativeState(ctypes.Structure):
    """See trainer.hpp."""

    _fields_ = tuple(
        (name, ctypes.c_void_p)
        for name in ("weights", "gradients", "momentum", "average", "running", "average_running")
    )


class EpochInput(ctypes.Structure):
    """See trainer.hpp."""

    _fields_ = (
        ("count", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("pixels", "rows", "labels", "inverse", "light")),
        ("nearest", ctypes.c_int32),
        ("rates", ctypes.c_void_p),
        ("noise", ctypes.c_uint64),
        ("steps_before", ctypes.c_int64),
    )


_loaded: list[ctypes.CDLL] = []
"""The library, once it is loaded."""


def load_library(notice: Callable[[str], None] | None = None) -> ctypes.CDLL:
    """The compiled library; `notice` is told where that takes a while.

    *Raises* Unavailable where there is no compiler, or it fails.
    """
    if not _loaded:  # no cache by argument, which would keep whoever is to be told
        _loaded.append(_load(notice))
    return _loaded[0]


def _load(notice: Callable[[str], None] | None) -> ctypes.CDLL:
    compiler = _compiler()
    key = _key(compiler)
    try:
        folder = platformdirs.user_cache_path("drilldown") / "native"
        found = _cached(folder, key)
        if not found:
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder / f"{key}.lock", timeout=PATIENCE_SECONDS):
                found = _cached(folder, key) or _compile(compiler, folder, key, notice)  # another process may have
        return _declared(ctypes.CDLL(str(found)))
    except OSError:  # a cache that cannot be written to, or holds something else
        try:
            with tempfile.TemporaryDirectory(prefix="drilldown-", ignore_cleanup_errors=True) as name:
                return _declared(ctypes.CDLL(str(_compile(compiler, Path(name), key, notice))))
        except OSError as error:
            raise EngineUnavailableError(f"what {shlex.join(compiler)} compiles does not load ({error})") from None


def _cached(folder: Path, key: str) -> Path | None:
    """The library, if it is there whole. Its name says its size: one cut short kills the process that loads it."""
    for file in folder.glob(f"{key}-*.so"):
        if file.stem == f"{key}-{file.stat().st_size}":
            return file
    return None


def _compiler() -> list[str]:
    """The command to compile with, as words: `$CXX` may be "ccache g++"."""
    asked = os.environ.get("CXX", "").strip()
    for name in (asked,) if asked else COMPILERS:
        program, *options = shlex.split(name)
        found = shutil.which(program)
        if found:
            return [found, *options]
    raise EngineUnavailableError(f"no C++ compiler was found ({asked or ', '.join(COMPILERS)})")


def _key(compiler: list[str]) -> str:
    """Sixteen hex digits over all that the compiled library depends on."""
    digest = hashlib.sha256()
    for source in sorted(SOURCES.glob("*.[ch]pp")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    version = _run([*compiler, "--version"]).stdout
    digest.update("\0".join([*FLAGS, *compiler, version, _processor()]).encode())
    return digest.hexdigest()[:16]


def _processor() -> str:
    """What `native` means here: a home folder may be shared between machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line for line in lines if line.lower().startswith(("flags", "features")))
    except (OSError, StopIteration):
        return f"{platform.machine()} {platform.processor()}"


def _compile(compiler: list[str], folder: Path, key: str, notice: Callable[[str], None] | None) -> Path:
    """Compiles under another name and renames: the library is there whole or not at all."""
    if notice:
        notice("compiling the native engine (once, some 15 seconds)")
    partial = folder / f"{key}.{os.getpid()}.partial"
    try:
        done = _run([*compiler, *FLAGS, str(SOURCES / "native.cpp"), "-o", str(partial)])
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no reason given"]
            raise EngineUnavailableError(f"{shlex.join(compiler)} does not compile it ({lines[0]})")
        return partial.replace(folder / f"{key}-{partial.stat().st_size}.so")
    finally:
        partial.unlink(missing_ok=True)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PATIENCE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineUnavailableError(f"{command[0]} does not run ({error})") from None


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, integer, size = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
    structures = [ctypes.POINTER(kind) for kind in (Images, NativeRecipe, NativeState)]
    signatures: dict[str, tuple[object, list[object]]] = {
        "new": (pointer, [ctypes.POINTER(LayerSpec), integer, *structures, integer, ctypes.c_char_p, integer]),
        "bytes": (size, [pointer]),
        "allocate": (integer, [pointer]),
        "train": (integer, [pointer, ctypes.POINTER(EpochInput), integer, ctypes.c_double, pointer, pointer]),
        "evaluate": (None, [pointer, pointer, size, pointer, pointer, pointer]),
        "pieces": (integer, [pointer]),
        "specs": (None, [pointer, pointer]),
        "time": (None, [pointer, pointer]),
        "peak": (ctypes.c_double, [integer]),
        "delete": (None, [pointer]),
        "lanes": (integer, []),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"drilldown_{name}")
        function.restype, function.argtypes = result, arguments
    return library
