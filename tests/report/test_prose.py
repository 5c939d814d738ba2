"""The author's words are Markdown, and nothing in them can harm or break a page."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from drilldown.report.prose import prose_html, prose_markdown

WORDS = st.text(st.sampled_from("ab <>#-*_`[]()!|\\\n&\"'~:/1."), max_size=60)


def test_headings_lists_tables_and_emphasis_are_shown() -> None:
    shown = prose_html("# It *fits*\n\n- a\n- b\n\n| a | b |\n| :-- | --: |\n| 1 | 2 |\n")
    for part in ("<h4>It <em>fits</em></h4>", "<li>a</li>", "<td>2</td>"):
        assert part in shown
    assert "style=" not in shown


def test_html_scripts_and_pictures_are_not() -> None:
    shown = prose_html("<script>x</script> ![a](http://b/c.png) [l](javascript:alert(1)) <img src=x>\n\n<div>\n")
    for part in ("<script", "<img", "<div", 'href="javascript'):
        assert part not in shown


@given(WORDS)
def test_a_page_has_only_the_tags_of_markdown(words: str) -> None:
    import re

    allowed = "p|h4|em|strong|s|code|pre|ul|ol|li|a|blockquote|hr|br|table|thead|tbody|tr|th|td"
    for tag in re.findall(r"<[^>]*>", prose_html(words)):
        assert re.fullmatch(rf'</?({allowed})( (href|title|start|class)="[^"<>]*")* ?/?>', tag), tag


@given(WORDS)
def test_in_a_markdown_report_the_words_stay_in_their_quotation(words: str) -> None:
    tokens = MarkdownIt("commonmark").parse(f"before\n\n{prose_markdown(words)}\n\nafter\n")
    outer = [token for token in tokens if token.level == 0 and token.nesting >= 0]
    kinds = [token.type for token in outer]
    assert kinds[0] == kinds[-1] == "paragraph_open"
    assert set(kinds[1:-1]) <= {"blockquote_open"}
    inner = [child for token in tokens for child in (token, *(token.children or ()))]
    assert not any(token.type in ("html_block", "html_inline") for token in inner)


def test_a_backslash_of_the_author_does_not_let_html_through() -> None:
    assert "<img" not in prose_markdown(r"<i></i> \<img src=x onerror=alert(1)>")
