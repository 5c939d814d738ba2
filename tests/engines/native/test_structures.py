"""The structures that C++ and Python both define have the same size, or the library is not used."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from drilldown.engines.native import library
from drilldown.engines.native.library import EngineUnavailableError
from support.native import (
    SIZES,
    change,
    compile_library,
    copy_sources,
    write_stub,
)

FIRST_FIELDS = {
    "Images": ("images.hpp", "  int32_t channels, height, width;\n"),
    "LayerSpec": ("network.hpp", "  int32_t kind;\n"),
    "NativeRecipe": ("optimizer.hpp", "  int32_t batch, optimizer;\n"),
    "NativeState": ("optimizer.hpp", "  float *weights,"),
    "EpochInput": ("images.hpp", "  const float* inverse = nullptr;"),
    "Failure": ("native.cpp", "  char reason[200];\n"),
}
"""The file that defines each structure, and its first fields; a part of EpochInput is in images.hpp."""


def longer(structure: type[ctypes.Structure]) -> type[ctypes.Structure]:
    """The structure with one more field."""
    return type(structure.__name__, (structure,), {"_fields_": (("more", ctypes.c_char),)})


@pytest.fixture(scope="module")
def with_longer_structures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library in which each structure has one more field: one compilation for all of them."""
    folder = tmp_path_factory.mktemp("longer")
    sources = copy_sources(folder)
    for file, first in FIRST_FIELDS.values():
        change(sources / file, first, f"  char more = 0;\n{first}")
    return compile_library(sources, folder / "longer.so", "-O0")


@pytest.mark.slow
@pytest.mark.parametrize("name", FIRST_FIELDS)
def test_a_field_that_only_cpp_has_is_detected(name, with_longer_structures, monkeypatch):
    """Python has the same field in all other structures."""
    known = tuple(each if each.__name__ == name else longer(each) for each in library.STRUCTURES)
    monkeypatch.setattr(library, "STRUCTURES", known)
    with pytest.raises(EngineUnavailableError, match=f"^{name} has "):
        library._declared(ctypes.CDLL(str(with_longer_structures)))


@pytest.mark.parametrize("structure", library.STRUCTURES, ids=lambda structure: structure.__name__)
def test_a_field_that_only_python_has_is_detected(structure, monkeypatch):
    handle = library.load_library()._handle
    changed = tuple(longer(each) if each is structure else each for each in library.STRUCTURES)
    monkeypatch.setattr(library, "STRUCTURES", changed)
    with pytest.raises(EngineUnavailableError, match=f"^{structure.__name__} has "):
        library._declared(ctypes.CDLL("loaded", handle=handle))


BAD = (*SIZES[:2], 12, *SIZES[3:])


MISFITS = [
    (BAD, "", "^NativeRecipe has 12 bytes in the compiled library, and 64"),
    (SIZES, "drilldown_peak", "drilldown_peak"),
]


@pytest.mark.parametrize(("sizes", "without", "reason"), MISFITS, ids=["size", "function"])
def test_a_cached_library_that_does_not_fit_is_compiled_again(sizes, without, reason, cache, tmp_path, monkeypatch):
    misfit = write_stub(tmp_path / "misfit", sizes, without)
    monkeypatch.setattr(library, "SOURCES", write_stub(tmp_path / "fitting"))
    cache.mkdir(parents=True)
    partial = compile_library(misfit, cache / "misfit", "-O0")
    file = partial.rename(cache / f"{library._key(library._compiler())}-{partial.stat().st_size}.so")
    with pytest.raises(EngineUnavailableError, match=reason):
        library._declared(ctypes.CDLL(str(file)))
    notices: list[str] = []
    assert library._load(notices.append).drilldown_peak(1)
    assert len(notices) == 1
    assert library._load(notices.append).drilldown_peak(1)
    assert len(notices) == 1
    assert len(list(cache.glob("*.so"))) == 1


@pytest.mark.parametrize(("sizes", "without", "reason"), MISFITS, ids=["size", "function"])
def test_a_new_library_that_does_not_fit_is_refused_and_not_kept(sizes, without, reason, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(library, "SOURCES", write_stub(tmp_path / "misfit", sizes, without))
    with pytest.raises(EngineUnavailableError, match=reason):
        library._load(None)
    assert [file for file in cache.iterdir() if file.suffix != ".lock"] == []
