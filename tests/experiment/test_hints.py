"""Hints for people who know the words of other libraries."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from drilldown.errors import DrilldownError
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.hints import setting_called
from drilldown.experiment.loading import read_experiment
from support.experiments import PLAIN


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("epochs", "recipe.epochs"),
        ("Batch-Size", "recipe.batch_size"),
        ("lr", "recipe.optimizer.lr"),
        ("momentum", "recipe.optimizer.momentum"),
        ("gamma", "recipe.schedule.gamma"),
        ("rotate", "recipe.augment.rotate"),
        ("brightness", None),
        ("accuracy", "budget.accuracy"),
        ("layers", "network.layers"),
        ("max_lr", "recipe.optimizer.lr"),
        ("pct_start", "recipe.schedule.warmup"),
        ("colour", None),
    ],
)
def test_a_key_has_its_place(key: str, place: str | None) -> None:
    assert setting_called(key) == place


def test_every_hinted_place_exists() -> None:
    from drilldown.experiment import hints
    from drilldown.experiment.problems import tables_of

    for place in {*hints._OTHER_WORDS.values(), *hints._TRANSFORM_WORDS, *hints._places().values()}:
        models: list[type[BaseModel]] = [Experiment]
        for key in place.split("."):
            fields = [model.model_fields[key] for model in models if key in model.model_fields]
            assert fields, place
            models = [table for field in fields for table in tables_of(field.annotation)]


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("epochs=3", "did you mean --set recipe.epochs=3?"),
        ("lr=0.1", "did you mean --set recipe.optimizer.lr=0.1?"),
        ("optimizer.lr=0.1", "did you mean --set recipe.optimizer.lr=0.1?"),
        ("recipe.lr=0.1", "it is a setting of the optimizer: recipe.optimizer.lr"),
        ("recipe.accuracy=99", "it is a setting of [budget]: budget.accuracy"),
        ("budget.batch_size=3", "it is a setting of [recipe]: recipe.batch_size"),
        ("recipe.schedule.pct_start=0.2", "it is a setting of the schedule: recipe.schedule.warmup"),
        ("recipe.schedule.div_factor=10", "it is a setting of the schedule: recipe.schedule.div"),
        ("recipe.schedule.T_0=5", "it is a setting of the schedule: recipe.schedule.period"),
        ("recipe.schedule.milestones=[5, 9]", "it is a setting of the schedule: recipe.schedule.at"),
        ("recipe.optimizer.epsilon=1e-7", "it is a setting of the optimizer: recipe.optimizer.eps"),
        ("recipe.l1_lambda=1e-4", "it is a setting of [recipe]: recipe.l1"),
        ("recipe.augment.RandomErasing=0.1", "here it is recipe.augment.erase"),
        ("recipe.augment.translate=0.1", "here it is recipe.augment.affine.translate"),
        ("recipe.augment.color_jitter=0.1", "here it is recipe.augment.jitter"),
        ("recipe.augment={ erase = { scale = [0.1, 0.2] } }", "here it is recipe.augment.erase.area"),
        (
            "recipe.augment={ perspective = { distortion_scale = 0.2 } }",
            "here it is recipe.augment.perspective.distortion",
        ),
        ("recipe.augment.fade=0.3", "as in rotate = { degrees = 7, fade = 0.5 }"),
        ("recipe.augment.affine.translate=[-0.1, 0.1]", "as in [0.1, 0.1]"),
        ('recipe.schedule={ name = "StepLR" }', 'did you mean "step"?'),
        ('recipe.schedule={ name = "ReduceLROnPlateau" }', 'did you mean "plateau"?'),
        ('recipe.schedule="MultiStepLR"', 'recipe.schedule = { name = "multistep", … }'),
        ('recipe.optimizer={ name = "RMSProp", lr = 0.01 }', 'did you mean "rmsprop"?'),
        ("recipe.optimizer.lr=0,01", "write a decimal point: 0.01"),
        ('recipe.epochs="5"', "write it without quotation marks: 5"),
    ],
)
def test_a_setting_in_the_wrong_place_gets_the_right_one(write, override, hint):
    with pytest.raises(DrilldownError) as caught:
        read_experiment(write("a.toml", PLAIN), [override])
    assert str(caught.value).endswith(hint)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('title = "a"\ntitle = "b"\n', 'a.toml:2: "title" is given twice, first in line 1; remove one of them'),
        (
            'title = "a"\n[recipe]\nepochs = 1\n# no\nepochs = 2\n',
            'a.toml:5: "epochs" is given twice, first in line 3; remove one of them',
        ),
        (
            "[recipe]\nepochs = 1\n[budget]\nepochs = 3\n[recipe]\nepochs = 2\n",
            "a.toml:5: [recipe] is given twice, first in line 1; put all its keys under one header",
        ),
        ("[recipe]\noptimizer.lr = 0,01\n", "write a decimal point: 0.01"),
        ("[recipe]\noptimizer = { lr = 0,01 }\n", "write a decimal point: 0.01"),
        ("[recipe]\noptimizer = { lr = 0,01, momentum = 0.9 }\n", "write a decimal point: 0.01"),
        ("[budget]\nparameters = 8,000,000\n", "write 8_000_000"),
        ("[budget]\nparameters = 8,000 # most\n", "write 8_000, or a decimal point: 8.000"),
        ("[recipe]\nepochs = five # 1,2\n", 'put a text in quotation marks: "five # 1,2"'),
        ('"" = 1\n"" = 2\n', 'a.toml:2: "" is given twice, first in line 1; remove one of them'),
        ('[recipe]\ndataset = "C:\\Users\\me"\n', "or use / in paths"),
        ("title = Norm\n", 'put a text in quotation marks: "Norm"'),
    ],
)
def test_a_common_mistake_in_toml_is_explained(write, text, message):
    with pytest.raises(DrilldownError) as caught:
        read_experiment(write("a.toml", text))
    assert str(caught.value).endswith(message)
    assert "\n" not in str(caught.value)
