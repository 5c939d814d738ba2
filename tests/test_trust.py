"""A program that comes with a run of another machine is executed only if the user says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from drilldown.errors import DrilldownError
from drilldown.network.user_module import build_user_network
from drilldown.trust import trust_files
from support.cli import drilldown, only_run, world
from support.modules import write_files

MODULE = """\
from pathlib import Path
from torch import nn

Path({witness!r}).touch()


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of a user's own module; the module leaves a witness each time it is executed."""
    folder = tmp_path_factory.mktemp("trust")
    world(folder, epochs=2)
    file = folder / "mine.toml"
    head, _, tail = (folder / "tiny.toml").read_text().partition("[network]")
    file.write_text(f'{head}[network]\npython = "model.py:Net"\n[recipe]{tail.partition("[recipe]")[2]}')
    (folder / "model.py").write_text(MODULE.format(witness=str(folder / "witness")))
    done = drilldown("run", "mine.toml", cwd=folder, XDG_DATA_HOME=str(folder / "here"))
    assert done.returncode == 0, done.stderr
    return folder


def commands(run: str) -> list[tuple[str, ...]]:
    return [
        ("report", run),
        ("summary", f"{run}/experiment.toml"),
        ("predict", run, "digit.png"),
        ("compare", run, "under-8k"),
        ("resume", run),
        ("run", f"{run}/experiment.toml"),
        ("bench", f"{run}/experiment.toml"),
        ("new", "copy.toml", "--from", run),
    ]


@pytest.mark.parametrize("number", range(len(commands(""))), ids=[command[0] for command in commands("")])
def test_a_module_from_elsewhere_is_executed_only_with_trust(number: int, lab: Path, tmp_path: Path) -> None:
    run = tmp_path / "received" / "seed-0"
    shutil.copytree(only_run(lab), run)
    command = commands(str(run))[number]
    if command[0] == "resume":
        (run / "summary.json").unlink()
    witness = lab / "witness"
    witness.unlink(missing_ok=True)
    elsewhere = str(tmp_path / "another machine")
    picture = Image.new("L", (28, 28), 255)
    picture.paste(0, (12, 5, 15, 24))  # a one
    picture.save(tmp_path / "digit.png")
    done = drilldown(*command, cwd=tmp_path, XDG_DATA_HOME=elsewhere)
    assert not witness.exists()
    if command[0] == "new":  # copies the files, and executes nothing
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 2
    assert f"{run / 'model.py'}: this program belongs to a run that was not trained on this machine" in done.stderr
    assert "repeat the command with --trust" in done.stderr
    assert done.stderr.count("drilldown: ") == 1
    if command[0] == "bench":  # takes a minute
        return
    trusted = drilldown(*command, "--trust", cwd=tmp_path, XDG_DATA_HOME=elsewhere)
    assert witness.exists()
    assert "--trust" not in trusted.stderr


def test_runs_of_this_machine_need_no_trust_wherever_they_lie(lab: Path, tmp_path: Path) -> None:
    run = tmp_path / "moved" / "seed-0"
    shutil.copytree(only_run(lab), run)
    done = drilldown("report", str(run), cwd=tmp_path, XDG_DATA_HOME=str(lab / "here"))
    assert done.returncode == 0, done.stderr


def test_a_changed_module_is_refused_even_with_trust(lab: Path, tmp_path: Path) -> None:
    run = tmp_path / "changed" / "seed-0"
    shutil.copytree(only_run(lab), run)
    (run / "model.py").write_text((run / "model.py").read_text() + "# another line\n")
    (lab / "witness").unlink(missing_ok=True)
    done = drilldown("report", str(run), "--trust", cwd=tmp_path, XDG_DATA_HOME=str(lab / "here"))
    assert done.returncode == 2
    assert "model.py: cannot be read (it has changed since the run wrote it)" in done.stderr
    assert not (lab / "witness").exists()


def test_an_experiment_of_ones_own_needs_no_trust(lab: Path, tmp_path: Path) -> None:
    done = drilldown("summary", "mine.toml", cwd=lab, XDG_DATA_HOME=str(tmp_path / "another machine"))
    assert done.returncode == 0, done.stderr


def test_lists_of_runs_execute_nothing(lab: Path, tmp_path: Path) -> None:
    (lab / "witness").unlink(missing_ok=True)
    for command in (("runs",), ("verdict", str(only_run(lab)))):
        drilldown(*command, cwd=lab, XDG_DATA_HOME=str(tmp_path / "another machine"))
    assert not (lab / "witness").exists()


def test_a_folder_without_the_files_of_a_training_needs_trust_too(lab: Path, tmp_path: Path) -> None:
    """Whoever sends a folder can leave out, or replace by links, whatever else a run folder has."""
    run = tmp_path / "received" / "seed-0"
    run.mkdir(parents=True)
    for name in ("experiment.toml", "model.py"):
        shutil.copy(only_run(lab) / name, run / name)
    (run / "summary.json").symlink_to("nowhere")
    witness = lab / "witness"
    witness.unlink(missing_ok=True)
    for command in commands(str(run)):
        done = drilldown(*command, cwd=tmp_path, XDG_DATA_HOME=str(tmp_path / "another machine"))
        assert not witness.exists(), command
        assert "internal error" not in done.stderr


def test_each_file_of_a_module_needs_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trusted `model.py` may import a file that somebody has changed."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    witness = tmp_path / "witness"
    run = write_files(
        tmp_path / "run",
        **{"model": f"from parts.head import Net\n# {tmp_path}\n", "parts/head": MODULE.format(witness=str(witness))},
    )
    (run / "experiment.toml").touch()
    trust_files([(run / "model.py").read_bytes()])
    with pytest.raises(DrilldownError, match=r"parts/head\.py: this program belongs to a run.*; read the file; if you"):
        build_user_network("model.py:Net", run, (1, 28, 28), 10)
    assert not witness.exists()
    (run / "model.py").write_text(f"from parts.head import Net\n# another {tmp_path}\n")
    with pytest.raises(DrilldownError, match=r"model\.py: this .*; read model\.py, parts/head\.py; if you trust"):
        build_user_network("model.py:Net", run, (1, 28, 28), 10)
    trust_files([(run / "model.py").read_bytes(), (run / "parts" / "head.py").read_bytes()])
    build_user_network("model.py:Net", run, (1, 28, 28), 10)
    assert witness.exists()
