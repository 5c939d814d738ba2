"""The command line as a user meets it: what it prints where, and the exit codes of the contract."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from rich.console import Console
from support.study import command

from support.cli import drilldown, environment, world
from drilldown import load
from drilldown.cli.app import _with_options
from drilldown.data.glyphs import _template
from drilldown.data.pictures import read_picture
from drilldown.errors import DrilldownError
from drilldown.runs.run import Run
from drilldown.terminal.live import LiveDisplay


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run."""
    folder = tmp_path_factory.mktemp("lab")
    world(folder, epochs=3)
    done = drilldown("run", "tiny.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return folder


def test_results_go_to_standard_output_and_progress_to_standard_error(lab: Path) -> None:
    shown = drilldown("run", "tiny.toml", "--again", cwd=lab)
    assert "Budget met" in shown.stdout
    assert "report.md" in shown.stdout
    assert "epoch" in shown.stderr
    assert "Budget" not in shown.stderr


def test_lines_are_plain_where_there_is_no_terminal(lab: Path) -> None:
    shown = drilldown("run", "tiny.toml", "--again", cwd=lab)
    assert "\x1b" not in shown.stdout + shown.stderr
    assert "━" not in shown.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_terminals_of_any_encoding_are_written_to(encoding: str, lab: Path) -> None:
    shown = drilldown("run", "tiny.toml", cwd=lab, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert shown.returncode == 0, shown.stderr
    assert ("✓" in shown.stdout) == (encoding == "utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_sees_a_bar_and_no_line_is_wider_than_it(lab: Path) -> None:
    import pexpect

    child = pexpect.spawn(
        sys.executable, ["-m", "drilldown", "run", "tiny.toml", "--again"],
        cwd=lab, env={**environment(), "TERM": "xterm"}, dimensions=(24, 80), encoding="utf-8", timeout=60,
    )  # fmt: skip
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert "img/s" in child.before
    assert "left" in child.before


def test_no_color_is_respected(lab: Path) -> None:
    import pexpect

    child = pexpect.spawn(
        sys.executable, ["-m", "drilldown", "run", "tiny.toml"],
        cwd=lab, env={**environment(), "TERM": "xterm", "NO_COLOR": "1"}, dimensions=(24, 80), encoding="utf-8",
        timeout=60,
    )  # fmt: skip
    child.expect(pexpect.EOF)
    assert "\x1b[3" not in child.before.replace("\x1b[3m", "")


def test_verdict_exits_by_the_budget(lab: Path) -> None:
    assert drilldown("verdict", "last", cwd=lab).returncode == 0
    assert drilldown("verdict", "tiny.toml", cwd=lab).returncode == 0
    drilldown("run", "tiny.toml", "--set", "budget.parameters=10", cwd=lab)
    failed = drilldown("verdict", "tiny.toml", "--set", "budget.parameters=10", cwd=lab)
    assert failed.returncode == 3
    none = drilldown("verdict", "tiny.toml", "--set", "budget.parameters=11", cwd=lab)
    assert none.returncode == 2
    assert "no finished runs" in none.stderr


def test_summary_agrees_with_itself_as_text_and_json(lab: Path) -> None:
    document = json.loads(drilldown("summary", "under-8k", "--json", cwd=lab).stdout)
    assert document["parameters"] == sum(layer["parameters"] for layer in document["layers"]) == 7662
    assert {"name", "output", "parameters", "multiply_adds", "receptive_field"} <= document["layers"][0].keys()
    text = drilldown("summary", "under-8k", cwd=lab)
    assert "7,662" in text.stdout
    assert text.stderr == ""


def test_runs_are_listed_as_text_and_json(lab: Path) -> None:
    (newest, *_) = json.loads(drilldown("runs", "--json", cwd=lab).stdout)
    assert newest["status"] == "finished"
    assert (lab / newest["path"] / "summary.json").is_file()
    assert "finished" in drilldown("runs", cwd=lab).stdout


def test_runs_of_an_empty_folder_are_an_empty_list(tmp_path: Path) -> None:
    assert json.loads(drilldown("runs", "--json", cwd=tmp_path).stdout) == []
    assert drilldown("runs", cwd=tmp_path).returncode == 0


def test_seeds_are_trained_in_turn_and_summed_up(tmp_path: Path) -> None:
    world(tmp_path, epochs=2)
    shown = drilldown("run", "tiny.toml", "--seeds", "2", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "2 of 2 seeds" in shown.stdout
    assert sorted(path.name for path in tmp_path.glob("runs/*/*/seed-*")) == ["seed-0", "seed-1"]


def test_predict_reads_digits_on_light_and_dark_paper(lab: Path, tmp_path: Path) -> None:
    template = Image.fromarray(_template(3, "DejaVuSans.ttf").numpy()).resize((280, 280))
    template.save(tmp_path / "dark.png")
    Image.eval(template, lambda value: 255 - value).save(tmp_path / "light.png")
    shown = drilldown("predict", "last", str(tmp_path / "dark.png"), str(tmp_path / "light.png"), cwd=lab)
    assert shown.returncode == 0, shown.stderr
    head, dark, light = shown.stdout.splitlines()
    assert head.split() == ["read", "as", "confidence", "runner-up", "picture"]
    assert dark.replace("dark.png", "") == light.replace("light.png", "")
    assert dark.index(str(tmp_path)) == light.index(str(tmp_path)) == head.index("picture")


def test_predict_refuses_what_is_no_picture(lab: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    refused = drilldown("predict", "last", str(tmp_path / "text.png"), cwd=lab)
    assert refused.returncode == 2
    assert "text.png" in refused.stderr
    Image.new("L", (50, 50), 255).save(tmp_path / "empty.png")
    template = Image.fromarray(_template(3, "DejaVuSans.ttf").numpy())
    template.save(tmp_path / "three.png")
    files = [str(tmp_path / name) for name in ("text.png", "three.png", "empty.png", "three.png")]
    mixed = drilldown("predict", "last", *files, cwd=lab)
    assert mixed.returncode == 2
    assert "nothing stands out" in mixed.stderr
    assert "text.png: not a picture" in mixed.stderr
    assert [line.split()[-1] for line in mixed.stdout.splitlines()[1:]] == [str(tmp_path / "three.png")]


def plain_run(lab: Path) -> Path:
    """The run that other tests have not changed a setting of."""
    return Run.of(load(lab / "tiny.toml"), 0, lab / "runs").path


def test_predict_needs_a_finished_run(lab: Path, tmp_path: Path) -> None:
    run = plain_run(lab)
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run, unfinished)
    (unfinished / "summary.json").unlink()
    with pytest.raises(DrilldownError, match=f"the run is interrupted; .*; go on with: drilldown resume {unfinished}"):
        command("predict", str(unfinished), "absent.png", cwd=lab)
    (unfinished / "diverged.json").write_text('{"reason": "the loss is nan"}')
    with pytest.raises(DrilldownError, match="the run diverged and has no model: the loss is nan"):
        command("predict", str(unfinished), "absent.png", cwd=lab)


def test_damaged_runs_are_listed_and_told_apart(lab: Path, tmp_path: Path) -> None:
    source = next(lab.glob("runs/*/*/seed-0"))
    good, *copies = (tmp_path / "some" / f"step-{number}" / "seed-0" for number in range(6))
    for copy in (good, *copies):
        shutil.copytree(source, copy)
    empty, listed, lacking, odd, state = copies
    (empty / "summary.json").write_text("")
    (listed / "summary.json").write_text("[]")
    (lacking / "summary.json").write_text('{"experiment": "some/step"}')
    (odd / "summary.json").write_text(json.dumps({**json.loads((odd / "summary.json").read_text()), "seed": "none"}))
    (state / "summary.json").unlink()
    (state / "state.safetensors").write_text("cut")
    out, err = command("runs", "--runs", str(tmp_path), cwd=lab)
    assert sorted(line.split()[0] for line in out.splitlines()) == [*["damaged"] * 5, "finished", "status"]
    assert [line.rpartition(" ")[2] for line in out.splitlines() if line.startswith("finished")] == [str(good)]
    assert len(err.splitlines()) == 5
    for reason in ("not a table", '"seed" is missing', '"seed" makes no sense', "state.safetensors: cannot be read"):
        assert reason in err
    document = {
        Path(one["path"]): one for one in json.loads(command("runs", "--runs", str(tmp_path), "--json", cwd=lab)[0])
    }
    assert document[good]["status"] == "finished"
    assert document[listed]["status"] == "damaged"
    assert "not a table" in document[listed]["problem"]


def test_runs_fit_80_columns_and_can_be_copied_at_any_width(lab: Path) -> None:
    for columns in ("80", "40"):
        shown = drilldown("runs", cwd=lab, COLUMNS=columns)
        assert max(map(len, shown.stdout.splitlines())) <= 80
        for line in shown.stdout.splitlines()[1:]:
            assert (lab / line.rpartition(" ")[2] / "summary.json").is_file()


def test_many_runs_are_listed_at_once(lab: Path, tmp_path: Path) -> None:
    source = next(lab.glob("runs/*/*/seed-0"))
    for number in range(300):
        run = tmp_path / "some" / f"step-{number}" / "seed-0"
        run.mkdir(parents=True)
        for name in ("experiment.toml", "summary.json"):
            shutil.copy(source / name, run)
    begun = time.perf_counter()
    out, _ = command("runs", "--runs", str(tmp_path), cwd=lab)
    assert len(out.splitlines()) == 301
    assert time.perf_counter() - begun < 5


def test_text_from_files_is_no_markup(tmp_path: Path) -> None:
    folder = tmp_path / "[red]lab :smile:"
    folder.mkdir()
    world(folder, epochs=2)
    (folder / "tiny.toml").write_text((folder / "tiny.toml").read_text().replace('"Tiny"', '"A [/b] title"'))
    shown = drilldown("run", "tiny.toml", cwd=tmp_path / folder)
    assert shown.returncode == 0, shown.stderr
    assert "A [/b] title · [red]lab :smile:/tiny" in shown.stderr
    assert "runs/[red]lab :smile:/tiny-" in shown.stdout
    out, _ = command("compare", "tiny.toml", "under-8k", cwd=folder)
    assert "A [/b] title · tiny.toml" in out


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
    assert "is there already" in again.stderr


@pytest.mark.parametrize("source", ["under-8k", "eva5-s5/06", "era-s7/05", "session6/03"])
def test_what_new_writes_trains_as_its_source_does_and_claims_nothing(source: str, tmp_path: Path) -> None:
    command("new", "08-my_own idea.toml", "--from", source, cwd=tmp_path)
    file = tmp_path / "08-my_own idea.toml"
    made, original = load(file), load(source)
    assert made.fingerprint == original.fingerprint
    assert made.title == "My own idea"
    assert (made.reported, made.remark, made.reconstructed) == (None, "", False)
    text = file.read_text("utf-8")
    assert "drilldown run '08-my_own idea.toml'" in text
    assert max(map(len, (line for line in text.splitlines() if line.startswith("#")))) <= 100
    for said in ("conv KxK OUT", "onecycle (warmup, finish, div, final_div)", "# ema = 0.999", "# holdout = 10_000"):
        assert said in text
    file.write_text(text.replace("# ema = ", "ema = ").replace("# holdout = ", "holdout = "), "utf-8")
    assert (load(file).recipe.ema, load(file).recipe.holdout) == (0.999, 10_000)


def test_new_starts_from_a_run_as_it_was_trained(lab: Path, tmp_path: Path) -> None:
    run = plain_run(lab)
    out, _ = command("new", str(tmp_path / "again.toml"), "--from", str(run), cwd=lab)
    assert "which trains as" in out
    assert load(tmp_path / "again.toml").fingerprint == load(run).fingerprint == load(lab / "tiny.toml").fingerprint


def test_new_brings_the_code_of_a_network_and_overwrites_none(tmp_path: Path) -> None:
    code = "from torch import nn\n\ndef Net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
    (tmp_path / "model.py").write_text(code)
    (tmp_path / "own.toml").write_text('title = "Own"\n[network]\npython = "model.py:Net"\n')
    command("new", "there/own.toml", "--from", "own.toml", cwd=tmp_path)
    assert (tmp_path / "there" / "model.py").read_bytes() == (tmp_path / "model.py").read_bytes()
    command("new", "there/other.toml", "--from", "own.toml", cwd=tmp_path)  # the same code may lie there
    (tmp_path / "there" / "model.py").write_text("mine")
    (tmp_path / "model.py").rename(tmp_path / "elsewhere.py")
    with pytest.raises(DrilldownError, match=r"model\.py: network\.python: no such file"):
        command("new", "here/own.toml", "--from", "own.toml", cwd=tmp_path)
    (tmp_path / "elsewhere.py").rename(tmp_path / "model.py")
    with pytest.raises(DrilldownError, match=r"model\.py: is there already"):
        command("new", "there/third.toml", "--from", "own.toml", cwd=tmp_path)
    assert (tmp_path / "there" / "model.py").read_text() == "mine"
    assert not (tmp_path / "there" / "third.toml").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine", "mine: the name has no ending; expected a .toml file; such as mine.toml"),
        ("mine.txt", 'mine.txt: the name ends in ".txt"; expected a .toml file; such as mine.toml'),
        ("", "the name has no ending; expected a .toml file; such as mine.toml"),
        ("folder.toml", "folder.toml: is there already; choose another name"),
        ("file/mine.toml", "file/mine.toml: cannot be written"),
    ],
)
def test_new_says_what_is_wrong_with_a_name(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(DrilldownError) as refused:
        command("new", name, cwd=tmp_path)
    assert message in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.toml"]


def test_data_describes_and_draws_a_dataset(tmp_path: Path) -> None:
    shown = drilldown("data", "glyphs", "--preview", "samples.png", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "6,000" in shown.stdout
    with Image.open(tmp_path / "samples.png") as drawn:
        assert drawn.format == "PNG"


def test_a_report_is_written_on_demand(lab: Path) -> None:
    shown = drilldown("report", "last", cwd=lab)
    assert shown.returncode == 0, shown.stderr
    assert (lab / shown.stdout.strip()).is_file()


BAD = {
    "unknown command": ["fly"],
    "unknown option": ["run", "--fast"],
    "unknown experiment": ["run", "evaa5-s5/06"],
    "ambiguous experiment": ["summary", "eva"],
    "missing file": ["run", "absent.toml"],
    "both seeds": ["run", "--seed", "1", "--seeds", "2"],
    "negative seed": ["run", "--seed", "-1"],
    "unknown engine": ["run", "tiny.toml", "--engine", "steam"],
    "unknown device": ["run", "tiny.toml", "--device", "abacus"],
    "malformed set": ["run", "tiny.toml", "--set", "epochs"],
    "missing data folder": ["run", "tiny.toml", "--data", "absent"],
    "missing dataset": ["run", "tiny.toml", "--set", "recipe.dataset=./absent"],
    "batch larger than the data": ["run", "tiny.toml", "--set", "recipe.batch_size=301"],
    "everything held out": ["run", "tiny.toml", "--set", "recipe.holdout=300"],
    "single image left over": ["run", "tiny.toml", "--set", "recipe.batch_size=299", "--set",
                               'network.layers=["conv 28x28 4, bn", "linear 10"]'],
    "missing run": ["report", "absent"],
    "missing folder of runs": ["runs", "--runs", "absent"],
    "file as folder of runs": ["runs", "--runs", "tiny.toml"],
    "one thing to compare": ["compare", "tiny.toml"],
    "negative epochs": ["run", "tiny.toml", "--set", "recipe.epochs=-1"],
    "lr nan": ["run", "tiny.toml", "--set", "recipe.optimizer.lr=nan"],
    "lr infinite": ["run", "tiny.toml", "--set", "recipe.optimizer.lr=inf"],
    "too few classes": ["run", "tiny.toml", "--set", 'network.layers=["conv 3x3 4", "gap", "linear 9"]'],
    "no parameters": ["run", "tiny.toml", "--set", 'network.layers=["gap", "relu"]'],
    "a thousand million parameters": ["run", "tiny.toml", "--set",
                                      'network.layers=["conv 28x28 1000000", "linear 1000", "linear 10"]'],
}  # fmt: skip


@pytest.mark.parametrize("arguments", BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_message_and_leaves_nothing(arguments: list[str], tmp_path: Path) -> None:
    world(tmp_path)
    refused = drilldown(*arguments, cwd=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert refused.stdout == ""
    assert refused.stderr.strip()
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "runs").exists()


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    refused = drilldown("run", "absent.toml", "--debug", cwd=tmp_path)
    assert refused.returncode != 0
    assert "Traceback" in refused.stderr


def test_a_reader_that_leaves_early_is_no_error(lab: Path) -> None:
    import subprocess

    command = f"{sys.executable} -m drilldown summary under-8k | head -n 1"
    done = subprocess.run(command, shell=True, cwd=lab, env=environment(), capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert "Under 8,000" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell with pipefail")
def test_a_reader_that_has_gone_is_told_as_by_other_tools(lab: Path) -> None:
    import subprocess

    for arguments in ("summary under-8k", "summary under-8k --json"):
        command = f"set -o pipefail; {sys.executable} -m drilldown {arguments} | true"
        done = subprocess.run(["bash", "-c", command], cwd=lab, env=environment(), capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_a_file_that_comes_a_second_time_from_the_next_mirror_has_its_bar_again() -> None:
    live = LiveDisplay()
    live.console = Console(file=io.StringIO(), force_terminal=True)
    for received in (50, 100, 20, 100):  # whole, and not what it should be; then from elsewhere
        live.fetching("train-images", received, 100)
    assert live.progress is None


def test_a_finished_run_is_said_to_be_finished(lab: Path) -> None:
    _, told = command("run", "tiny.toml", cwd=lab)
    assert re.search(r"/tiny, seed 0: finished already and not repeated; drilldown run --again does", told)


def test_a_run_cannot_be_changed_by_set(lab: Path) -> None:
    with pytest.raises(DrilldownError, match=r"--set: .* is a run; expected an experiment"):
        command("verdict", str(plain_run(lab)), "--set", "recipe.epochs=5", cwd=lab)


@pytest.mark.parametrize(
    "arguments", ["report", "resume", "verdict", "predict", "compare", "study", "data", "runs --runs"]
)
def test_a_name_that_is_too_long_is_one_message(arguments: str, lab: Path) -> None:
    rest = {"predict": ["a.png"], "compare": ["tiny.toml"]}.get(arguments, [])
    with pytest.raises(DrilldownError):
        command(*arguments.split(), "x" * 300, *rest, cwd=lab)
    with pytest.raises(DrilldownError):
        command("data", "glyphs", "--data", "x" * 300, cwd=lab)


def test_how_to_go_on_says_the_options_that_were_given() -> None:
    asked = _with_options(["drilldown", "study", "a b"], runs=Path("else where"), engine="auto", threads=2)
    assert shlex.split(asked) == ["drilldown", "study", "a b", "--runs", "else where", "--threads", "2"]
    assert _with_options(["drilldown", "study", "s5"], runs=Path("runs"), device="auto") == "drilldown study s5"


def test_help_answers_without_loading_pytorch(tmp_path: Path) -> None:
    import subprocess

    code = "import sys; sys.argv = ['drilldown', '--help']\nfrom drilldown.__main__ import main\n"
    code += "try: main()\nexcept SystemExit: pass\nassert 'torch' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "predict" in done.stdout


def test_a_drawn_digit_is_prepared_as_mnist_was(tmp_path: Path) -> None:

    page = Image.new("RGB", (300, 200), "white")
    ImageDraw.Draw(page).line([(200, 40), (200, 160)], fill="black", width=12)
    page.save(tmp_path / "one.png")
    image = read_picture(tmp_path / "one.png")
    rows = (image > 25).any(1).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == 20
    mass = image.double() / image.sum()
    assert abs(float((mass.sum(0) * (mass.new_tensor(range(28)) - 13.5)).sum())) <= 0.5
    assert abs(float((mass.sum(1) * (mass.new_tensor(range(28)) - 13.5)).sum())) <= 0.5
