"""`drilldown new` writes an experiment that trains, and overwrites nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drilldown import load
from drilldown.data.transforms import Augmentation
from drilldown.errors import DrilldownError
from drilldown.experiment.holdout import Holdout
from drilldown.network.blocks import layers_in
from support.cli import drilldown, plain_run
from support.study import command


def test_new_writes_an_experiment_that_trains(tmp_path: Path) -> None:
    made = drilldown("new", "mine/own.toml", "--from", "eva5-s5/03", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    summary = drilldown("summary", "mine/own.toml", "--json", cwd=tmp_path)
    assert json.loads(summary.stdout)["parameters"] == 4894
    assert made.stdout.endswith("\ndrilldown run mine/own.toml\n")
    trained = drilldown(
        "run", "mine/own.toml", "--set", "recipe.dataset=glyphs", "--set", "recipe.epochs=1", cwd=tmp_path
    )
    assert trained.returncode == 0, trained.stderr
    again = drilldown("new", "mine/own.toml", cwd=tmp_path)
    assert again.returncode == 2
    assert "already exists" in again.stderr


def test_new_starts_with_a_small_first_network_which_is_not_the_solution(tmp_path: Path) -> None:
    out, _ = command("new", "climb/01-first.toml", cwd=tmp_path)
    assert out.endswith("\ndrilldown run climb/01-first.toml\n")
    first = load(tmp_path / "climb" / "01-first.toml")
    assert first.model_summary.parameters < 5_000
    assert first.budget == load("eva5-s5").budget
    assert not {"bn", "dropout"} & {layer.word for layer in layers_in(first.network.layers or ())}
    assert first.recipe.augment == Augmentation()


def test_the_next_step_extends_its_parent_and_holds_only_changes(tmp_path: Path) -> None:
    command("new", "climb/01-first.toml", cwd=tmp_path)
    command("new", "climb/02-next.toml", "--extends", "climb/01", cwd=tmp_path)
    command("new", "else/03-far.toml", "--extends", "climb/02-next.toml", cwd=tmp_path)
    command("new", "else/04-shipped.toml", "--extends", "eva5-s5/05", cwd=tmp_path)
    first = load(tmp_path / "climb" / "01-first.toml")
    for name, parent in (("climb/02-next", "climb/01-first"), ("else/03-far", "climb/02-next")):
        step = load(tmp_path / f"{name}.toml")
        assert step.fingerprint == first.fingerprint
        assert step.parent is not None
        assert step.parent.name == parent
        assert step.budget == first.budget
    assert load(tmp_path / "else" / "04-shipped.toml").fingerprint == load("eva5-s5/05").fingerprint
    text = (tmp_path / "climb" / "02-next.toml").read_text("utf-8")
    assert [line for line in text.splitlines() if line and not line.startswith("#")] == [
        'title = "Next"',
        'extends = "01-first"',
        'target = "The weakness of climb/01-first that this step should remove, and by how much."',
    ]
    for arguments in (("climb/02-next.toml", "--extends", "climb/01"), ("a.toml", "--extends", "x", "--from", "y")):
        with pytest.raises(DrilldownError):
            command("new", *arguments, cwd=tmp_path)


@pytest.mark.parametrize("source", ["under-8k", "eva5-s5/06", "era-s7/05", "session6/03"])
def test_a_new_experiment_trains_like_its_source_and_reports_no_accuracy(source: str, tmp_path: Path) -> None:
    command("new", "08-my_own idea.toml", "--from", source, cwd=tmp_path)
    file = tmp_path / "08-my_own idea.toml"
    made, original = load(file), load(source)
    assert made.fingerprint == original.fingerprint
    assert made.title == "My own idea"
    assert (made.reported, made.remark, made.reconstructed) == (None, "", False)
    text = file.read_text("utf-8")
    assert "drilldown run '08-my_own idea.toml'" in text
    assert max(map(len, (line for line in text.splitlines() if line.startswith("#")))) <= 100
    for part in ("conv KxK OUT", "onecycle (warmup, finish, div, final_div)", "# ema = 0.999", "# holdout = 10_000"):
        assert part in text
    file.write_text(text.replace("# ema = ", "ema = ").replace("# holdout = ", "holdout = "), "utf-8")
    assert (load(file).recipe.ema, load(file).recipe.holdout) == (0.999, Holdout(images=10_000))


def test_new_copies_a_run_as_it_was_trained(lab: Path, tmp_path: Path) -> None:
    run = plain_run(lab)
    out, _ = command("new", str(tmp_path / "again.toml"), "--from", str(run), cwd=lab)
    assert "which trains like" in out
    assert load(tmp_path / "again.toml").fingerprint == load(run).fingerprint == load(lab / "tiny.toml").fingerprint


def test_new_copies_the_code_of_a_network_and_overwrites_none(tmp_path: Path) -> None:
    code = "from torch import nn\n\ndef Net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
    (tmp_path / "model.py").write_text(code)
    (tmp_path / "own.toml").write_text('title = "Own"\n[network]\npython = "model.py:Net"\n')
    command("new", "there/own.toml", "--from", "own.toml", cwd=tmp_path)
    assert (tmp_path / "there" / "model.py").read_bytes() == (tmp_path / "model.py").read_bytes()
    command("new", "there/other.toml", "--from", "own.toml", cwd=tmp_path)  # a copy of the same code is no conflict
    (tmp_path / "there" / "model.py").write_text("mine")
    (tmp_path / "model.py").rename(tmp_path / "elsewhere.py")
    with pytest.raises(DrilldownError, match=r"model\.py: network\.python: no such file"):
        command("new", "here/own.toml", "--from", "own.toml", cwd=tmp_path)
    (tmp_path / "elsewhere.py").rename(tmp_path / "model.py")
    with pytest.raises(DrilldownError, match=r"model\.py: already exists"):
        command("new", "there/third.toml", "--from", "own.toml", cwd=tmp_path)
    assert (tmp_path / "there" / "model.py").read_text() == "mine"
    assert not (tmp_path / "there" / "third.toml").exists()


def test_the_ending_of_a_new_file_may_be_left_out(tmp_path: Path) -> None:
    out, _ = command("new", "mine/01-first", cwd=tmp_path)
    assert out.startswith("wrote mine/01-first.toml")
    command("new", "mine/02-next", "--extends", "mine/01-first", cwd=tmp_path)
    assert {file.name for file in (tmp_path / "mine").iterdir()} == {"01-first.toml", "02-next.toml"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine.txt", 'mine.txt: the name ends in ".txt"; expected a .toml file; such as mine.toml'),
        ("", "the name has no ending; expected a .toml file; such as mine.toml"),
        ("folder.toml", "folder.toml: already exists; choose another name"),
        ("folder", "folder.toml: already exists; choose another name"),
        ("file/mine.toml", "file/mine.toml: cannot be written"),
    ],
)
def test_new_explains_a_wrong_name(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(DrilldownError) as refused:
        command("new", name, cwd=tmp_path)
    assert message in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.toml"]
