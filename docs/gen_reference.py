"""The reference pages' tables, taken from the definitions that drilldown itself uses, so that they cannot drift.

A hook of MkDocs: a line `<!-- generated: commands -->` in a page is replaced by what `GENERATED["commands"]` returns.
"""

from __future__ import annotations

import inspect
import json
import re
import runpy
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer.main

# The only place that names drilldown's modules.
import drilldown
from drilldown.__main__ import READER_GONE
from drilldown.cli.app import app
from drilldown.cli.options import BUDGET_NOT_MET
from drilldown.errors import DrilldownError, TrainingDivergedError
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.loading import INHERITED
from drilldown.network.layers import LAYERS, Layer
from drilldown.search.tables import KINDS, SearchSettings

ROOT = Path(__file__).parents[1]
MARK = "<!-- generated: {} -->"
Schema = dict[str, Any]
ORDER = {"name": 0, "p": 2, "fade": 2}
"""The keys that come first and last in their tables."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs calls this for each page before it converts the Markdown to HTML."""
    for name, generate in GENERATED.items():
        if MARK.format(name) in markdown:
            markdown = markdown.replace(MARK.format(name), generate())
    return re.sub(MARK.format(r"summary (\S+)"), lambda match: summary(match[1]), markdown)


def summary(experiment: str) -> str:
    """The layers of an experiment that have a price or a window, as `drilldown summary` lists them."""
    table = drilldown.load(experiment).model_summary
    rows = [
        [f"`{row.layer}`", "×".join(map(str, row.output)), f"{row.parameters:,}", f"{row.multiply_adds:,}",
         str(row.receptive_field)]
        for row in table.layers if row.layer not in ("relu", "flatten")
    ]  # fmt: skip
    rows.append(["**total**", "", f"**{table.parameters:,}**", f"**{table.multiply_adds:,}**", ""])
    return "\n".join(_table(["layer", "output", "parameters", "multiply-adds", "receptive field"], rows))


def commands() -> str:
    """A section for each command, with its usage, arguments and options."""
    return "\n".join(line for name, command in command_line().commands.items() for line in _command(name, command))


def command_line() -> Any:
    """The command line as typer's group of commands."""
    return typer.main.get_command(app)


def _command(name: str, command: Any) -> Iterator[str]:
    usage = " ".join(_usage(parameter) for parameter in command.params)
    yield from [
        f"## drilldown {name} {{#{name.replace(' ', '-')}}}",
        "",
        "```text",
        f"drilldown {name} {usage}".rstrip(),
        "```",
        "",
    ]
    yield from [command.help, ""]
    arguments = [(_argument(p), p) for p in command.params if not _is_option(p)]
    options = [(_option(p), p) for p in command.params if _is_option(p)]
    for title, rows in (("argument", arguments), ("option", options)):
        if rows:
            yield from _table([title, "meaning", "default"], [[f"`{n}`", p.help or "", _default(p)] for n, p in rows])


def _is_option(parameter: Any) -> bool:
    return bool(parameter.opts[0].startswith("-"))


def _argument(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _option(parameter: Any) -> str:
    value = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
    return f"{parameter.opts[0]}{value}"


def _usage(parameter: Any) -> str:
    text = _option(parameter) if _is_option(parameter) else _argument(parameter)
    if not parameter.required:
        text = f"[{text}]"
    return f"{text}…" if parameter.multiple else text


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.default in (None, [], False):
        return ""
    return f"`{parameter.default}`"


def experiment_keys() -> str:
    """A section for each table of an experiment file, with types, defaults and the docstrings of its keys."""
    schema = Experiment.model_json_schema()
    lines = list(_section("the file itself", schema, schema, level=2))
    for key, value in schema["properties"].items():
        lines += _tables(f"[{key}]", value, schema, level=2)
    return "\n".join(lines)


def search_keys() -> str:
    """A section for `[search]` and for each kind of dimension in `[space]`."""
    schema = SearchSettings.model_json_schema()
    lines = list(_section("[search]", schema, schema, level=2))
    for key, value in schema["properties"].items():
        lines += _tables(f"search.{key}", value, schema, level=3)
    lines += ["## [space]", "", "Each key is the name of a dimension. Its value is one of these tables:", ""]
    for key, kind in KINDS.items():
        own = kind.model_json_schema()
        lines += _section(f"[space]: {key}", own, own, level=3)
    return "\n".join(lines)


def inherited_tables() -> str:
    """The tables that `extends` hands down."""
    return ", ".join(f"`[{table}]`" for table in INHERITED)


def _tables(label: str, value: Schema, root: Schema, level: int) -> Iterator[str]:
    """The sections of a key whose value is a table or one of several tables."""
    tables = [_resolve(choice, root) for choice in _choices(value) if "$ref" in choice]
    if len(tables) > 1:  # one of several, chosen by its name
        yield from [f"{'#' * level} {label}", "", "The key `name` chooses one of these:", ""]
        for table in tables:
            name = table["properties"]["name"]["const"]
            yield from _section(f'{label}: name = "{name}"', table, root, level + 1)
    elif tables:
        yield from _section(label, tables[0], root, level)
        for key, inner in tables[0]["properties"].items():
            yield from _tables(f"{label.strip('[]')}.{key}", inner, root, level + 1)


def _section(label: str, table: Schema, root: Schema, level: int) -> Iterator[str]:
    yield from [f"{'#' * level} {label}", ""]
    description = table.get("description", "").partition("\n>>>")[0].replace("*Source*:", "Source:")
    yield from [description.strip(), ""]
    rows = []
    for key, value in sorted(table["properties"].items(), key=lambda item: ORDER.get(item[0], 1)):
        if any("$ref" in choice for choice in _choices(value)):
            described = value.get("description", "") or "A table, described below."
        else:
            described = value.get("description", "")
        default = "required" if key in table.get("required", []) else _literal(value.get("default"), value)
        rows.append([f"`{key}`", _type(value, root), default, described])
    yield from _table(["key", "type", "default", "meaning"], rows)


def _resolve(value: Schema, root: Schema) -> Schema:
    reference = value.get("$ref")
    return root["$defs"][reference.rpartition("/")[2]] if reference else value


def _choices(value: Schema) -> list[Schema]:
    """The alternatives of a value; none of them is null."""
    listed = value.get("anyOf") or value.get("oneOf") or value.get("allOf") or [value]
    return [choice for choice in listed if choice.get("type") != "null"]


def _type(value: Schema, root: Schema) -> str:
    types = []
    for choice in _choices(value):
        table = _resolve(choice, root) if "$ref" in choice else {}
        if "main" in table:  # the value of this setting can stand in place of the table
            types.append(_type(table["properties"][table["main"]], root))
        types.append("table" if table else _plain_type(choice, root))
    return " or ".join(dict.fromkeys(types))


def _plain_type(value: Schema, root: Schema) -> str:
    if "const" in value:
        return f'`"{value["const"]}"`'
    if not value.keys() & {"enum", "type"}:
        return "anything"
    if "enum" in value:
        return "one of " + ", ".join(f'`"{choice}"`' for choice in value["enum"])
    if value["type"] == "array":
        if "prefixItems" in value:
            return f"list of {len(value['prefixItems'])}: {_type(value['prefixItems'][0], root)}"
        return f"list: {_type(value['items'], root)}"
    names = {
        "integer": "whole number", "number": "number", "string": "string", "boolean": "true or false",
        "object": "table",
    }  # fmt: skip
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    said = [f"{sign} {value[key]:,}" for key, sign in limits.items() if key in value]
    return ", ".join([names[value["type"]], *said])


def _literal(default: Any, value: Schema) -> str:
    """A default as one writes it in TOML; nothing where a key is off without it."""
    if default is None or default == "":
        return ""
    if isinstance(default, dict):
        assert "name" not in default or any("$ref" in choice for choice in _choices(value))
        given = {key: item for key, item in default.items() if item not in (False, 0.0)}
        return f"`{{ {', '.join(f'{key} = {json.dumps(item)}' for key, item in given.items())} }}`" if given else "`{}`"
    return f"`{json.dumps(default, ensure_ascii=False)}`"


def layers() -> str:
    """The layers of the block notation."""
    rows = [
        [f"`{kind.usage}`", _description(kind), "yes" if kind.parameters is not Layer.parameters else "no"]
        for kind in LAYERS.values()
    ]
    return "\n".join(_table(["layer", "meaning", "has parameters"], rows))


def _description(kind: type[Layer]) -> str:
    """A layer's docstring without its source and examples."""
    text = re.split(r"\n\s*(?:\*Source\*|>>>)", inspect.cleandoc(kind.__doc__ or ""))[0]
    return " ".join(text.split())


def python() -> str:
    """A directive of mkdocstrings for each public name; of a module, its own functions."""
    lines = []
    for name in sorted(drilldown.__all__, key=str.lower):
        lines += [f"::: drilldown.{name}", ""]
        module = getattr(drilldown, name)
        if inspect.ismodule(module):
            functions = inspect.getmembers(module, inspect.isfunction)
            own = [f for f, value in functions if value.__module__ == module.__name__ and not f.startswith("_")]
            lines[-1:] = ["    options:", f"      members: [{', '.join(own)}]", ""]
    return "\n".join(lines)


def public_names() -> str:
    """The table of public names that the package's own docstring holds."""
    rows = [line for line in (drilldown.__doc__ or "").splitlines() if line.startswith("|")]
    return "\n".join(rows)


def exit_codes() -> str:
    """What each exit code says."""
    return "\n".join(
        _table(
            ["code", "meaning"],
            [
                ["0", "The command did what it was asked to do."],
                ["1", "Internal error: a bug in drilldown. `--debug` shows the traceback."],
                [str(DrilldownError.exit_code), "A mistake in a file, a value or the command; the message says where."],
                [
                    str(BUDGET_NOT_MET),
                    "The budget is not met (`drilldown verdict`, `drilldown run --check`), or an exported file failed "
                    "its check (`drilldown export`). No other command uses this code.",
                ],
                [str(TrainingDivergedError.exit_code), "Training diverged: the loss is no longer a finite number."],
                [str(128 + signal.SIGINT), "Ctrl-C interrupted the command. Every finished epoch is saved."],
                [str(READER_GONE), "The program that reads the output ended first, as in `drilldown runs | head`."],
                [str(128 + signal.SIGTERM), "SIGTERM ended the command. Every finished epoch is saved."],
            ],
        )
    )


RUN_FOLDER = {
    "experiment.toml": "The experiment, resolved: every value that `extends` or `--set` gave is written out.",
    "parent.toml": "The experiment that it extends, resolved. Only where there is one.",
    "model.py": "A copy of the file of your own network, under its own name, and of the Python files that it imports "
    "from its folder. Only where there is one.",
    "state.safetensors": "Weights, optimizer buffers, averages and the records of all epochs. A resumed run reads it.",
    "epochs.jsonl": "One line of JSON for each epoch: loss, counts, learning rate, seconds.",
    "train.log": "The same as plain text.",
    "weights.safetensors": "The trained model that was judged.",
    "predictions.safetensors": "The logits of this model for all test images.",
    "summary.json": "The result: accuracy, counts, parameters, seconds, versions, verdict. It ends the run.",
    "audit.json": "The accuracy on QMNIST's further test images. Only after `drilldown audit`.",
    "export/": "The exported files; `export.json` says how each was judged. Only after `drilldown export`.",
    "diverged.json": "The reason why training diverged. Only then.",
    "report.html": "The report as one file.",
    "report.md": "The report as Markdown, with its pictures in `figures/`.",
    ".lock": "Held by the process that trains the run, so that no second process does.",
}
"""tests/test_docs.py compares these names with the folder of a real run."""


def run_folder() -> str:
    """The files of a run."""
    return "\n".join(_table(["file", "content"], [[f"`{name}`", content] for name, content in RUN_FOLDER.items()]))


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield from ["", f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for row in rows:
        yield f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def contributing() -> str:
    """CONTRIBUTING.md; links to files of the repository become plain text, since the site does not hold them."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    return re.sub(r"\[([^\]]+)\]\((?!http|#)([^)]+)\)", r"\1 (`\2`)", text)


def times() -> str:
    """The table of seconds per epoch, as `benchmarks/machines.py` measured them."""
    lines = [json.loads(line) for line in (ROOT / "benchmarks" / "machines.jsonl").read_text("utf-8").splitlines()]
    rows = [
        [f"{line['processor']}, {line['cores']} cores, {line['vectors']}", f"`{experiment}`", setting,
         f"{seconds:.2f}", f"{15 * seconds:.0f} s", line["date"]]
        for line in lines for experiment, measured in line["seconds"].items() for setting, seconds in measured.items()
    ]  # fmt: skip
    heads = ["machine", "experiment", "engine", "seconds per epoch", "15 epochs", "measured"]
    return "\n".join(_table(heads, rows))


def export_figures() -> str:
    """The table about the export, as `benchmarks/export.py` measured it."""
    made = runpy.run_path(str(ROOT / "benchmarks" / "export_table.py"))
    return f"\n{made['table'](made['read_lines']())}"


GENERATED: dict[str, Callable[[], str]] = {
    "commands": commands,
    "contributing": contributing,
    "experiment keys": experiment_keys,
    "export figures": export_figures,
    "inherited tables": inherited_tables,
    "layers": layers,
    "public names": public_names,
    "python": python,
    "run folder": run_folder,
    "search keys": search_keys,
    "exit codes": exit_codes,
    "times": times,
}
