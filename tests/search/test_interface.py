"""A search in Python: the same as the command, and an object that shows itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from drilldown import DrilldownError, Folders, find_network
from drilldown.search.running import search_folder
from support.cli import drilldown, world

HELD_OUT = "recipe.holdout=60"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    world(tmp_path, epochs=2, accuracy=2.0)
    return tmp_path


def test_the_function_and_the_command_do_the_same(lab: Path) -> None:
    found = find_network(lab / "tiny.toml", [HELD_OUT], candidates=3, folders=Folders(runs=lab / "python"))
    done = drilldown("search", "tiny.toml", "--set", HELD_OUT, "--candidates", "3", "--runs", "command", cwd=lab)
    assert done.returncode == 0, done.stderr
    runs = {
        kind: {path.relative_to(lab / kind) for path in (lab / kind).glob("*/*/seed-*")}
        for kind in ("python", "command")
    }
    assert runs["python"] == runs["command"]
    assert found.folder == search_folder(found.search, lab / "python")
    assert found.confirmed, "a bar of two percent is met"


def test_the_result_shows_itself(lab: Path) -> None:
    (lab / "tiny.toml").write_text((lab / "tiny.toml").read_text().replace('"Tiny"', '"<b>Tiny & co</b>"'))
    found = find_network(lab / "tiny.toml", [HELD_OUT], candidates=2, folders=Folders(runs=lab / "runs"))
    assert found.winner is not None
    assert f"{found.winner.model_summary.parameters:,} parameters" in str(found)
    assert "&lt;b&gt;Tiny &amp; co&lt;/b&gt;" in found._repr_html_()
    assert f"{found.front[0].parameters:,}" in found._repr_html_()


def test_a_search_without_validation_images_is_refused(lab: Path) -> None:
    with pytest.raises(DrilldownError, match="no validation images"):
        find_network(lab / "tiny.toml", folders=Folders(runs=lab / "runs"))
    assert not (lab / "runs").exists()
