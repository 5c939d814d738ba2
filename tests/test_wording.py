"""Text for people: what a terminal may receive."""

from __future__ import annotations

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from drilldown.wording import heading, visible_text

ANY_TEXT = st.text(st.characters(exclude_categories=[]))
BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def is_unsafe(character: str) -> bool:
    """Decides by Unicode's categories: control, surrogate, line and paragraph separator; and by the list of marks."""
    return character not in "\n\t" and (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in BIDI
    )


@given(ANY_TEXT)
def test_visible_text_holds_no_control_character_and_changes_nothing_else(text: str) -> None:
    shown = visible_text(text)
    assert not any(map(is_unsafe, shown))
    assert visible_text(shown) == shown
    if not any(map(is_unsafe, text)):
        assert shown == text


@given(ANY_TEXT)
def test_each_control_character_becomes_its_number(text: str) -> None:
    for character in filter(is_unsafe, text):
        kind, digits = visible_text(character)[1], visible_text(character)[2:]
        assert (kind, chr(int(digits, 16))) == ("x" if character < "\x7f" else "u", character)


@given(st.dictionaries(ANY_TEXT, st.lists(ANY_TEXT, max_size=3), max_size=3))
def test_a_json_document_has_the_same_values_afterwards(document: dict[str, list[str]]) -> None:
    shown = visible_text(json.dumps(document, indent=2, ensure_ascii=False))
    assert json.loads(shown) == document
    shown.encode("utf-8")


@given(st.lists(ANY_TEXT, min_size=1, max_size=3))
def test_a_heading_is_one_line(parts: list[str]) -> None:
    assert len(heading(*parts).splitlines()) <= 1
    assert not any(map(is_unsafe, heading(*parts)))
