"""`drilldown list`: the user's studies first, then those that are part of drilldown."""

from __future__ import annotations

from pathlib import Path

import pytest

from drilldown.experiment.studies import find_experiment_file
from support.study import command, write_study


def test_own_studies_come_first_with_the_names_that_commands_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (study / "bad.toml").write_text("[network\n")
    linked = study / "04-linked.toml"
    analysis = 'analysis = """\n[search](https://example.org) helps\n"""\n'
    linked.write_text(analysis + (study / "03-wider.toml").read_text())
    (study / "look.toml").write_text('title = "A search"\n  [search]\n[network]\nlayers = ["gap"]\n')
    out, _ = command("list", cwd=tmp_path)
    lines = out.splitlines()
    assert lines[0].startswith("climb  in ")
    assert lines[2].split() == ["climb/01-plain", "Plain"]
    assert "climb/bad" in out
    assert "cannot be read" in out
    assert "look" not in out
    assert "climb/04-linked" in out  # a link is no table
    assert "other" not in out
    assert any(line.startswith("under-8k/01-flagship") for line in lines)
    for place in (tmp_path, study):
        monkeypatch.chdir(place)
        assert find_experiment_file("climb/01-plain").resolve() == (study / "01-plain.toml").resolve()
        assert find_experiment_file("climb/02").resolve() == (study / "02-norm.toml").resolve()
    assert find_experiment_file("01-plain") == Path("01-plain.toml")
