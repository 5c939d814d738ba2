"""Hints for people who know the words of other libraries, or forget where a setting belongs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import get_args

from pydantic import BaseModel

from drilldown.errors import did_you_mean
from drilldown.experiment.budget import Budget
from drilldown.experiment.network import Network
from drilldown.experiment.recipe import Recipe

_TABLES: dict[str, type[BaseModel]] = {"recipe": Recipe, "budget": Budget, "network": Network}
_CHOSEN = ("optimizer", "schedule", "augment")
"""The keys of a recipe whose values are tables."""
_OTHER_WORDS = {
    "learning_rate": "recipe.optimizer.lr",
    "max_lr": "recipe.optimizer.lr",
    "batch": "recipe.batch_size",
    "bs": "recipe.batch_size",
    "num_epochs": "recipe.epochs",
    "n_epochs": "recipe.epochs",
    "max_epochs": "recipe.epochs",
    "data": "recipe.dataset",
    "smoothing": "recipe.label_smoothing",
    "val_split": "recipe.holdout",
    "validation": "recipe.holdout",
    "valid": "recipe.holdout",
    "wd": "recipe.optimizer.weight_decay",
    "decay": "recipe.optimizer.weight_decay",
    "pct_start": "recipe.schedule.warmup",
    "warmup_steps": "recipe.schedule.warmup",
    "warmup_epochs": "recipe.schedule.warmup",
    "step_size": "recipe.schedule.every",
    "milestones": "recipe.schedule.at",
    "div_factor": "recipe.schedule.div",
    "final_div_factor": "recipe.schedule.final_div",
    "t_0": "recipe.schedule.period",
    "t_mult": "recipe.schedule.multiplier",
    "t_max": "recipe.schedule.finish",
    "min_lr": "recipe.schedule.floor",
    "eta_min": "recipe.schedule.floor",
    "rho": "recipe.optimizer.alpha",
    "beta1": "recipe.optimizer.betas",
    "beta2": "recipe.optimizer.betas",
    "beta_1": "recipe.optimizer.betas",
    "beta_2": "recipe.optimizer.betas",
    "epsilon": "recipe.optimizer.eps",
    "base_lr": "recipe.optimizer.lr",
    "initial_lr": "recipe.optimizer.lr",
    "l1_lambda": "recipe.l1",
    "lambda_l1": "recipe.l1",
    "l1_penalty": "recipe.l1",
    "degrees": "recipe.augment.rotate",
    "rotation": "recipe.augment.rotate",
    "params": "budget.parameters",
    "max_parameters": "budget.parameters",
    "acc": "budget.accuracy",
    "target_accuracy": "budget.accuracy",
}
"""Words of other libraries, and the setting that they stand for here."""
_TRANSFORM_WORDS = {
    "recipe.augment.crop": ("centercrop", "resizedcrop", "randomresizedcrop"),
    "recipe.augment.flip": ("hflip", "vflip", "horizontalflip", "verticalflip", "mirror"),
    "recipe.augment.rotate": ("degrees", "rotation", "rotationrange"),
    "recipe.augment.affine": ("shiftscalerotate",),
    "recipe.augment.affine.translate": ("translate", "widthshiftrange", "heightshiftrange"),
    "recipe.augment.affine.scale": ("scale", "zoomrange"),
    "recipe.augment.affine.shear": ("shear", "shearrange"),
    "recipe.augment.perspective.distortion": ("distortionscale",),
    "recipe.augment.elastic": ("elastictransform",),
    "recipe.augment.jitter": ("colorjitter",),
    "recipe.augment.jitter.brightness": ("brightness", "brightnessrange"),
    "recipe.augment.jitter.contrast": ("contrast",),
    "recipe.augment.erase": ("erasing", "cutout", "coarsedropout"),
    "recipe.augment.erase.area": ("erase.scale",),
}
"""Settings of the augmentation, and the words of other libraries for them, without underscores and `random`."""
_CHOICES = {
    "constant": ("constantlr", "none", "fixed"),
    "step": ("steplr",),
    "multistep": ("multisteplr", "piecewiseconstant", "piecewiseconstantdecay"),
    "exponential": ("exponentiallr", "exponentialdecay"),
    "plateau": ("reducelronplateau", "reduceonplateau"),
    "cosine": ("cosineannealinglr", "cosineannealing", "cosinedecay"),
    "restarts": ("cosineannealingwarmrestarts", "warmrestarts", "cosinedecayrestarts", "sgdr"),
    "onecycle": ("onecyclelr", "onecyclepolicy", "1cycle"),
    "sgd": ("momentum", "nesterov"),
}
"""The names of schedules and optimizers, and the names that other libraries give to them, without underscores."""


def setting_called(key: str) -> str | None:
    """The whole name of the setting that a key stands for; None where nothing fits.

    >>> setting_called("lr"), setting_called("epochs"), setting_called("max_lr")
    ('recipe.optimizer.lr', 'recipe.epochs', 'recipe.optimizer.lr')
    """
    word = key.lower().replace("-", "_")
    return _places().get(word) or _OTHER_WORDS.get(word)


def setting_hint(key_path: Sequence[str | int]) -> str | None:
    """A suggestion for an unknown key: its place, where it is a setting of another table.

    >>> setting_hint(("recipe", "lr"))
    'it is a setting of the optimizer: recipe.optimizer.lr'
    """
    if tuple(key_path[:2]) == ("recipe", "augment"):
        return _transform_hint(key_path)
    place = setting_called(str(key_path[-1]))
    if place is None or place == ".".join(map(str, key_path)):
        return None
    table = place.split(".")[-2]
    of = f"the {table}" if table in _CHOSEN else f"[{table}]"
    return f"it is a setting of {of}: {place}"


def _transform_hint(key_path: Sequence[str | int]) -> str | None:
    """A suggestion for an unknown key of the augmentation."""
    word = _plain(str(key_path[-1]))
    if len(key_path) == 3 and word in ("p", "fade"):
        return f"it is a setting of each transform, as in rotate = {{ degrees = 7, {word} = 0.5 }}"
    words = {word, word.removeprefix("random"), f"{key_path[-2]}.{word}"}
    place = next((place for place in reversed(_TRANSFORM_WORDS) if words & {*_TRANSFORM_WORDS[place]}), None)
    return None if place is None or place == ".".join(map(str, key_path)) else f"here it is {place}"


def choice_called(name: str) -> str | None:
    """The schedule or optimizer that other libraries call by this name.

    >>> choice_called("StepLR"), choice_called("CosineAnnealingWarmRestarts"), choice_called("stepp")
    ('step', 'restarts', None)
    """
    return next((choice for choice, others in _CHOICES.items() if _plain(name) in others), None)


def suggest_choice(name: str, choices: Sequence[str]) -> str | None:
    """A suggestion for an unknown name of a schedule or an optimizer."""
    called = choice_called(name)
    return f'did you mean "{called}"?' if called in choices else did_you_mean(name, choices)


def _plain(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())


def _places() -> dict[str, str]:
    """The whole name of each setting by its last key; the first place counts where there are several."""
    found: dict[str, str] = {}
    for table, model in _TABLES.items():
        for key in model.model_fields:
            found.setdefault(key, f"{table}.{key}")
    for chosen in _CHOSEN:
        for inner in _models(Recipe.model_fields[chosen].annotation):
            for key in inner.model_fields:
                if key != "name":
                    found.setdefault(key, f"recipe.{chosen}.{key}")
    return found


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def number_hint(text: str) -> str | None:
    """Suggests the TOML number for a number with commas, or between quotation marks.

    >>> number_hint("0,01"), number_hint("8,000,000"), number_hint("5")
    ('write a decimal point: 0.01', 'write 8_000_000', 'write it without quotation marks: 5')
    """
    if re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+", text):
        other = "" if text.count(",") > 1 else f", or a decimal point: {text.replace(',', '.')}"
        return f"write {text.replace(',', '_')}{other}"
    if re.fullmatch(r"[-+]?\d+,\d+", text):
        return f"write a decimal point: {text.replace(',', '.')}"
    if re.fullmatch(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", text):
        return f"write it without quotation marks: {text}"
    return None


_KEY = re.compile(r"""\s*(?:"([^"\n]*)"|'([^'\n]*)'|([\w-]+(?:\s*\.\s*[\w-]+)*))\s*=""")
_HEADER = re.compile(r"\s*\[\[?\s*([^\]\n]+?)\s*\]")


def syntax_hint(text: str, line: int, reason: str) -> tuple[str | None, str | None]:
    """Explains a syntax error that people often make.

    *Arguments*: `text`: the document. `line`: where the parser stopped, counted from 1. `reason`: its own message.

    *Returns* a better description of the error, and a suggestion; None where there is none.
    """
    lines = text.split("\n")
    found = lines[line - 1] if 0 < line <= len(lines) else ""
    key = _KEY.match(found)
    if reason.startswith(("Cannot overwrite", "Cannot mutate immutable", "Duplicate")) and key:
        name = next(group for group in key.groups() if group is not None)
        first = _first_line(lines[: line - 1], name)
        return f'"{name}" is given twice' + (f", first in line {first}" if first else ""), "remove one of them"
    if reason.startswith("Cannot declare") and (header := _HEADER.match(found)):
        first = next((n for n, other in enumerate(lines[: line - 1], 1) if _is_header(other, header[1])), None)
        where = f", first in line {first}" if first else ""
        return f"[{header[1]}] is given twice{where}", "put all its keys under one header"
    value = found.partition("=")[2]
    inline = re.search(r"=\s*([-+]?\d+(?:,\d+)+)\s*(?:,\s*[A-Za-z\"']|\})", found)
    if hint := number_hint(inline[1] if inline else value.partition("#")[0].strip()):
        return None, hint
    if "\\" in value:
        return None, "a backslash begins an escape in a text like \"…\": write '…', or use / in paths"
    if key and value.strip() and not re.match(r"""["'\[{]|[-+\d]|true|false|inf|nan""", value.strip()):
        return None, f'put a text in quotation marks: "{value.strip()}"'
    return None, None


def _first_line(lines: Sequence[str], name: str) -> int | None:
    """The line of the same key in the same table, the last one before the error."""
    for number in range(len(lines), 0, -1):
        if _HEADER.match(lines[number - 1]) and "=" not in lines[number - 1]:
            return None
        key = _KEY.match(lines[number - 1])
        if key and name in key.groups():
            return number
    return None


def _is_header(line: str, name: str) -> bool:
    header = _HEADER.match(line)
    return header is not None and header[1] == name
