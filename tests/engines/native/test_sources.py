"""The C++ sources: every header compiles alone, includes what it uses, and stays in its namespace."""

from __future__ import annotations

import re
import subprocess

import pytest

from drilldown.engines.native import library

HEADERS = sorted(library.SOURCES.glob("*.hpp"))
FILES = sorted(library.SOURCES.glob("*.[ch]pp"))

HOMES = {
    "algorithm": ("all_of", "fill", "max", "min", "upper_bound"),
    "array": ("array",),
    "atomic": ("atomic", "memory_order_"),
    "chrono": ("chrono",),
    "cmath": ("exp", "fabs", "isfinite", "log", "nearbyint", "pow", "round", "sqrt"),
    "cstdio": ("printf", "snprintf"),
    "cstring": ("memcmp", "memcpy", "memset"),
    "exception": ("current_exception", "exception", "exception_ptr", "rethrow_exception"),
    "iterator": ("size",),
    "memory": ("make_unique", "unique_ptr"),
    "mutex": ("lock_guard", "mutex"),
    "new": ("align_val_t", "bad_alloc"),
    "random": ("mt19937", "mt19937_64"),
    "stdexcept": ("invalid_argument", "runtime_error"),
    "system_error": ("errc", "make_error_code", "system_error"),
    "thread": ("thread",),
    "type_traits": ("false_type", "integral_constant", "is_same_v", "true_type"),
    "utility": ("exchange", "forward", "integer_sequence", "make_integer_sequence", "move", "pair"),
    "vector": ("vector",),
}
"""The standard header of each name in `std` that the sources use."""


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header.name)
def test_a_header_compiles_alone(header):
    command = [*library._compiler(), "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror"]
    done = subprocess.run(
        [*command, "-x", "c++", "-include", str(header), "-"], input="", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("source", FILES, ids=lambda source: source.name)
def test_a_source_includes_the_standard_headers_that_it_uses(source):
    text = re.sub(r"//.*", "", source.read_text("utf-8"))
    home = {name: header for header, names in HOMES.items() for name in names}
    used = {re.sub("^memory_order_.*", "memory_order_", name) for name in re.findall(r"\bstd::(\w+)", text)}
    assert used <= home.keys(), "add the new names to HOMES"
    needed = {home[name] for name in used}
    if re.search(r"\bu?int(8|16|32|64)_t\b", text):
        needed.add("cstdint")
    if re.search(r"\bsize_t\b", text):
        needed.add("cstddef")
    assert needed == set(re.findall(r"#include <(\w+)>", text))


@pytest.mark.parametrize("source", FILES, ids=lambda source: source.name)
def test_a_source_puts_no_name_into_the_global_namespace(source):
    text = source.read_text("utf-8")
    if source.name == "driver.cpp":
        assert "using namespace drilldown;\n\nnamespace {\n" in text
    else:
        assert re.search(r"\nnamespace drilldown \{\n.*\n\}  // namespace drilldown\n\Z", text, re.DOTALL)
        outside = re.sub(r"\nnamespace drilldown \{\n.*", "", text, flags=re.DOTALL)
        assert [line for line in outside.splitlines() if line and not line.startswith(("//", "#"))] == []
