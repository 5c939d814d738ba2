"""The display of a training: lines everywhere, and a live bar in a notebook, without ipywidgets."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from support.cli import environment, world
from support.kernel import Notebook, Output

TRAIN = "drilldown.perform(experiment, seed={}, compute=TORCH, callback=drilldown.Lines());"


def bars(output: Output) -> list[str]:
    return [page for page in output.pages if "<progress" in page]


def test_a_notebook_shows_lines_and_a_bar_that_moves(kernel: Notebook) -> None:
    output = kernel.run_well(TRAIN.format(1))
    lines = output.text.splitlines()
    assert [line.split()[0] for line in lines if re.match(r" +\d", line)] == ["1", "2", "3"]
    assert "  1/3 " in bars(output)[0]
    values = [int(value) for page in bars(output) if "1/3" in page for value in re.findall(r'value="(\d+)"', page)]
    assert values == sorted(values)
    assert any(re.search(r"loss \d+\.\d+ · [\d.]+ % · [\d,]+ img/s · \d+:\d\d left", page) for page in bars(output))


def test_all_bars_have_one_place_above_the_lines_and_the_last_one_is_removed(kernel: Notebook) -> None:
    output = kernel.run_well(TRAIN.format(2))
    shown = output.of_kind("display_data")
    updates = output.of_kind("update_display_data")
    assert len(shown) == 1
    assert {content["transient"]["display_id"] for content in [*shown, *updates]} == {
        shown[0]["transient"]["display_id"]
    }
    assert updates[-1]["data"] == {"text/html": "", "text/plain": ""}
    kinds = [kind for kind, _ in output.messages if kind in ("display_data", "stream")]
    heading = next(index for index, content in enumerate(output.of_kind("stream")) if "seed 2" in content["text"])
    assert kinds.index("display_data") <= heading


def test_two_trainings_of_a_cell_and_the_next_cell_have_bars(kernel: Notebook) -> None:
    both = kernel.run_well(
        "lines = drilldown.Lines()\n"
        + "\n".join(f"drilldown.perform(experiment, seed={seed}, compute=TORCH, callback=lines)" for seed in (3, 4))
    )
    assert len(both.of_kind("display_data")) == 1
    assert {"seed 3", "seed 4"} <= set(re.findall(r"seed \d", both.text))
    after = kernel.run_well("drilldown.perform(experiment, seed=5, compute=TORCH, callback=lines);")
    assert len(after.of_kind("display_data")) == 1
    assert bars(after)


def test_an_interrupted_cell_leaves_no_bar_and_resumes(kernel: Notebook) -> None:
    kernel.run_well('longer = drilldown.load("tiny.toml", ["recipe.epochs=200"])')
    train = "drilldown.perform(longer, compute=TORCH, callback=drilldown.Lines());"
    stopped = kernel.run(train, interrupt_when=lambda output: "   3 " in output.text)
    assert "KeyboardInterrupt" in stopped.error
    assert stopped.pages[-1] == ""
    assert "execute the cell again to resume" in stopped.text
    again = kernel.run(train, interrupt_when=lambda output: "resumed after epoch" in output.text)
    assert "resumed after epoch" in again.text


def test_a_failed_training_leaves_no_bar(kernel: Notebook) -> None:
    kernel.run_well('diverges = drilldown.load("tiny.toml", ["recipe.optimizer.lr=1e9"])')
    failed = kernel.run("drilldown.perform(diverges, compute=TORCH, callback=drilldown.Lines())")
    assert "TrainingDivergedError" in failed.error
    assert failed.pages[-1] == ""


def test_a_finished_run_needs_no_bar(kernel: Notebook) -> None:
    kernel.run_well(TRAIN.format(1))
    again = kernel.run_well(TRAIN.format(1))
    assert "already finished" in again.text
    assert again.pages == []


def test_a_script_prints_lines_alone(tmp_path: Path) -> None:
    world(tmp_path, epochs=2)
    script = (
        "import sys, drilldown\n"
        "drilldown.perform(drilldown.load('tiny.toml'), compute=drilldown.Compute(engine='torch', threads=1),"
        " callback=drilldown.Lines())\n"
        "sys.exit('IPython' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "epoch        lr" in done.stdout
    assert "progress" not in done.stdout
    assert "\x1b" not in done.stdout
