"""Compiles the C++ part with the compiler of the system on first use, and loads it through ctypes.

A library that is compiled where it runs uses all instructions of the processor (AVX-512, AVX2, NEON). And the package
stays pure Python: without a compiler it installs as well, and trains with PyTorch.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drilldown.drives import lock_file
from drilldown.engines.native.cache import cache_folder, store_library, trusted_libraries, why_unusable
from drilldown.errors import DrilldownError, Problem
from drilldown.files import remove_leftovers

SOURCES = Path(__file__).parent
FLAGS = (
    "-std=c++20", "-O3", "-mcpu=native" if platform.machine() in ("aarch64", "arm64") else "-march=native",
    # Multiply and add in one instruction, without error numbers and traps. No flag changes NaN or denormal numbers.
    "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math",
    "-fvisibility=hidden", "-fPIC", "-shared", "-pthread",
)  # fmt: skip
COMPILERS = ("c++", "g++", "clang++")
PATIENCE_SECONDS = 600
MOST_CHANNELS = 4
"""The channels of an image; see images.hpp."""


class EngineUnavailableError(Exception):
    """The native engine cannot train here. The message is the reason, a clause."""


class NativeError(DrilldownError):
    """The C++ part failed while it worked: it got too little memory or too few threads."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            Problem(
                found=f"the native engine stopped: {reason}",
                suggestion="give it more memory or fewer threads, or use --engine torch",
            )
        )
        self.reason = reason


class Images(ctypes.Structure):
    """See images.hpp."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("channels", "height", "width")),
        ("scale", ctypes.c_float * MOST_CHANNELS),
        ("shift", ctypes.c_float * MOST_CHANNELS),
    )


class LayerSpec(ctypes.Structure):
    """A layer; see network.hpp."""

    _fields_ = (
        *(
            (name, ctypes.c_int32)
            for name in (
                "kind",
                "out",
                "kernel",
                "stride",
                "pad",
                "dilation",
                "groups",
                "bias",
                "scaled",
                "input",
                "other",
                "shares",
                "bits",
                "one_step",
            )
        ),
        ("number", ctypes.c_double),
    )


class NativeRecipe(ctypes.Structure):
    """See trainer.hpp."""

    _fields_ = (
        ("batch", ctypes.c_int32),
        ("optimizer", ctypes.c_int32),
        *(
            (name, ctypes.c_double)
            for name in ("momentum", "squares", "epsilon", "weight_decay", "l1", "smoothing", "average")
        ),
    )


class NativeState(ctypes.Structure):
    """See trainer.hpp."""

    _fields_ = tuple(
        (name, ctypes.c_void_p)
        for name in ("weights", "gradients", "momentum", "squares", "average", "running", "average_running")
    )


class EpochInput(ctypes.Structure):
    """See trainer.hpp."""

    _fields_ = (
        ("count", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("pixels", "rows", "labels", "targets", "inverse", "light")),
        ("nearest", ctypes.c_int64),
        ("rates", ctypes.c_void_p),
        ("noise", ctypes.c_uint64),
        ("steps_before", ctypes.c_int64),
    )


class Failure(ctypes.Structure):
    """See native.cpp."""

    _fields_ = (("reason", ctypes.c_char * 200),)


STRUCTURES = (Images, LayerSpec, NativeRecipe, NativeState, EpochInput, Failure)
"""In the order of `drilldown_size` in native.cpp."""

_loaded: list[ctypes.CDLL] = []
"""Empty until the library is loaded."""


def load_library(on_notice: Callable[[str], None] | None = None) -> ctypes.CDLL:
    """The compiled library. Calls `on_notice` with a line if it must compile, which takes a while.

    *Raises* EngineUnavailableError if there is no compiler, or if it fails.
    """
    if not _loaded:  # functools.cache would keep `on_notice` alive
        _loaded.append(_load(on_notice))
    return _loaded[0]


@functools.cache
def library_build() -> str:
    """A hash of sources, flags, compiler and processor: the bits of results depend on them. Sixteen hex digits."""
    return _key(_compiler())


def _load(on_notice: Callable[[str], None] | None) -> ctypes.CDLL:
    compiler = _compiler()
    key, folder = _key(compiler), cache_folder()
    unusable = why_unusable(folder)
    if unusable is None:
        found = _cached(folder, key)
        if found:
            return found
        if not os.access(folder, os.W_OK):
            unusable = f"{folder} cannot be written"
    if unusable is not None:
        _notify(on_notice, f"compiling the native engine (some 15 seconds, for this process alone: {unusable})")
        return _compile(compiler, key, None)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # without the lock, two processes may compile at once
            stack.enter_context(lock_file(folder / f"{key}.lock", PATIENCE_SECONDS))
            remove_leftovers(folder)
            found = _cached(folder, key)  # another process may have compiled it in the meantime
            if found:
                return found
        _notify(on_notice, "compiling the native engine (once, some 15 seconds)")
        return _compile(compiler, key, folder)


def _notify(on_notice: Callable[[str], None] | None, text: str) -> None:
    if on_notice:
        on_notice(text)


def _cached(folder: Path, key: str) -> ctypes.CDLL | None:
    """The library, if the cache contains it complete. Deletes one that does not load or does not fit this file."""
    for file in trusted_libraries(folder, key):
        try:
            return _declared(ctypes.CDLL(str(file)))
        except (OSError, EngineUnavailableError):
            with contextlib.suppress(OSError):
                file.unlink()
    return None


def _compiler() -> list[str]:
    """The words of the command that compiles; `$CXX` may be "ccache g++"."""
    asked = os.environ.get("CXX", "").strip()
    for name in (asked,) if asked else COMPILERS:
        try:
            program, *options = shlex.split(name)
        except ValueError as error:  # a quotation mark without its partner
            raise EngineUnavailableError(f"$CXX cannot be read as a command: {asked} ({error})") from None
        found = shutil.which(program)
        if found:
            return [found, *options]
    raise EngineUnavailableError(f"no C++ compiler was found ({asked or ', '.join(COMPILERS)})")


def _key(compiler: list[str]) -> str:
    """A hash, as sixteen hex digits, of everything that the compiled library depends on."""
    digest = hashlib.sha256()
    for source in sorted(SOURCES.glob("*.[ch]pp")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    version = _run([*compiler, "--version"]).stdout
    digest.update("\0".join([*FLAGS, *compiler, version, _processor()]).encode())
    return digest.hexdigest()[:16]


def _processor() -> str:
    """The meaning of `native` on this machine, because machines may share a home folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line for line in lines if line.lower().startswith(("flags", "features")))
    except (OSError, StopIteration):
        return f"{platform.machine()} {platform.processor()}"


def _compile(compiler: list[str], key: str, folder: Path | None) -> ctypes.CDLL:
    """Compiles, loads and checks the library in a temporary folder, then keeps it in `folder`.

    So the cache never contains a broken library, and a cache that cannot be written costs no second compilation.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="drilldown-", ignore_cleanup_errors=True) as name:
            file = Path(name) / f"{key}.so"
            done = _run([*compiler, *FLAGS, str(SOURCES / "native.cpp"), "-o", str(file)])
            if done.returncode:
                lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no reason given"]
                raise EngineUnavailableError(f"{shlex.join(compiler)} does not compile it ({lines[0]})")
            try:
                library = _declared(ctypes.CDLL(str(file)))
            except OSError:  # the temporary folder may forbid execution where the cache allows it
                stored = store_library(folder, key, file.read_bytes()) if folder else None
                if stored is None:
                    raise
                return _declared(ctypes.CDLL(str(stored)))
            if folder:
                store_library(folder, key, file.read_bytes())
            return library
    except OSError as error:
        raise EngineUnavailableError(f"what {shlex.join(compiler)} compiles does not load ({error})") from None


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PATIENCE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineUnavailableError(f"{command[0]} does not run ({error})") from None


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """Declares the functions of the library. *Raises* EngineUnavailableError if the library does not fit this file."""
    pointer, integer, size, real = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_double
    structures = [ctypes.POINTER(kind) for kind in (Images, NativeRecipe, NativeState)]
    signatures: dict[str, tuple[object, list[object]]] = {
        "bytes": (size, [pointer]),
        "pieces": (integer, [pointer]),
        "specs": (None, [pointer, pointer]),
        "time": (None, [pointer, pointer]),
        "delete": (None, [pointer]),
        "lanes": (integer, []),
        "size": (size, [integer]),
    }
    fallible: dict[str, tuple[object, list[object]]] = {
        "new": (pointer, [ctypes.POINTER(LayerSpec), integer, *structures, integer]),
        "allocate": (integer, [pointer]),
        "train": (integer, [pointer, ctypes.POINTER(EpochInput), integer, real, pointer, pointer]),
        "evaluate": (integer, [pointer, pointer, size, pointer, pointer, pointer]),
        "peak": (real, [integer]),
    }
    try:
        for name, (result, arguments) in signatures.items():
            function = getattr(library, f"drilldown_{name}")
            function.restype, function.argtypes = result, arguments
        for name, (result, arguments) in fallible.items():
            function = getattr(library, f"drilldown_{name}")
            function.restype, function.argtypes = result, [*arguments, ctypes.POINTER(Failure)]
            setattr(library, f"drilldown_{name}", _raising(function))
    except AttributeError as error:
        raise EngineUnavailableError(f"the compiled library lacks a function ({error})") from None
    for number, structure in enumerate(STRUCTURES):
        found, expected = library.drilldown_size(number), ctypes.sizeof(structure)
        if found != expected:
            raise EngineUnavailableError(
                f"{structure.__name__} has {found} bytes in the compiled library, and {expected} in library.py"
            )
    return library


def _raising(function: Callable[..., Any]) -> Callable[..., Any]:
    """Passes a Failure as the last argument. If the function returns 0, raises NativeError with the reason."""

    def call(*arguments: object) -> Any:
        failure = Failure()
        result = function(*arguments, ctypes.byref(failure))
        if not result:
            raise NativeError(failure.reason.decode(errors="replace"))
        return result

    return call
