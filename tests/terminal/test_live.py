"""The live display of a run."""

from __future__ import annotations

import io

from rich.console import Console

from drilldown.terminal.live import LiveDisplay


def test_a_file_fetched_again_from_the_next_mirror_has_a_new_bar() -> None:
    live = LiveDisplay()
    live.console = Console(file=io.StringIO(), force_terminal=True)
    for received in (50, 100, 20, 100):  # a complete file with wrong content, then the file from the next mirror
        live.on_download("train-images", received, 100)
    assert live.bar is None
