"""The blocks of a network: texts in the block notation, and tables that contain blocks.

A block is a text such as `"conv 3x3 10, bn, relu"`, or one of two tables: `{ skip = [blocks] }`, whose output is the
sum of its blocks' output and its input, and `{ repeat = N, shared = true, layers = [blocks] }`. The tables can contain
each other. Blocks are plain values, as TOML and JSON have them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from drilldown.errors import Problem, did_you_mean
from drilldown.network.layers import Layer, NotationError, parse_block

Block = str | dict[str, Any]
"""A text, or a table with the key `skip` or `repeat`."""
Path = tuple[str | int, ...]
"""The keys and indices of a block within another one."""
TABLES = '{ skip = ["conv 3x3 8 pad=same"] } or { repeat = 2, layers = ["conv 3x3 8"] }'
LARGEST_REPEAT = 1_000
MOST_LAYERS = 10_000
"""The largest number of layers of a network after all repetitions; drilldown is for tiny networks."""
DEEPEST = 10
"""The largest number of tables within tables."""


def canonical_block(block: object) -> Block:
    """Checks a block and returns it with the canonical text of its layers, and without what is at its default.

    *Raises* NotationError at the first part that is not valid.

    >>> canonical_block({"repeat": 2, "shared": False, "layers": ["conv 3x3 8 pad=same,bn"]})
    {'repeat': 2, 'layers': ['conv 3x3 8 pad=1, bn']}
    """
    return _canonical(block, ())


def _canonical(block: object, path: Path) -> Block:
    if isinstance(block, str):
        try:
            return ", ".join(map(str, parse_block(block)))
        except NotationError as error:
            raise NotationError(error.problem, path, block) from None
    if not isinstance(block, Mapping):
        raise NotationError(Problem(found=f"found {_shown(block)}", expected=f"a text, or a table: {TABLES}"), path)
    if sum(isinstance(key, str) for key in path) > DEEPEST:
        raise NotationError(Problem(found=f"more than {DEEPEST} tables within tables"), path)
    kind = "skip" if "skip" in block else "repeat" if "repeat" in block else None
    known = {"skip": ["skip"], "repeat": ["repeat", "shared", "layers"], None: ["skip", "repeat", "layers"]}[kind]
    for key in block:
        if key not in known:
            hint = did_you_mean(str(key), known)
            raise NotationError(
                Problem(found=f'unknown key "{key}"', expected=f"a table: {TABLES}", suggestion=hint), path
            )
    if kind is None:
        raise NotationError(Problem(found='no "skip" and no "repeat"', expected=f"a table: {TABLES}"), path)
    if kind == "skip":
        return {"skip": _inner(block, "skip", path)}
    times, shared = block["repeat"], block.get("shared", False)
    if type(times) is not int or not 1 <= times <= LARGEST_REPEAT:
        expected = f"a whole number from 1 to {LARGEST_REPEAT:,}"
        raise NotationError(Problem(found=f"found {_shown(times)}", expected=expected), (*path, "repeat"))
    if type(shared) is not bool:
        raise NotationError(Problem(found=f"found {_shown(shared)}", expected="true or false"), (*path, "shared"))
    return {"repeat": times, **({"shared": True} if shared else {}), "layers": _inner(block, "layers", path)}


def _inner(block: Mapping[str, object], key: str, path: Path) -> list[Block]:
    inner, path = block.get(key), (*path, key)
    if not isinstance(inner, list | tuple) or not inner:
        found = "is missing" if inner is None else "is empty" if inner in ([], ()) else f"found {_shown(inner)}"
        raise NotationError(Problem(found=found, expected='an array of blocks, such as ["conv 3x3 8, bn"]'), path)
    return [_canonical(value, (*path, index)) for index, value in enumerate(inner)]


def _shown(value: object) -> str:
    """A value as JSON has it, and TOML too where it has no tables."""
    return json.dumps(value, ensure_ascii=False, default=repr)


def inner_blocks(block: dict[str, Any]) -> list[Block]:
    """The blocks in a table; none where its value is not a list."""
    inner = block.get(_inner_key(block))
    return inner if isinstance(inner, list) else []


def _inner_key(block: dict[str, Any]) -> str:
    return "skip" if "skip" in block else "layers"


def texts_in(blocks: Sequence[object], path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yields all texts, also those in tables, with their keys and indices; the blocks need not be valid.

    >>> list(texts_in(["relu", {"skip": ["bn"]}]))
    [((0,), 'relu'), ((1, 'skip', 0), 'bn')]
    """
    for index, block in enumerate(blocks):
        if isinstance(block, str):
            yield (*path, index), block
        elif isinstance(block, dict):
            if isinstance(block.get("repeat"), str):  # a search has a name there
                yield (*path, index, "repeat"), block["repeat"]
            yield from texts_in(inner_blocks(block), (*path, index, _inner_key(block)))


def layers_in(blocks: Sequence[Block]) -> Iterator[Layer]:
    """Yields the layers of all blocks, also those in tables, as often as they are written.

    >>> [str(layer) for layer in layers_in(["conv 3x3 8", {"skip": ["bn, relu"]}])]
    ['conv 3x3 8', 'bn', 'relu']
    """
    for block in blocks:
        yield from parse_block(block) if isinstance(block, str) else layers_in(inner_blocks(block))


def count_layers(blocks: Sequence[Block]) -> int:
    """Counts the layers after all repetitions, without calculating them."""
    return sum(
        block.count(",") + 1 if isinstance(block, str) else block.get("repeat", 1) * count_layers(inner_blocks(block))
        for block in blocks
    )


def map_texts(blocks: Sequence[Block], change: Callable[[str], str | None]) -> tuple[Block, ...]:
    """Changes all texts, also those in tables; a text that becomes None is left out, and so is a table without blocks.

    >>> map_texts(["conv 3x3 8", {"skip": ["relu"]}], lambda text: None if text == "relu" else f"{text}, bn")
    ('conv 3x3 8, bn',)
    """
    changed: list[Block] = []
    for block in blocks:
        if isinstance(block, str):
            text = change(block)
            changed += [] if text is None else [text]
        elif inner := map_texts(inner_blocks(block), change):
            table = {**block, _inner_key(block): list(inner)}
            if isinstance(block.get("repeat"), str):
                number = change(block["repeat"]) or ""
                table["repeat"] = int(number) if number.isdecimal() else number
            changed.append(table)
    return tuple(changed)


def map_layers(blocks: Sequence[Block], change: Callable[[Layer], Layer | None]) -> tuple[Block, ...]:
    """Changes all layers, also those in tables; a layer that becomes None is left out.

    >>> map_layers(["bn, relu", {"skip": ["bn"]}], lambda layer: None if layer.word == "bn" else layer)
    ('relu',)
    """

    def changed(text: str) -> str | None:
        layers = [change(layer) for layer in parse_block(text)]
        return ", ".join(str(layer) for layer in layers if layer is not None) or None

    return map_texts(blocks, changed)


def network_text(blocks: Sequence[Block]) -> str:
    """One text for all blocks, for checksums: equal where the networks are equal, however they are grouped.

    >>> network_text(["conv 3x3 8, bn", "relu"]), network_text([{"repeat": 2, "layers": ["relu"]}])
    ('conv 3x3 8, bn, relu', 'relu, relu')
    """
    return ", ".join(map(_block_text, blocks))


def _block_text(block: Block) -> str:
    if isinstance(block, str):
        return block
    inner = network_text(inner_blocks(block))
    if "skip" in block:
        return f"skip[{inner}]"
    if block.get("shared"):
        return f"repeat {block['repeat']} shared[{inner}]"
    return ", ".join([inner] * block["repeat"])


def without_skips(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Puts the blocks of each `skip` in its place.

    >>> without_skips(["relu", {"skip": ["conv 3x3 8", {"skip": ["bn"]}]}])
    ('relu', 'conv 3x3 8', 'bn')
    """
    plain: list[Block] = []
    for block in blocks:
        if isinstance(block, str):
            plain.append(block)
        elif "skip" in block:
            plain += without_skips(block["skip"])
        else:
            plain.append({**block, "layers": list(without_skips(block["layers"]))})
    return tuple(plain)


def block_lines(blocks: Sequence[Block], indent: str = "") -> Iterator[str]:
    """Yields the blocks as lines for people: a line for each text, and tables with their blocks indented.

    >>> list(block_lines(["relu", {"repeat": 2, "shared": True, "layers": ["conv 3x3 8"]}]))
    ['relu', 'repeat 2, shared:', '  conv 3x3 8']
    """
    for block in blocks:
        if isinstance(block, str):
            yield indent + block
        else:
            shared = ", shared" if block.get("shared") else ""
            yield f"{indent}skip:" if "skip" in block else f"{indent}repeat {block['repeat']}{shared}:"
            yield from block_lines(inner_blocks(block), f"{indent}  ")
