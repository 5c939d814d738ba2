"""Text for people: numbers in words, headings, and text from files made safe to show. It is the same everywhere."""

from __future__ import annotations

import re
from collections.abc import Sequence

_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""The characters that a terminal obeys, or that change the order of what it shows; newline and tab are left out."""


def count_text(count: int, noun: str) -> str:
    """A count with its noun.

    >>> count_text(1, "epoch"), count_text(15, "epoch"), count_text(60_000, "image")
    ('1 epoch', '15 epochs', '60,000 images')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percent_text(percent: float) -> str:
    """A limit in percent, with all its digits and no others.

    >>> percent_text(95.0), percent_text(99.4), percent_text(99.99999)
    ('95 %', '99.4 %', '99.99999 %')
    """
    return f"{percent:.10g} %"


def difference_text(difference: float, digits: int) -> str:
    """A difference with its sign and this number of decimals; one that is rounded to zero has no sign.

    >>> difference_text(0.126, 2), difference_text(-0.126, 2), difference_text(-0.001, 2)
    ('+0.13', '-0.13', '0.00')
    """
    text = f"{difference:+.{digits}f}"
    return text[1:] if float(text) == 0 else text


def loss_text(loss: float) -> str:
    """A loss with four decimals, or with two significant digits where it is smaller.

    >>> loss_text(0.01536), loss_text(0.000123), loss_text(0.0)
    ('0.0154', '0.00012', '0.0000')
    """
    return f"{loss:.4f}" if loss >= 0.001 or loss == 0 else f"{loss:.2g}"


def join_words(words: Sequence[str]) -> str:
    """A list in words.

    >>> join_words(["a"]), join_words(["a", "b"]), join_words(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def has_or_have(count: int) -> str:
    """The verb for a number of things.

    >>> has_or_have(1), has_or_have(2)
    ('has', 'have')
    """
    return "has" if count == 1 else "have"


def duration_text(seconds: float) -> str:
    """A duration, rounded.

    >>> duration_text(3), duration_text(250), duration_text(9000)
    ('3 s', '4 min', '2 h 30 min')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def visible_text(text: str) -> str:
    r"""The text without characters that control a terminal: each becomes an escape that everybody can read.

    These are control characters, separators of lines, marks that turn the direction of writing, and lone surrogates;
    newline and tab stay. Below U+007F the escape is `\xNN`. From there on it is `\uNNNN`, which JSON reads too: a JSON
    document stays one, because it never holds the others.

    >>> print(visible_text("\x1b[31mred\x1b[0m, \x9b and \u202etxt.exe"))
    \x1b[31mred\x1b[0m, \u009b and \u202etxt.exe
    """
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x7F else f"\\u{number:04x}"


def heading(*parts: str) -> str:
    r"""The parts of a heading as one visible line: a title with a line break cannot pretend to be two lines.

    >>> heading("A title\n of two lines", "mine.toml")
    'A title of two lines · mine.toml'
    """
    return visible_text(" · ".join(" ".join(part.split()) for part in parts))
