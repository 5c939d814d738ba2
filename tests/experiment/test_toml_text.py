"""An experiment as a TOML document, written and read reread."""

from __future__ import annotations

import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.experiment.loading import read_experiment
from drilldown.experiment.toml_text import dump_toml
from support.datasets import write_two_images
from support.experiments import TEXT, VALID, document


@settings(max_examples=150, deadline=None)
@given(VALID)
def test_a_written_experiment_reads_back_unchanged(scratch, values):
    (scratch / "a.toml").write_text(document(values), encoding="utf-8", newline="")
    experiment = read_experiment(scratch / "a.toml")
    (scratch / "b.toml").write_text(experiment.to_toml(), encoding="utf-8", newline="")
    reread = read_experiment(scratch / "b.toml")
    assert reread.model_dump() == experiment.model_dump()
    assert reread.settings() == experiment.settings()
    assert reread.fingerprint == experiment.fingerprint
    assert reread.title == values["title"]
    assert reread.to_toml() == experiment.to_toml()


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(TEXT, st.dictionaries(TEXT, st.integers() | st.dictionaries(TEXT, TEXT, max_size=2), max_size=3))
)
def test_any_key_is_written_so_that_it_reads_back(document):
    assert tomllib.loads(dump_toml(document)) == document


def test_a_written_experiment_depends_on_no_other_file(write, tmp_path):
    write_two_images(tmp_path / "data", side=5)
    text = 'title = "A"\n[network]\nlayers = ["conv 3x3 2", "gap"]\n[recipe]\ndataset = "./data"\n'
    write("parent.toml", text)
    child = read_experiment(write("child.toml", 'title = "B"\nextends = "parent.toml"\n'), ["recipe.epochs=3"])
    reread = read_experiment(write("elsewhere/experiment.toml", child.to_toml()))
    assert reread.settings() == child.settings()
    assert reread.fingerprint == child.fingerprint
    assert "extends" not in tomllib.loads(child.to_toml())


def test_a_long_table_of_blocks_has_a_line_for_each_of_them():
    blocks = [
        "conv 3x3 8, relu",
        {"skip": ["relu"]},
        {"repeat": 2, "shared": True, "layers": [{"skip": ["conv 3x3 8 pad=1, bn, relu"] * 4}, "relu"]},
    ]
    text = dump_toml({"network": {"layers": blocks}})
    assert tomllib.loads(text)["network"]["layers"] == blocks
    assert text.splitlines()[2:7] == [
        "layers = [",
        '  "conv 3x3 8, relu",',
        '  { skip = ["relu"] },',
        "  { repeat = 2, shared = true, layers = [",
        "    { skip = [",
    ]
    assert max(map(len, text.splitlines())) < 100
