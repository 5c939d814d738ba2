"""Workers of this machine: the same runs as without them, whatever is killed, frozen or interrupted."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pexpect
import psutil
import pytest

from drilldown import load
from drilldown.runs.folder import FINISHED
from drilldown.runs.run import Run
from support.cli import drilldown, environment, start
from support.crews import epochs_saved, trained_files, wait_until, workers_of
from support.study import STEPS, write_study

LONG = ("--set", "recipe.epochs=150")
"""A run that takes some seconds."""
NOISY = """\
import multiprocessing
import os
import sys
from torch import nn

if multiprocessing.parent_process():  # a worker
    print("printed by the module")
    print("printed as an error", file=sys.stderr)
    os.write(1, b"written to the descriptor")
    assert os.read(0, 10) == b"", "the input of the terminal was read"


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
"""


def test_two_workers_give_the_same_bytes_as_one_and_each_run_one_line(
    lab: Path, train_alone: Callable[..., dict[str, bytes]]
) -> None:
    """Also, no library prints anything."""
    done = drilldown("run", "tiny.toml", "--seeds", "3", "--workers", "2", cwd=lab)
    assert done.returncode == 0, done.stderr
    assert "budget met: 3 of 3 seeds" in done.stdout
    said = [line for line in done.stderr.strip().splitlines() if not line.startswith("images: ")]
    head, count, *lines = said
    assert head.endswith("0 of 3 runs finished, 3 to train; time unknown until the first run has finished")
    assert count == "training with 2 workers"
    assert [bool(re.search(rf"^{n}/3  .*/tiny, seed \d  . budget met · [\d.]+ % · \d+ s$", line))
            for n, line in enumerate(lines, start=1)] == [True] * 3, done.stderr  # fmt: skip
    assert len(re.findall(r"^report ", done.stdout, re.MULTILINE)) == 3
    assert trained_files(lab) == train_alone(seeds=3)


def test_killed_and_frozen_workers_are_replaced_and_cost_no_finished_epoch(
    lab: Path, train_alone: Callable[..., dict[str, bytes]]
) -> None:
    """A frozen worker is noticed by its silence, after a time that this test shortens."""
    started = start(
        "run", "tiny.toml", "--seeds", "2", "--workers", "2", *LONG, cwd=lab, DRILLDOWN_SILENCE_SECONDS="10"
    )
    driver = psutil.Process(started.pid)
    wait_until(lambda: epochs_saved(lab) > 20)
    killed, frozen = workers_of(driver)
    killed.kill()
    frozen.suspend()
    _, err = started.communicate(timeout=120)
    assert started.returncode == 0, err
    assert not frozen.is_running()
    assert trained_files(lab) == train_alone(epochs=150, seeds=2)


def test_a_module_that_ends_its_process_is_given_up_and_the_others_continue(lab: Path) -> None:
    (lab / "world").mkdir()
    study = write_study(lab / "world", epochs=2)
    (study / "aborts.py").write_text(
        "import os\nfrom torch import nn\n\n\nclass Aborts(nn.Module):\n"
        "    def __init__(self, **_):\n        super().__init__()\n        self.inner = nn.Linear(784, 10)\n\n"
        "    def forward(self, images):\n"
        "        if self.training:\n            os.abort()\n        return self.inner(images.flatten(1))\n"
    )
    (study / "02-norm.toml").write_text(
        'title = "Aborts"\nextends = "01-plain.toml"\n[network]\npython = "aborts.py:Aborts"\n'
    )
    done = drilldown("study", "climb", "--seeds", "1", "--workers", "2", cwd=lab / "world")
    assert done.returncode == 2
    assert "climb/02-norm, seed 0: 3 workers died while they trained it" in done.stderr
    finished = {path.parent.parent.name[:-9] for path in lab.glob("world/runs/climb/*/seed-0/summary.json")}
    assert finished == {"01-plain", "03-wider"}


def listening(processes: Sequence[psutil.Process]) -> set[str]:
    """The addresses at which processes wait for connections."""
    connections = [connection for process in processes for connection in process.net_connections("inet")]
    return {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}


def test_a_killed_driver_leaves_no_process_and_the_repeated_command_resumes(
    lab: Path, train_alone: Callable[..., dict[str, bytes]]
) -> None:
    arguments = ("run", "tiny.toml", "--seeds", "2", "--workers", "2", *LONG)
    started = start(*arguments, cwd=lab)
    wait_until(lambda: epochs_saved(lab) > 20)
    family = psutil.Process(started.pid).children(recursive=True)
    assert listening([psutil.Process(started.pid), *family]) == {"127.0.0.1"}, "it listens beyond this machine"
    started.kill()
    started.communicate(timeout=10)
    psutil.wait_procs(family, timeout=5)
    assert [process for process in family if process.is_running()] == []
    runs = [Run.of(load(lab / "tiny.toml", ["recipe.epochs=150"]), seed, lab / "runs") for seed in range(2)]
    saved = [run.epochs for run in runs]
    assert sum(map(len, saved)) > 20
    resumed = drilldown(*arguments, cwd=lab)
    assert resumed.returncode == 0, resumed.stderr
    assert [run.status for run in runs] == [FINISHED] * 2
    assert [run.epochs[: len(epochs)] for run, epochs in zip(runs, saved, strict=True)] == saved
    assert trained_files(lab) == train_alone(epochs=150, seeds=2)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX terminal")
def test_a_module_that_prints_and_reads_does_not_disturb_the_terminal(tmp_path: Path) -> None:
    study = write_study(tmp_path, epochs=2, steps=1)
    (study / "net.py").write_text(NOISY)
    (study / "02-noisy.toml").write_text(
        'title = "Noisy"\nextends = "01-plain.toml"\n[network]\npython = "net.py:Net"\n[budget]\nparameters = 10_000\n'
    )
    arguments = ["-m", "drilldown", "study", "climb", "--seeds", "1", "--workers", "2"]
    terminal = pexpect.spawn(sys.executable, arguments, cwd=str(tmp_path), env=environment(), encoding="utf-8")
    terminal.send("typed by the user\n")
    shown = terminal.read()
    terminal.wait()
    assert terminal.exitstatus == 0, shown
    assert "2/2" in shown
    assert not re.search("printed by|printed as|written to", shown), shown


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX terminal")
def test_ctrl_c_in_a_terminal_ends_everything_at_once(lab: Path) -> None:
    """Ctrl-C reaches every process of the terminal: all of them are in one group."""
    arguments = ["-m", "drilldown", "run", "tiny.toml", "--seeds", "4", "--workers", "2", *LONG]
    terminal = pexpect.spawn(sys.executable, arguments, cwd=str(lab), env=environment(), encoding="utf-8")
    wait_until(lambda: terminal.read_nonblocking(10_000, timeout=60) is None or epochs_saved(lab) > 20)
    family = psutil.Process(terminal.pid).children(recursive=True)
    began = time.monotonic()
    terminal.sendintr()
    shown = terminal.read()
    terminal.wait()
    assert time.monotonic() - began < 3.0
    assert terminal.exitstatus == 130, shown
    tail = shown[shown.rindex("interrupted:") :].strip().splitlines()
    assert len(tail) == 2
    assert tail[0] == "interrupted: 0 of 4 runs finished, and every finished epoch is saved"
    assert tail[1].startswith("resume with: drilldown run tiny.toml --set recipe.epochs=150 --seeds 4 --workers 2")
    psutil.wait_procs(family, timeout=5)
    assert [process for process in family if process.is_running()] == []


def test_two_drivers_on_one_study_train_each_run_once(tmp_path: Path) -> None:
    write_study(tmp_path, epochs=30)
    arguments = ("study", "climb", "--seeds", "2", "--workers", "2")
    both = [start(*arguments, cwd=tmp_path) for _ in range(2)]
    ended = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    trained = Counter(re.findall(r"climb/\S+, seed \d", "".join(err for _, err in ended)))
    assert sorted(trained) == [f"climb/{step}, seed {seed}" for step in STEPS for seed in range(2)], ended
    assert set(trained.values()) == {1}


def test_a_wrong_number_of_workers_is_one_message(lab: Path) -> None:
    for text in ("0", "-1", "many", "10000"):
        refused = drilldown("run", "tiny.toml", "--seeds", "2", f"--workers={text}", cwd=lab)
        assert refused.returncode == 2
        assert refused.stderr.strip().splitlines() == [
            f'drilldown: --workers: found "{text}"; expected a number from 1 to 256, or "auto"'
        ]


def test_an_error_of_the_user_is_one_message(lab: Path) -> None:
    shutil.rmtree(lab / "letters")
    refused = drilldown("run", "tiny.toml", "--seeds", "2", "--workers", "2", cwd=lab)
    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) == 1
