"""Tensor files: whose they are, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown import Folders, load
from drilldown.errors import DrilldownError
from drilldown.runs.callback import Callback
from drilldown.runs.folder import OWNER_KEY
from drilldown.runs.perform import perform, resume_run
from drilldown.runs.run import Run
from drilldown.runs.tensor_files import Owner, check_tensors, read_tensors, tensor_bytes
from support.cli import world

OWNER = Owner(fingerprint="0a1b2c3d", seed=3, epoch=4, versions={"torch": "2.13.0"})
TENSORS = {
    "weight": torch.arange(6, dtype=torch.float32).view(2, 3),
    "count": torch.tensor(7),
    "mask": torch.tensor([True, False]),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "nothing": torch.zeros(0, 5),
}
FILE = Path("some.safetensors")


def read(content: bytes, owner: Owner | None = OWNER) -> dict[str, torch.Tensor]:
    return read_tensors(FILE, content, owner)[0]


def test_tensors_and_metadata_are_read_back() -> None:
    content = tensor_bytes(TENSORS, OWNER, threads=2)
    tensors, metadata = read_tensors(FILE, content, OWNER)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())
    assert (metadata["seed"], metadata["threads"], metadata["versions"]) == (3, 2, {"torch": "2.13.0"})
    assert content == tensor_bytes(dict(reversed(TENSORS.items())), OWNER, threads=2)


def test_any_reader_of_safetensors_opens_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(tensor_bytes(TENSORS, OWNER))
    with safetensors.safe_open(tmp_path / "file", "pt") as opened:
        assert set(opened.keys()) == set(TENSORS)
        assert json.loads(opened.metadata()[OWNER_KEY])["fingerprint"] == "0a1b2c3d"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_each_changed_bit_is_noticed(data: st.DataObject) -> None:
    content = bytearray(tensor_bytes(TENSORS, OWNER))
    position, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
    content[position] ^= 1 << bit
    try:
        tensors = read(bytes(content))
    except DrilldownError:
        return
    # A bit that means nothing, such as white space in the header.
    assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.integers(0, 500).map(lambda size: tensor_bytes(TENSORS, OWNER)[:size]))
def test_any_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(DrilldownError, match="cannot be read"):
        read(content)


@pytest.mark.parametrize(
    "other",
    [
        Owner(fingerprint="ffffffff", seed=3, epoch=4, versions={}),
        Owner(fingerprint="0a1b2c3d", seed=1, epoch=4, versions={}),
        Owner(fingerprint="0a1b2c3d", seed=3, epoch=5, versions={}),
    ],
    ids=str,
)
def test_the_file_of_another_run_is_refused_with_both_names(other: Owner) -> None:
    with pytest.raises(DrilldownError) as refused:
        read(tensor_bytes(TENSORS, other))
    assert str(other) in str(refused.value)
    assert str(OWNER) in str(refused.value)


def test_a_file_without_an_owner_is_refused_unless_the_run_is_older_than_owners() -> None:
    plain = safetensors.torch.save(TENSORS)
    with pytest.raises(DrilldownError, match="does not say which run"):
        read(plain)
    assert read(plain, None).keys() == TENSORS.keys()


@pytest.mark.parametrize("value", ["[]", "{}", "null", "{", "[" * 100_000, '{"seed": 3}', '{"sha256": 5}'])
def test_metadata_that_are_no_owner_are_refused(value: str) -> None:
    with pytest.raises(DrilldownError, match="cannot be read"):
        read(safetensors.torch.save(TENSORS, {OWNER_KEY: value}))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"weight": None}, "the tensor weight is missing"),
        ({"more": torch.zeros(1)}, "the network has no tensor more"),
        ({"weight": torch.zeros(3, 2)}, "weight is 3x2 of float32, where the network has 2x3 of float32"),
        ({"weight": torch.zeros(2, 3, dtype=torch.float64)}, "weight is 2x3 of float64"),
        ({"weight": torch.full((2, 3), torch.nan)}, "weight has values that are not finite"),
        ({"half": torch.full((3,), torch.inf, dtype=torch.bfloat16)}, "half has values that are not finite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_tensors_are_named(change: dict[str, torch.Tensor | None], reason: str) -> None:
    tensors = {name: tensor for name, tensor in {**TENSORS, **change}.items() if tensor is not None}
    with pytest.raises(DrilldownError, match=f"^some.safetensors: .*{reason}"):
        check_tensors(FILE, tensors, TENSORS)


def test_infinity_in_a_users_mask_is_accepted() -> None:
    mask = {"mask": torch.tensor([0.0, -torch.inf])}
    check_tensors(FILE, mask, mask)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-3] ^= 4  # in the data of the last tensor
    file.write_bytes(content)


def not_a_number(file: Path) -> None:
    """Weights that are no numbers, with right checksums: only the values are wrong."""
    tensors, metadata = read_tensors(file, file.read_bytes(), None)
    first = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[first] = torch.full_like(tensors[first], torch.nan)
    owner = Owner(**{name: metadata.pop(name) for name in ("fingerprint", "seed", "epoch", "versions")})
    file.write_bytes(tensor_bytes(tensors, owner, **metadata))


def no_owner(file: Path) -> None:
    file.write_bytes(safetensors.torch.save(safetensors.torch.load(file.read_bytes())))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("spoil", [flip, not_a_number, no_owner, cut])
def test_a_damaged_state_is_not_resumed(spoil: Callable[[Path], None], uninterrupted: Path, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(uninterrupted, tmp_path / "seed-0")))
    (run.path / "summary.json").unlink()
    spoil(run.path / "state.safetensors")
    spoilt = (run.path / "state.safetensors").read_bytes()
    with pytest.raises(DrilldownError, match=r"state\.safetensors: ") as refused:
        resume_run(run)
    assert refused.value.exit_code == 2
    assert (run.path / "state.safetensors").read_bytes() == spoilt


@pytest.mark.parametrize("spoil", [flip, not_a_number, no_owner, cut])
@pytest.mark.parametrize("name", ["weights", "predictions"])
def test_damaged_results_are_not_shown(
    name: str, spoil: Callable[[Path], None], uninterrupted: Path, tmp_path: Path
) -> None:
    run = Run(Path(shutil.copytree(uninterrupted, tmp_path / "seed-0")))
    spoil(run.path / f"{name}.safetensors")
    with pytest.raises(DrilldownError, match=rf"{name}\.safetensors: "):
        run.model() if name == "weights" else run.predictions()


def test_the_files_of_another_seed_are_refused(uninterrupted: Path, tmp_path: Path) -> None:
    other = perform(Run(uninterrupted).experiment, seed=1, run_dir=tmp_path / "seed-1")
    for name in ("weights.safetensors", "predictions.safetensors", "epochs.jsonl", "summary.json"):
        run = Run(Path(shutil.copytree(uninterrupted, tmp_path / name / "seed-0")))
        shutil.copy(other.path / name, run.path / name)
        with pytest.raises(DrilldownError, match=name):
            _ = run.model(), run.predictions(), run.epochs
    run = Run(Path(shutil.copytree(uninterrupted, tmp_path / "interrupted" / "seed-0")))
    (run.path / "summary.json").unlink()
    for name in ("state.safetensors", "epochs.jsonl"):
        shutil.copy(other.path / name, run.path / name)
    with pytest.raises(DrilldownError, match=r"state\.safetensors: .*seed 1.*expected .*seed 0"):
        resume_run(run)


def test_a_whole_run_in_the_place_of_another_one_is_refused(uninterrupted: Path, tmp_path: Path) -> None:
    """Otherwise a copy of a lucky seed would count as a second seed."""
    step = tmp_path / uninterrupted.parent.name
    shutil.copytree(uninterrupted, step / "seed-5")
    with pytest.raises(DrilldownError, match=r"summary\.json: .*seed 0.*expected seed 5, as the folder's name says"):
        _ = Run(step / "seed-5").summary
    elsewhere = tmp_path / "other-00000000"
    shutil.copytree(uninterrupted, elsewhere / "seed-0")
    with pytest.raises(DrilldownError, match=r"expected 00000000, as the folder's name says"):
        _ = Run(elsewhere / "seed-0").summary
    shutil.copytree(uninterrupted, tmp_path / "kept for the lecture")
    assert Run(tmp_path / "kept for the lecture").predictions().tally.total == 100


def test_a_changed_experiment_file_is_noticed(uninterrupted: Path, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(uninterrupted, tmp_path / "seed-0")))
    file = run.path / "experiment.toml"
    file.write_text(file.read_text().replace("0.1", "0.2", 1))
    for state in ("finished", "interrupted"):
        with pytest.raises(DrilldownError, match=r"experiment\.toml: .*it has changed since the run wrote it"):
            _ = Run(run.path).experiment
        if state == "finished":
            (run.path / "summary.json").unlink()


def test_another_dataset_behind_the_same_path_is_noticed(tmp_path: Path) -> None:
    run = perform(load(world(tmp_path, epochs=2)), folders=Folders(runs=tmp_path / "runs"))
    labels = tmp_path / "letters" / "t10k-labels-idx1-ubyte"
    content = labels.read_bytes()
    labels.write_bytes(content[:8] + bytes((label + 1) % 10 for label in content[8:]))
    with pytest.raises(DrilldownError, match=r"has the dataset changed since the training\?"):
        run.predictions()


@pytest.mark.parametrize(
    ("change", "notice"),
    [
        ({}, None),
        ({"torch": "2.6.0"}, "PyTorch was 2.6.0 and is "),
        ({"engine": "native 0000000000000000"}, "the engine's build was native 0000000000000000 and is native "),
    ],
)
def test_a_resume_under_other_versions_says_that_bits_may_differ(
    change: dict[str, str], notice: str | None, uninterrupted: Path, tmp_path: Path
) -> None:
    class Notices(Callback):
        lines: ClassVar[list[str]] = []

        def on_notice(self, text: str) -> None:
            self.lines.append(text)

    Notices.lines.clear()
    run = Run(Path(shutil.copytree(uninterrupted, tmp_path / "seed-0")))
    (run.path / "summary.json").unlink()
    state = run.path / "state.safetensors"
    tensors, metadata = read_tensors(state, state.read_bytes(), None)
    owner = Owner(**{name: metadata.pop(name) for name in ("fingerprint", "seed", "epoch", "versions")})
    owner.versions.update(change)
    state.write_bytes(tensor_bytes(tensors, owner, **metadata))
    resume_run(run, callback=Notices())
    lines = [line for line in Notices.lines if "may differ in its last bits" in line]
    assert len(lines) == (notice is not None)
    assert notice is None or notice in lines[0]
