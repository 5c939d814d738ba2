"""A search over the recipe of a user's own module: its folder holds a program, which runs only with trust."""

from __future__ import annotations

import shutil
from pathlib import Path

from support.cli import drilldown, world

MODULE = """\
from pathlib import Path
from torch import nn

Path({witness!r}).touch()


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
"""
SPACE = '[search]\ncandidates = 2\n[space]\n"recipe.batch_size" = { one_of = [32, 64] }\n'


def test_the_winner_has_the_module_beside_it_and_a_foreign_one_is_not_executed(tmp_path: Path) -> None:
    text = world(tmp_path, epochs=1).read_text()
    head, _, tail = text.partition("[network]")
    recipe = tail.partition("[recipe]")[2].replace("parameters = 1_000", "parameters = 10_000")
    (tmp_path / "mine.toml").write_text(
        f'{head}{SPACE}[network]\npython = "model.py:Net"\n[recipe]\nholdout = 60{recipe}'
    )
    witness = tmp_path / "witness"
    (tmp_path / "model.py").write_text(MODULE.format(witness=str(witness)))
    done = drilldown("search", "mine.toml", cwd=tmp_path, XDG_DATA_HOME=str(tmp_path / "here"))
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").glob("*/mine-search-*")
    assert (folder / "model.py").read_text() == (tmp_path / "model.py").read_text()

    received = tmp_path / "received" / folder.name
    shutil.copytree(folder, received)
    (received / "report.html").unlink()
    witness.unlink()
    elsewhere = str(tmp_path / "elsewhere")
    written = drilldown("report", str(received), cwd=tmp_path, XDG_DATA_HOME=elsewhere)
    assert written.returncode == 0, written.stderr
    assert (received / "report.html").exists()
    assert not witness.exists(), "a report needs no network"
    run = ("run", str(received / "winner.toml"), "--runs", str(tmp_path / "others"))
    refused = drilldown(*run, cwd=tmp_path, XDG_DATA_HOME=elsewhere)
    assert refused.returncode == 2, refused.stderr
    assert "with --trust" in refused.stderr
    assert not witness.exists()
    trusted = drilldown(*run, "--trust", cwd=tmp_path, XDG_DATA_HOME=elsewhere)
    assert trusted.returncode == 0, trusted.stderr
    assert witness.exists()
