"""A run folder holds all files of a user's module, and what it could not hold is refused before the training."""

from __future__ import annotations

from pathlib import Path

import pytest

from drilldown import Compute, Folders, load
from drilldown.errors import CannotTrainError, DrilldownError
from drilldown.experiment.template import write_template
from drilldown.runs.perform import perform, resume_run
from drilldown.runs.run import Run
from support.cli import world
from support.modules import NET, write_files
from support.outcome import outcome

COMPUTE = Compute(threads=1)
FILES = {
    "model": f"from parts.head import head\n{NET.replace('nn.Linear(16, 10)', 'head(16)')}",
    "parts/head": "from torch import nn\nfrom .sizes import CLASSES\ndef head(n):\n    return nn.Linear(n, CLASSES)\n",
    "parts/sizes": "CLASSES = 10\n",
    "other": "",
}


def train(folder: Path, **files: str) -> Run:
    file = world(folder, epochs=2)
    write_files(folder, **files)
    return perform(load(file, ["network.python=model.py:Net"]), compute=COMPUTE, folders=Folders(runs=folder / "runs"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp("own"), **FILES)


def code(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).with_suffix("").as_posix(): path.read_text() for path in folder.rglob("*.py")}


def test_a_run_folder_has_the_files_that_the_module_imports(finished: Run) -> None:
    assert code(finished.path) == {name: content for name, content in FILES.items() if name != "other"}
    assert {"model.py", "parts/head.py", "parts/sizes.py"} <= set(finished.checksums())


def test_the_run_resumes_and_gives_its_model_from_these_files(tmp_path: Path) -> None:
    run = train(tmp_path, **FILES)
    before = outcome(run.path)
    for name in ("model.py", "parts/head.py", "parts/sizes.py"):
        (tmp_path / name).unlink()
    for name in ("summary.json", "weights.safetensors"):
        (run.path / name).unlink()
    assert outcome(resume_run(Run(run.path), compute=COMPUTE).path) == before
    assert Run(run.path).model().get_parameter("logits.weight").shape == (10, 16)


@pytest.mark.parametrize("change", ["changed", "missing"])
def test_a_file_that_is_changed_or_missing_is_refused(tmp_path: Path, change: str) -> None:
    run = train(tmp_path, **FILES)
    file = run.path / "parts" / "sizes.py"
    if change == "changed":
        file.write_text("CLASSES = 5 + 5\n")
    else:
        file.unlink()
    with pytest.raises(DrilldownError, match=r"parts/sizes\.py: cannot be read"):
        Run(run.path).model()


def test_a_planted_link_in_place_of_a_package_is_not_followed(tmp_path: Path) -> None:
    file = world(tmp_path, epochs=2)
    write_files(tmp_path, **FILES)
    experiment = load(file, ["network.python=model.py:Net"])
    run = Run.of(experiment, 0, tmp_path / "runs")
    (tmp_path / "elsewhere").mkdir()
    run.path.mkdir(parents=True)
    (run.path / "parts").symlink_to(tmp_path / "elsewhere")
    perform(experiment, compute=COMPUTE, folders=Folders(runs=tmp_path / "runs"))
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (run.path / "parts" / "head.py").is_file()


def test_a_new_experiment_gets_copies_of_all_files(finished: Run, tmp_path: Path) -> None:
    write_template(finished.experiment, tmp_path / "new" / "copy.toml")
    assert code(tmp_path / "new") == code(finished.path)
    (tmp_path / "new" / "copy.toml").unlink()
    (tmp_path / "new" / "parts" / "sizes.py").write_text("CLASSES = 11\n")
    with pytest.raises(DrilldownError, match=r"sizes\.py: already exists"):
        write_template(finished.experiment, tmp_path / "new" / "copy.toml")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            f"from pathlib import Path\nPath(__file__).with_name('sizes.txt').read_text()\n{NET}",
            r"model\.py:2: network\.python: a copy of the module in another folder, as a run has it, does not work: .*"
            r"FileNotFoundError.*only the Python files that import statements name are copied",
        ),
        (
            NET.replace("self.logits =", "self.register_buffer('mask', torch.ones(1).expand(10)); self.logits ="),
            r"model\.py: network\.python: its weights cannot be saved and loaded: RuntimeError",
        ),
    ],
)
def test_a_module_that_the_folder_could_not_give_back_is_refused_before_the_training(
    tmp_path: Path, model: str, message: str
) -> None:
    (tmp_path / "sizes.txt").write_text("16")
    with pytest.raises(CannotTrainError, match=message):
        train(tmp_path, model=model)
    assert not list(tmp_path.glob("runs/*/*/*/epochs.jsonl"))
