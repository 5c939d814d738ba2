"""The line of each key and array item in a TOML document."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drilldown.experiment.toml_lines import line_of
from support.experiments import TEXT, toml


def test_the_line_is_found_for_each_notation_of_a_key():
    text = """\
title = "a"  # [recipe]
target = \"\"\"
[recipe]
epochs = 1
\"\"\"
remark = '''
x = ["'''

  [ recipe ]
# epochs = 1
epochs = 2
"quoted" = "epochs = 3"
'lite.ral' = 'epochs = 4'
dotted . deep = 5
array = [
  "one", # "not this"
  'two', "three = # ]",
  \"\"\"
  four\"\"\"\"\", 5,
  [6, "x"],
  { y = "z" },
  "last",
]
inline = { a = "]", b = [ "}" ] }
[recipe."sub.table"]
last = 1
"""
    expected = {
        ("title",): 1,
        ("target",): 2,
        ("remark",): 6,
        ("recipe",): 9,
        ("recipe", "epochs"): 11,
        ("recipe", "quoted"): 12,
        ("recipe", "lite.ral"): 13,
        ("recipe", "dotted", "deep"): 14,
        ("recipe", "array"): 15,
        ("recipe", "array", 0): 16,
        ("recipe", "array", 1): 17,
        ("recipe", "array", 2): 17,
        ("recipe", "array", 3): 18,
        ("recipe", "array", 4): 19,
        ("recipe", "array", 5): 20,
        ("recipe", "array", 6): 21,
        ("recipe", "array", 7): 22,
        ("recipe", "inline", "b", 0): 24,
        ("recipe", "sub.table"): 25,
        ("recipe", "sub.table", "last"): 26,
    }
    tomllib.loads(text)
    assert {key_path: line_of(text, key_path) for key_path in expected} == expected


def test_a_missing_key_has_the_line_of_the_nearest_table_above():
    text = "[recipe]\nepochs = 1\n[recipe.augment]\nrotate = 1\n"
    assert line_of(text, ("recipe", "missing")) == 1
    assert line_of(text, ("recipe", "augment", "affine", "shear")) == 3
    assert line_of(text, ("budget", "hold")) is None


QUOTED = st.text(st.sampled_from("ab =[]{}#,.'\"\\\n\tü"), max_size=8)
BARE = st.text(st.sampled_from("abz09_-"), min_size=1, max_size=4)


@st.composite
def strings(draw: st.DrawFn) -> str:
    """A string in one of TOML's four notations."""
    content = draw(QUOTED)
    basic = content.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    literal = content.replace("'", "")
    return draw(
        st.sampled_from(
            [
                '"' + basic.replace("\n", "\\n") + '"',
                '"""\n' + basic + '"""',
                '"""' + basic + '""' + '"""',  # two more quotation marks are part of the content
                "'" + literal.replace("\n", "") + "'",
                "'''\n" + literal + "'''",
            ]
        )
    )


SCALARS = strings() | st.sampled_from(
    ["1", "-2.5e3", "true", "1979-05-27T07:32:00Z", "1979-05-27 07:32:00", "0xff", "inf"]
)
COMMENT = QUOTED.map(lambda text: "#" + text.replace("\n", " "))
GAP = st.lists(st.sampled_from(["", " ", "\t", "\n"]) | COMMENT.map(lambda text: text + "\n"), max_size=2).map("".join)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[tuple[str | int, ...], int]]:
    """A TOML document, and the line of each key and array item in it."""
    text = ""
    lines: dict[tuple[str | int, ...], int] = {}

    def here(key_path: tuple[str | int, ...]) -> None:
        lines[key_path] = text.count("\n") + 1

    for number in range(draw(st.integers(1, 4))):
        table: tuple[str, ...] = ()
        if number:
            table = (f"t{number}", *draw(st.lists(BARE | QUOTED, max_size=2)))
            text += draw(st.sampled_from(["", "  "]))
            here(table)
            inside = draw(st.sampled_from([".", " . "])).join(_key(draw, part) for part in table)
            text += draw(st.sampled_from(["[{}]", "[ {} ]", "[{}] # ["])).format(inside) + "\n"
        for index in range(draw(st.integers(0, 4))):
            text += draw(st.sampled_from(["", "\n", "  ", "\t"]) | COMMENT.map(lambda comment: comment + "\n"))
            # The number makes the first part unique, so that no key appears twice.
            key = (f"k{index}{draw(BARE)}", *draw(st.lists(BARE | QUOTED, max_size=1)))
            here((*table, *key))
            text += ".".join(_key(draw, part) for part in key) + draw(st.sampled_from(["=", " = ", "\t= "]))
            kind = draw(st.sampled_from(["scalar", "array", "inline"]))
            if kind == "scalar":
                text += draw(SCALARS)
            elif kind == "array":
                text += "["
                for item in range(draw(st.integers(0, 4))):
                    text += draw(GAP)
                    here((*table, *key, item))
                    text += draw(SCALARS | st.sampled_from(['["x", 1]', "[]", '{ a = "]" }'])) + draw(GAP) + ","
                text += draw(GAP) + "]"
            else:
                here((*table, *key, "a"))
                text += f"{{ a = {draw(st.sampled_from(['1', chr(34) + '}' + chr(34), '[1, 2]']))}, 'b' = '=' }}"
            text += draw(st.sampled_from(["\n", " # a = [\n", "  \n\n"]))
    return text, lines


def _key(draw: st.DrawFn, part: str) -> str:
    """A part of a key, in quotation marks where they are necessary."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", part) and draw(st.booleans()):
        return part
    return toml(part)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents())
def test_the_line_of_every_key_and_item_is_found_in_any_document(generated):
    text, lines = generated
    values: Any = tomllib.loads(text)
    for key_path, line in lines.items():
        value = values
        for part in key_path:
            value = value[part]  # raises where the generator and the parser disagree
        assert line_of(text, key_path) == line, key_path


@settings(max_examples=200, deadline=None)
@given(
    TEXT | st.text(st.sampled_from("ab=[]{}#,.'\"\\\n "), max_size=60),
    st.lists(st.text(max_size=3) | st.integers(), max_size=3),
)
def test_any_text_has_a_line_or_none(text, key_path):
    line = line_of(text, tuple(key_path))
    assert line is None or 1 <= line <= text.count("\n") + 1


def test_keys_and_items_inside_of_tables_have_their_own_lines():
    text = """[network]
layers = [
  "a", # "x", {
  { skip = [
      "b",
      { repeat = 2, layers = ["c",
          "d"], "shared" =
          true },
  ] }, "e",
]
"""
    lines = {
        (0,): 3, (1,): 4, (1, "skip"): 4, (1, "skip", 0): 5, (1, "skip", 1): 6, (1, "skip", 1, "repeat"): 6,
        (1, "skip", 1, "layers", 0): 6, (1, "skip", 1, "layers", 1): 7, (1, "skip", 1, "shared"): 7, (2,): 9,
    }  # fmt: skip
    for path, line in lines.items():
        assert line_of(text, ("network", "layers", *path)) == line, path
    assert line_of(text, ("network", "layers", 1, "skip", 1, "missing")) == 6
