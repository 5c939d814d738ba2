"""Numbers in words, the same everywhere."""

from __future__ import annotations


def count_text(count: int, noun: str) -> str:
    """A count with its noun.

    >>> count_text(1, "epoch"), count_text(15, "epoch"), count_text(60_000, "image")
    ('1 epoch', '15 epochs', '60,000 images')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration_text(seconds: float) -> str:
    """A duration, rounded.

    >>> duration_text(3), duration_text(250), duration_text(9000)
    ('3 s', '4 min', '2 h 30 min')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
