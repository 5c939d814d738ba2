"""A user's own network in a file, and what building it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drilldown.errors import DrilldownError
from drilldown.network.user_module import build_user_network

NET = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(28 * 28, 16)
        self.logits = nn.Linear(16, 10)

    def forward(self, images):
        hidden = self.hidden(images.flatten(1))
        return self.logits(torch.relu(hidden))
"""
PARAMETERS = (28 * 28 + 1) * 16 + (16 + 1) * 10
IMAGE = (1, 28, 28)


def build(folder: Path, reference: str = "model.py:Net") -> Any:
    return build_user_network(reference, folder, IMAGE, 10)


def error_of(folder: Path, reference: str = "model.py:Net") -> str:
    """The error message of building a network, without the name of the folder."""
    with pytest.raises(DrilldownError) as caught:
        build(folder, reference)
    (problem,) = caught.value.problems
    return str(problem).replace(f"{folder}/", "")


def write_files(folder: Path, **files: str) -> Path:
    """Writes Python files; their names are without `.py`."""
    for name, content in files.items():
        file = folder / f"{name}.py"
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(content)
    return folder
