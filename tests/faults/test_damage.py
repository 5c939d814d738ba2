"""Each region of each file of a run is damaged: one message that names a file, or the right figures; never others."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drilldown.report.run.evidence import gather_run
from drilldown.runs.folder import DIVERGED, DIVERGENCE, FINISHED, STATE, SUMMARY
from drilldown.runs.perform import resume_run
from drilldown.runs.run import Run
from support.cli import drilldown, only_run, world
from support.faults import attempt
from support.outcome import outcome
from support.study import command

REGIONS, SOME_REGIONS = 40, 5
NOT_READ = ("train.log", "report.html", "report.md", ".lock")
"""Files that no command reads back."""

Damage = Callable[[bytes, int, int, random.Random], bytes]


def flip_a_bit(content: bytes, start: int, end: int, chance: random.Random) -> bytes:
    changed = bytearray(content)
    changed[chance.randrange(start, end)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def zero(content: bytes, start: int, end: int, _: random.Random) -> bytes:
    return content[:start] + bytes(end - start) + content[end:]


def noise(content: bytes, start: int, end: int, chance: random.Random) -> bytes:
    return content[:start] + chance.randbytes(end - start) + content[end:]


def remove(content: bytes, start: int, end: int, _: random.Random) -> bytes:
    return content[:start] + content[end:]


def repeat(content: bytes, start: int, end: int, _: random.Random) -> bytes:
    return content[:end] + content[start:end] + content[end:]


def cut(content: bytes, start: int, _end: int, _: random.Random) -> bytes:
    return content[:start]


def another_digit(content: bytes, start: int, end: int, chance: random.Random) -> bytes:
    """The worst damage: the file stays readable, and one figure in it is another one."""
    digits = [position for position in range(start, end) if chr(content[position]) in "0123456789"]
    if not digits:
        return content
    position = chance.choice(digits)
    digit = ord("0") + (content[position] - ord("0") + chance.randrange(1, 10)) % 10
    return content[:position] + bytes([digit]) + content[position + 1 :]


DAMAGES: tuple[Damage, ...] = (flip_a_bit, zero, noise, remove, repeat, cut, another_digit)


def figures(run: Run) -> Any:
    """Everything that tables and reports show of a finished run."""
    evidence = gather_run(run)
    weights = {name: tensor.tolist() for name, tensor in run.model().state_dict().items()}
    experiment = evidence.experiment
    told = (experiment.title, experiment.target, experiment.settings(), experiment.reported)
    return evidence.summary, evidence.epochs, run.logits().tolist(), weights, told


def regions(file: Path, count: int) -> list[tuple[int, int]]:
    size = file.stat().st_size
    edges = sorted({size * index // count for index in range(count + 1)})
    return list(itertools.pairwise(edges))


def trials(run: Path, thorough: bool) -> list[tuple[str, Damage, int, int]]:
    files = [entry for entry in sorted(run.iterdir()) if entry.is_file() and entry.name not in NOT_READ]
    count = REGIONS if thorough else SOME_REGIONS
    return [(file.name, damage, *region) for file in files for damage in DAMAGES for region in regions(file, count)]


@pytest.mark.timeout(600)
def test_a_damaged_finished_run_is_refused_or_shown_right(
    engine: str, whole: Path, thorough: bool, tmp_path: Path
) -> None:
    right = figures(Run(whole))
    chance = random.Random(0)
    copy = Path(shutil.copytree(whole, tmp_path / "study" / whole.parent.name / "seed-0"))
    refused = 0
    for name, damage, start, end in trials(whole, thorough):
        content = (whole / name).read_bytes()
        (copy / name).write_bytes(damage(content, start, end, chance))
        told = f"{engine}: {name}, {damage.__name__} at {start}"
        shown, error = attempt(lambda: figures(Run(copy)))
        if error:
            assert error.exit_code == 2, told
            assert str(copy) in str(error), f"{told}: {error}"
            refused += 1
        else:
            assert shown == right, told
        if chance.random() < 0.05 or name == SUMMARY:
            out, _ = command("runs", "--runs", str(tmp_path), cwd=tmp_path)
            assert len(out.splitlines()) == 2, told
        (copy / name).write_bytes(content)
    assert refused > 50
    assert figures(Run(copy)) == right


@pytest.mark.timeout(600)
def test_a_damaged_interrupted_run_is_refused_or_ends_right(
    engine: str, whole: Path, thorough: bool, tmp_path: Path
) -> None:
    wanted = outcome(whole)
    interrupted = Path(shutil.copytree(whole, tmp_path / "kept" / "seed-0"))
    for name in (SUMMARY, "weights.safetensors", "predictions.safetensors"):
        (interrupted / name).unlink()
    chance = random.Random(1)
    refused = 0
    for name, damage, start, end in trials(interrupted, thorough):
        copy = Path(shutil.copytree(interrupted, tmp_path / "study" / whole.parent.name / "seed-0"))
        damaged = damage((copy / name).read_bytes(), start, end, chance)
        (copy / name).write_bytes(damaged)
        told = f"{engine}: {name}, {damage.__name__} at {start}"
        _, error = attempt(lambda: resume_run(Run(copy)))  # noqa: B023 - called at once
        if error:
            assert str(copy) in str(error), f"{told}: {error}"
            assert (copy / name).read_bytes() == damaged, told  # nothing is lost that a person could mend
            refused += 1
        else:
            assert outcome(copy) == wanted, told
        shutil.rmtree(copy)
    assert refused > 30


def test_a_damaged_reason_of_a_diverged_run_is_refused(thorough: bool, tmp_path: Path) -> None:
    world(tmp_path)
    drilldown("run", "tiny.toml", "--set", "recipe.optimizer.lr=1e30", cwd=tmp_path)
    run = Run(only_run(tmp_path))
    assert run.status == DIVERGED
    right = run.divergence
    content = (run.path / DIVERGENCE).read_bytes()
    chance = random.Random(2)
    for damage in DAMAGES:
        for start, end in regions(run.path / DIVERGENCE, REGIONS if thorough else SOME_REGIONS):
            (run.path / DIVERGENCE).write_bytes(damage(content, start, end, chance))
            told, error = attempt(lambda: run.divergence)
            assert DIVERGENCE in str(error) if error else told == right
            (run.path / DIVERGENCE).write_bytes(content)


def test_each_missing_file_is_named_or_made_again(engine: str, whole: Path, tmp_path: Path) -> None:
    right, wanted = figures(Run(whole)), outcome(whole)
    for entry in sorted(whole.iterdir()):
        copy = Path(shutil.copytree(whole, tmp_path / engine / entry.name / "seed-0"))
        shutil.rmtree(copy / entry.name) if entry.is_dir() else (copy / entry.name).unlink()
        run = Run(copy)
        if entry.name == SUMMARY:
            resume_run(run)
            assert outcome(copy) == wanted
            continue
        assert run.status == FINISHED
        shown, error = attempt(lambda: figures(run))  # noqa: B023 - called at once
        if error:
            assert entry.name in str(error) or "were deleted" in str(error)
        else:
            assert shown == right
            assert entry.name in (*NOT_READ, STATE, "figures")
