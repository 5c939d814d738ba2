"""Ablation: each variation lacks only one component; its runs are trained once, and the table shows its effect."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown import Compute, Folders, load
from drilldown.analysis.ablation import list_variations, measure_ablation
from drilldown.analysis.seeds import Seeds
from drilldown.errors import DrilldownError, TrainingDivergedError
from drilldown.experiment.difference import changed_components
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.loading import read_experiment
from drilldown.network.blocks import layers_in, network_text
from drilldown.network.layers import BatchNorm, Dropout, GlobalAveragePool
from drilldown.report.ablation import ablation_markdown, ablation_sentences
from drilldown.resources import resource_folder
from drilldown.runs.perform import perform
from drilldown.runs.run import Run
from support.cli import world
from support.study import command
from support.teachers import random_shares, write_teacher

SHIPPED = sorted(f"{file.parent.name}/{file.stem}" for file in resource_folder("studies").glob("*/*.toml"))
KINDS = {"batch norm": BatchNorm, "dropout": Dropout, "gap head": GlobalAveragePool}
DIFFERENCE_NAMES = {"gap head": "global average pooling"}
SETTINGS = {
    "augmentation": "augmentation", "schedule": "schedule", "warm-up": "schedule", "weight decay": "optimizer",
    "momentum": "optimizer", "nesterov": "optimizer",
}  # fmt: skip


def with_layers(*layers: str, **recipe: object) -> Experiment:
    document = {"title": "Given", "network": {"layers": list(layers)}, "recipe": {"dataset": "glyphs", **recipe}}
    return Experiment.model_validate(document)


def test_each_variation_keeps_the_validation_split() -> None:
    full = load("eva5-s5/06", ['recipe.holdout={images = 10_000, by = "writer"}'])
    variations, _ = list_variations(full)
    assert variations
    for variation in variations:
        assert variation.experiment.recipe.holdout == full.recipe.holdout


def without(full: Experiment, component: str) -> Experiment:
    variations, _ = list_variations(full)
    (experiment,) = (variation.experiment for variation in variations if variation.component == component)
    return experiment


def layers(experiment: Experiment) -> str:
    return network_text(experiment.network.layers or ())


@pytest.mark.parametrize("step", SHIPPED)
def test_each_variation_of_a_shipped_step_lacks_only_its_component(step: str, tmp_path: Path) -> None:
    full = load(step)
    variations, skipped = list_variations(full)
    assert variations
    assert skipped == []
    assert (
        len({full.fingerprint, *(variation.experiment.fingerprint for variation in variations)}) == len(variations) + 1
    )
    for variation in variations:
        experiment = variation.experiment
        if experiment.parent is full:
            assert experiment.name == f"{full.name}-without-{variation.component.replace(' ', '-')}"
        else:  # an earlier step, whose runs exist already
            assert experiment.fingerprint == load(experiment.name).fingerprint
            assert experiment.name < full.name
        changed = changed_components(full, experiment)
        if variation.component in KINDS:
            kinds = [type(layer) for layer in layers_in(experiment.network.layers or ())]
            assert KINDS[variation.component] not in kinds
            name = DIFFERENCE_NAMES.get(variation.component, variation.component)
            assert name in changed
            assert set(changed) <= {name, "layers"}
            assert experiment.recipe == full.recipe
        else:
            assert changed == (SETTINGS[variation.component],)
            assert experiment.network == full.network
        assert experiment.model_summary.layers[-1].output == (10,)
        file = tmp_path / f"{variation.component}.toml"
        file.write_text(experiment.to_toml())
        assert read_experiment(file).fingerprint == experiment.fingerprint


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (("conv 3x3 4, relu", "gap", "linear 10"), "conv 3x3 4, relu, flatten, linear 10"),
        (("maxpool 4", "conv 3x3 4", "gap", "conv 1x1 10"), "maxpool 4, conv 3x3 4, conv 5x5 10"),
        (("maxpool 4", "conv 3x3 4", "gap, conv 1x1 6, relu", "conv 1x1 10 bias"),
         "maxpool 4, conv 3x3 4, conv 5x5 6, relu, conv 1x1 10 bias"),
        (("maxpool 4", "conv 1x1 10", "gap"), "maxpool 4, conv 7x7 10"),
        (("maxpool 4", "conv 3x3 10, relu", "gap"), "maxpool 4, conv 3x3 10, relu, flatten, linear 10"),
    ],
)  # fmt: skip
def test_a_pooled_head_is_replaced_by_a_plain_one(given: tuple[str, ...], plain: str) -> None:
    experiment = without(with_layers(*given), "gap head")
    assert layers(experiment) == plain
    with torch.no_grad():
        assert experiment.build().eval()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_a_pool_over_a_single_position_is_no_component() -> None:
    variations, skipped = list_variations(with_layers("conv 28x28 4", "gap", "linear 10"))
    assert "gap head" not in [variation.component for variation in variations]
    assert skipped == []


def test_a_component_that_cannot_be_removed_is_reported_and_skipped() -> None:
    wide = with_layers("conv 3x3 4, bn", "gap", "conv 3x3 10 pad=1")
    variations, skipped = list_variations(wide)
    assert "batch norm" in [variation.component for variation in variations]
    assert [item.component for item in skipped] == ["gap head"]
    assert "conv 3x3 10 pad=1" in skipped[0].why


def test_onecycle_has_no_separate_warm_up() -> None:
    full = with_layers("gap", "linear 10", schedule={"name": "onecycle"})
    assert "warm-up" not in [variation.component for variation in list_variations(full)[0]]
    assert without(full, "schedule").recipe.schedule.model_dump() == {"name": "constant", "warmup": 0.0}


def test_a_constant_rate_keeps_the_warm_up_which_is_a_separate_component() -> None:
    full = load("under-8k")
    assert without(full, "schedule").recipe.schedule.model_dump() == {"name": "constant", "warmup": 0.2}
    plain = without(full, "warm-up").recipe.schedule
    assert plain.model_dump() == {**full.recipe.schedule.model_dump(), "warmup": 0.0}


def test_without_its_teacher_a_network_learns_the_labels(tmp_path: Path) -> None:
    teacher = write_teacher(tmp_path / "a.npz", p_train=random_shares(6))
    full = load("under-8k", [f"recipe.teacher={teacher}"])
    assert without(full, "teacher").fingerprint == load("under-8k").fingerprint


RECIPES = st.fixed_dictionaries(
    {},
    optional={
        "ema": st.sampled_from([0.5, 0.99]),
        "label_smoothing": st.sampled_from([0.0, 0.1]),
        "augment": st.sampled_from([{}, {"rotate": 5.0}, {"jitter": {"contrast": 0.1}}, {"interpolation": "nearest"}]),
        "schedule": st.sampled_from(
            [{"name": "constant", "warmup": 0.1}, {"name": "step", "every": 2, "gamma": 0.5}, {"name": "cosine"}]
        ),
        "optimizer": st.sampled_from(
            [
                {"name": "sgd", "lr": 0.1},
                {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
                {"name": "adamw", "lr": 0.1},
                {"name": "adam", "lr": 0.1},
            ]
        ),
    },
)
BLOCKS = st.lists(
    st.sampled_from(["conv 3x3 4, bn, relu", "conv 1x1 3, relu", "bn", "dropout 0.1", "dropout 0.0", "maxpool 2"]),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(RECIPES, BLOCKS, st.sampled_from([["gap", "linear 10"], ["conv 1x1 10", "gap"], ["flatten", "linear 10"]]))
def test_the_variations_of_any_recipe_differ_from_it_and_from_each_other(
    recipe: dict[str, object], body: list[str], head: list[str]
) -> None:
    full = with_layers(*body, *head, **recipe)
    variations, _ = list_variations(full)
    fingerprints = {variation.experiment.fingerprint for variation in variations}
    assert full.fingerprint not in fingerprints
    assert len(fingerprints) == len(variations)
    for variation in variations:
        further, _ = list_variations(variation.experiment)
        assert variation.component not in [other.component for other in further]
        assert variation.experiment.model_summary.layers[-1].output == (10,)


def test_only_the_recipe_of_a_python_module_is_varied(tmp_path: Path) -> None:
    file = world(tmp_path)
    (tmp_path / "model.py").write_text(
        "from torch import nn\nclass Net(nn.Sequential):\n"
        "    def __init__(self):\n        super().__init__(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    variations, _ = list_variations(load(file, ["network.python=model.py:Net"]))
    names = [variation.component for variation in variations]
    assert {"augmentation", "schedule", "weight averaging"} <= set(names)
    assert not {"batch norm", "dropout", "gap head"} & set(names)
    run = perform(variations[0].experiment, folders=Folders(runs=tmp_path / "runs"), compute=Compute(engine="torch"))
    assert (run.path / "model.py").is_file()


@pytest.fixture(scope="module")
def ablated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny experiment whose ablation was trained with two seeds."""
    folder = tmp_path_factory.mktemp("ablated")
    world(folder, epochs=1)
    out, err = command("ablate", "tiny.toml", "--seeds", "2", "--engine", "torch", cwd=folder)
    (folder / "printed").write_text(out)
    (folder / "told").write_text(err)
    return folder


COMPONENTS = {
    "batch norm", "dropout", "gap head", "augmentation", "schedule", "warm-up", "weight averaging",
    "momentum", "nesterov",
}  # fmt: skip


def ablation_table(out: str) -> list[str]:
    """The lines of the result, without those of the trainings before it."""
    lines = out.splitlines()
    last = max((index for index, line in enumerate(lines) if line.endswith(" ✓")), default=-1)  # of the last epoch
    return "\n".join(lines[last + 1 :]).strip().splitlines()


def test_the_command_prints_the_plan_and_a_table(ablated: Path) -> None:
    out, err = (ablated / "printed").read_text(), (ablated / "told").read_text()
    name = f"{ablated.name}/tiny"
    assert err.startswith(f"{name}: 0 of 20 runs finished, 20 to train;")
    for component in COMPONENTS:
        assert re.search(rf"^{component} ", out, re.MULTILINE), out
    table = ablation_table(out)
    assert max(map(len, table[:-1])) <= 80
    assert out.splitlines()[-1].endswith(f"runs/{ablated.name}/tiny-ablation.md")


def test_nothing_is_trained_twice(ablated: Path) -> None:
    out, err = command("ablate", "tiny.toml", "--seeds", "2", "--engine", "torch", cwd=ablated)
    assert err == f"{ablated.name}/tiny: 20 of 20 runs finished, nothing left to train\n"
    assert ablation_table(out) == ablation_table((ablated / "printed").read_text())


def test_runs_of_variations_are_beside_the_full_experiment_which_is_their_parent(ablated: Path) -> None:
    full = load(ablated / "tiny.toml")
    folders = {path.name for path in (ablated / "runs" / ablated.name).iterdir() if path.is_dir()}
    assert len(folders) == len(COMPONENTS) + 1
    (run,) = (ablated / "runs").glob("*/tiny-without-dropout-*/seed-1")
    variation = Run(run).experiment
    assert variation.parent is not None
    assert variation.parent.fingerprint == full.fingerprint
    assert changed_components(variation.parent, variation) == ("dropout",)


def test_the_table_is_sorted_by_the_loss_of_accuracy(ablated: Path) -> None:
    full = load(ablated / "tiny.toml")
    ablation = measure_ablation(Seeds.of(full, ablated / "runs"), ablated / "runs")
    effects = [removal.effect.mean for removal in ablation.removals if removal.effect]
    assert effects == sorted(effects)
    assert len(effects) == len(COMPONENTS)
    page = (ablated / "runs" / ablated.name / "tiny-ablation.md").read_text()
    assert page == ablation_markdown(ablation)
    rows = [line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| ")]
    assert rows[3:] == [removal.component for removal in ablation.removals]
    for sentence in ablation_sentences(ablation):
        assert re.search(r"\d", sentence), sentence


def test_a_variation_that_diverges_is_a_result(ablated: Path, tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    shutil.copytree(ablated / "runs", runs_dir)
    full = load(ablated / "tiny.toml")
    variations, _ = list_variations(full)
    with pytest.raises(TrainingDivergedError):
        perform(
            load(ablated / "tiny.toml", ["recipe.optimizer.lr=1e30"]), folders=Folders(runs=tmp_path / "other"),
            compute=Compute(engine="torch"),
        )  # fmt: skip
    (diverged,) = (tmp_path / "other").glob("*/*/seed-0")
    without_norm = next(variation for variation in variations if variation.component == "batch norm")
    for seed in range(2):
        shutil.rmtree(Run.of(without_norm.experiment, seed, runs_dir).path)
        shutil.copytree(diverged, Run.of(without_norm.experiment, seed, runs_dir).path)
    ablation = measure_ablation(Seeds.of(full, runs_dir), runs_dir)
    assert ablation.removals[0].component == "batch norm"
    assert ablation.removals[0].effect is None
    text = ablation_markdown(ablation)
    assert "Without batch norm, 2 of 2 seeds diverged." in text
    assert "| 2, 2 diverged | 0 of 2 (0–66 %) |" in text


def test_a_recipe_without_components_is_refused(tmp_path: Path) -> None:
    world(tmp_path)
    (tmp_path / "bare.toml").write_text(
        'title = "Bare"\n[network]\nlayers = ["flatten, linear 10"]\n[recipe]\ndataset = "./letters"\n'
        'optimizer = { name = "sgd", lr = 0.1 }\n'
    )
    with pytest.raises(DrilldownError, match="no component"):
        command("ablate", "bare.toml", cwd=tmp_path)
    assert not (tmp_path / "runs").exists()


def test_components_inside_of_tables_are_removed() -> None:
    body = ["conv 3x3 4 pad=same expand=2, bn, relu", {"skip": ["se 2, dropout 0.1"]}]
    full = load(
        {
            "title": "Given",
            "network": {"layers": ["conv 3x3 4, gn 2", {"skip": body}, "ln, gap, linear 10"]},
            "recipe": {"dataset": "glyphs"},
        }
    )
    expected: dict[str, list[object]] = {
        "batch norm": ["conv 3x3 4, gn 2", {"skip": ["conv 3x3 4 pad=1 expand=2, relu", body[1]]}],
        "group norm": ["conv 3x3 4", {"skip": ["conv 3x3 4 pad=1 expand=2, bn, relu", body[1]]}],
        "skip connections": ["conv 3x3 4, gn 2", "conv 3x3 4 pad=1 expand=2, bn, relu", "se 2, dropout 0.1"],
        "squeeze and excitation": [
            "conv 3x3 4, gn 2",
            {"skip": ["conv 3x3 4 pad=1 expand=2, bn, relu", {"skip": ["dropout 0.1"]}]},
        ],
        "expansion": ["conv 3x3 4, gn 2", {"skip": ["conv 3x3 4 pad=1, bn, relu", body[1]]}],
        "dropout": ["conv 3x3 4, gn 2", {"skip": ["conv 3x3 4 pad=1 expand=2, bn, relu", {"skip": ["se 2"]}]}],
    }
    variations, _ = list_variations(full)
    found = {variation.component: variation.experiment for variation in variations}
    for component, blocks in expected.items():
        assert list(found[component].network.layers or ())[:-1] == blocks, component
    assert found["layer norm"].network.layers is not None
    assert found["layer norm"].network.layers[-1] == "gap, linear 10"
    assert found["gap head"].network.layers is not None
    assert found["gap head"].network.layers[-1] == "ln, flatten, linear 10"
    for component in (
        "batch norm",
        "group norm",
        "layer norm",
        "skip connections",
        "squeeze and excitation",
        "dropout",
    ):
        assert changed_components(full, found[component]) == (component,)


def test_a_gap_inside_of_a_table_is_not_removed() -> None:
    full = load(
        {
            "title": "Given",
            "network": {"layers": ["conv 3x3 10", {"repeat": 1, "shared": True, "layers": ["gap"]}]},
            "recipe": {"dataset": "glyphs"},
        }
    )
    _, skipped = list_variations(full)
    assert [(one.component, one.why) for one in skipped] == [("gap head", "the last gap is inside of a table")]
