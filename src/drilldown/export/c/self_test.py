"""Writes the self-test that travels with the int8 code: some test images with the logits that must come out."""

from __future__ import annotations

from pathlib import Path

import torch

from drilldown.export.c.text import number_lines
from drilldown.export.c.writing import INT8, render

SELF_TEST = "selftest.c"
SELF_TEST_IMAGES = 20


def write_self_test(folder: Path, images: torch.Tensor, logits: torch.Tensor) -> None:
    """Writes `selftest.c` with images in equal distances.

    *Arguments*: `images`: (N, channels, height, width), uint8. `logits`: of the reference, (N, classes), int32.
    """
    count = min(SELF_TEST_IMAGES, len(images))
    chosen = torch.arange(count) * len(images) // count
    text = render(
        "selftest.c.j2",
        header=f"{INT8}.h",
        source=f"{INT8}.c",
        count=count,
        chosen=chosen.tolist(),
        pixels=[number_lines(map(str, image.flatten().tolist())) for image in images[chosen].permute(0, 2, 3, 1)],
        logits=[number_lines(map(str, row.tolist())) for row in logits[chosen]],
    )
    (folder / SELF_TEST).write_text(text, "utf-8")
