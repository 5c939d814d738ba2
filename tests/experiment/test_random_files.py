"""Random files and settings: each one is read, or refused with a message."""

from __future__ import annotations

import tomllib
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from drilldown.errors import DrilldownError
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.loading import read_experiment
from support.experiments import KNOWN, PLAIN, TEXT, VALID, document, toml


def only_drilldown_errors(path: Path, overrides: tuple[str, ...] = ()) -> None:
    """Reads a file; only a DrilldownError with messages of one line may be raised."""
    try:
        assert isinstance(read_experiment(path, overrides), Experiment)
    except DrilldownError as error:
        for problem in error.problems:
            assert str(problem).isprintable()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | TEXT.map(str.encode))
@example(b"\xef\xbb\xbf")
@example(b"title = 1" + b"0" * 5_000)
@example(b"x = [[[[[[[[[[")
def test_any_bytes_are_read_or_refused(scratch, content):
    (scratch / "bytes.toml").write_bytes(content)
    only_drilldown_errors(scratch / "bytes.toml")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_valid_file_with_changed_bytes_is_read_or_refused(scratch, data):
    content = bytearray(document(data.draw(VALID)).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.sampled_from(b"\"'[]{}=.,#\\\n 0-\x00\xff"))
    (scratch / "changed.toml").write_bytes(content)
    only_drilldown_errors(scratch / "changed.toml")


NAMES = st.sampled_from([name for names in KNOWN.values() for name in names])
ANY = st.recursive(
    st.just("mnist")
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | TEXT
    | st.sampled_from(
        ["sgd", "adam", "step", "cosine", "nearest", "glyphs", "./x", "gap", "conv 3x3 4", "m.py:N", "a.toml"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | TEXT, inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(NAMES | TEXT, ANY, max_size=5),
    st.dictionaries(NAMES | TEXT, ANY, max_size=6),
    st.dictionaries(NAMES | TEXT, ANY, max_size=4),
)
def test_any_tables_and_values_are_read_or_refused(scratch, rest, recipe, network):
    text = document({"title": "A", "recipe": recipe, "network": network or {"layers": ["gap", "linear 10"]}} | rest)
    tomllib.loads(text)  # the syntax is correct; only the values are wrong
    (scratch / "tables.toml").write_text(text, encoding="utf-8", newline="")
    only_drilldown_errors(scratch / "tables.toml")


@settings(max_examples=200, deadline=None)
@given(st.lists(NAMES | TEXT, max_size=4).map(".".join), st.just("=") | TEXT, ANY.map(toml) | TEXT)
@example("recipe.optimizer.lr", "=", "[" * 3_000)
@example("recipe.dataset", "=", "\x00/")
def test_any_set_is_applied_or_refused(scratch, key, equals, value):
    (scratch / "plain.toml").write_text(PLAIN)
    only_drilldown_errors(scratch / "plain.toml", (key + equals + value,))
