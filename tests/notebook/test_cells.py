"""Networks that are defined in cells: `experiment.with_network(Net)`, executed in a real notebook."""

from __future__ import annotations

import re

import pytest

from support.kernel import Notebook

IMPORTS = """\
import torch
import torch.nn.functional as F
import scipy.special
from functools import partial
from torch import Tensor, nn, relu
from torch.nn import Conv2d as Conv

class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = Conv(inputs, outputs, 3)

    def forward(self, images: Tensor) -> Tensor:
        return relu(self.conv(images))

def pool(images):
    return F.max_pool2d(images, 4)

class Same(Block): pass  # without methods
"""
NET = """\
class Net(nn.Module):
    # a comment
    def __init__(self, width=6):
        super().__init__()
        self.body = Same(1, width)
        self.head = nn.Linear(width, 10)

    def forward(self, images):
        return self.head(pool(self.body(images)).mean((2, 3)))
"""


@pytest.fixture(scope="module")
def notebook(kernel: Notebook) -> Notebook:
    kernel.run_well(IMPORTS)
    kernel.run_well(NET)
    return kernel


def value(notebook: Notebook, expression: str) -> str:
    return notebook.run_well(f"print(({expression}))").text.strip()


def error(notebook: Notebook, cell: str) -> str:
    """The message of a cell that fails, which is not a traceback."""
    shown = notebook.run(cell).error
    first, message = shown.split("\n", 1)
    assert re.match(r"line \d+: ", first)
    assert message.startswith("DrilldownError: ")
    return message.removeprefix("DrilldownError: ")


def test_a_class_of_a_cell_is_trained_and_read_back(notebook: Notebook) -> None:
    notebook.run_well(
        "mine = experiment.with_network(Net)\n"
        "run = drilldown.perform(mine, compute=TORCH)\n"
        "again = drilldown.Run(run.path)"
    )
    assert value(notebook, "mine.name == experiment.name, mine.fingerprint != experiment.fingerprint") == "(True, True)"
    assert value(notebook, "run.path.name, (run.path / 'model.py').is_file()") == "('seed-0', True)"
    assert value(notebook, "again.experiment.fingerprint == mine.fingerprint") == "True"
    assert value(notebook, "torch.equal(again.model().head.weight, run.model().head.weight)") == "True"
    source = value(notebook, "(run.path / 'model.py').read_text()")
    for part in (
        "import torch.nn.functional as F", "from torch import relu", " as Conv", "class Block", "class Same(Block)",
        "def pool", "class Net(nn.Module):", "# a comment",
    ):  # fmt: skip
        assert part in source
    assert "scipy" not in source  # it is imported by the notebook, and not used


def test_the_run_folder_is_read_without_the_notebook(notebook: Notebook) -> None:
    notebook.run_well("import subprocess, sys")
    command = "[sys.executable, '-m', 'drilldown', 'summary', str(run.path)]"
    assert "peak activations" in value(notebook, f"subprocess.run({command}, capture_output=True, text=True).stdout")


def test_the_fingerprint_follows_from_the_code(notebook: Notebook) -> None:
    first = value(notebook, "experiment.with_network(Net).fingerprint")
    notebook.run_well(NET)
    assert value(notebook, "experiment.with_network(Net).fingerprint") == first
    notebook.run_well(NET.replace("width=6", "width=7"))
    assert value(notebook, "experiment.with_network(Net).fingerprint") != first
    notebook.run_well(NET)
    notebook.run_well(IMPORTS.replace("max_pool2d(images, 4)", "max_pool2d(images, 2)"))  # a function that it uses
    assert value(notebook, "experiment.with_network(Net).fingerprint") != first
    notebook.run_well(IMPORTS)
    assert value(notebook, "experiment.with_network(Net).fingerprint") == first


def test_arguments_are_part_of_the_experiment(notebook: Notebook) -> None:
    notebook.run_well("wide = experiment.with_network(Net, width=12)")
    assert value(notebook, "wide.build().head.weight.shape[1], wide.network.arguments") == "(12, {'width': 12})"
    message = error(notebook, "experiment.with_network(Net, wdth=12)")
    assert "width" in message
    assert "wdth" in message
    assert "width is {1}" in error(notebook, "experiment.with_network(Net, width={1})")


@pytest.mark.parametrize(
    ("cell", "network"),
    [
        ("def make(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))", "make"),
        ("class Tight(Net):\n    pass", "Tight"),
        ("if True:\n    class Indented(Net):\n        def extra(self): return None", "Indented"),
        ("def double(kind): return kind\n\n@double\nclass Decorated(Net):\n    '''With a decorator.'''", "Decorated"),
        ("class Cyclic(Net):\n    def twin(self): return Cyclic()", "Cyclic"),
        ("Alias = Net\nclass Child(Alias):\n    def nothing(self): pass", "Child"),
        ("class Special(Net):\n    def forward(self, x): return super().forward(scipy.special.expit(x))", "Special"),
        ("class Hinted(Net):\n    def f(self, x: 'Unknown') -> 'Net': return [y for y in x]", "Hinted"),
        (
            "from dataclasses import dataclass\n@dataclass(eq=False)\nclass Data(nn.Module):\n    width: int = 784\n"
            "    def __post_init__(self):\n        super().__init__()\n        self.layer = nn.Linear(self.width, 10)\n"
            "    def forward(self, x): return self.layer(x.flatten(1))",
            "Data",
        ),
        ("%matplotlib inline\nclass Magic(Net):\n    def nothing(self): pass", "Magic"),
    ],
    ids=lambda text: text if text.isidentifier() else "",
)  # fmt: skip
def test_kinds_of_definitions_are_stored(notebook: Notebook, cell: str, network: str) -> None:
    notebook.run(cell)
    notebook.run_well(f"kind = experiment.with_network({network})")
    assert int(value(notebook, "kind.model_summary.parameters")) > 100


def test_annotations_stay_as_they_are_written(notebook: Notebook) -> None:
    notebook.run_well("from __future__ import annotations\nclass Later(Net):\n    def f(self, x: NotDefined): return x")
    notebook.run_well("later = experiment.with_network(Later)")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("WIDTH = 8\ndef small(): return nn.Linear(WIDTH, 10)\nexperiment.with_network(small)", "small uses WIDTH"),
        (
            "act = nn.ReLU()\nclass A(Net):\n    def forward(self, x): return act(super().forward(x)) * WIDTH\n"
            "experiment.with_network(A)",
            "A uses WIDTH, act",
        ),
        (
            "def helper(x): return x * WIDTH\nclass B(Net):\n    def forward(self, x): return helper(x)\n"
            "experiment.with_network(B)",
            "helper uses WIDTH",
        ),
        ("class D(Net):\n    def __init__(self, w=WIDTH): pass\nexperiment.with_network(D)", "D uses WIDTH"),
        ("f = lambda x: x\nclass E(Net):\n    def g(self, x): return f(x)\nexperiment.with_network(E)", "E uses f"),
        (
            "def outer(k):\n    class Inner(Net):\n        def f(self): return k\n    return Inner\n"
            "experiment.with_network(outer(3))",
            "Inner is defined inside outer",
        ),
        ("experiment.with_network(lambda: nn.Linear(784, 10))", "write it with def"),
        ("experiment.with_network(Net())", "pass the class itself: experiment.with_network(Net)"),
        ("experiment.with_network(partial(Net, 3))", "pass the arguments too"),
        ('experiment.with_network("model.py:Net")', "network.python=model.py:Net"),
        ("experiment.with_network(3)", "found an object of the class int; expected a class"),
        ("exec('class Hidden(Net):\\n def f(self): pass')\nexperiment.with_network(Hidden)", "the source of Hidden is"),
        ("class Äpfel(Net):\n    def f(self): pass\nexperiment.with_network(Äpfel)", "a letter from A to Z"),
        ("experiment.with_network(dict)", "a torch.nn.Module"),
        ("class Bad(Net):\n    def forward(self, x): return x\nexperiment.with_network(Bad)", "model.py"),
        ("class Worse(Net):\n    def forward(self, x): return x @ self.y\nexperiment.with_network(Worse)", "model.py:"),
    ],
    ids=range(16),
)  # fmt: skip
def test_networks_that_no_file_can_hold_are_refused(notebook: Notebook, cell: str, expected: str) -> None:
    notebook.run("WIDTH = 8")
    assert expected in error(notebook, cell)


def test_classes_of_a_file_beside_the_notebook_are_copied(notebook: Notebook) -> None:
    notebook.run_well(
        "from pathlib import Path\n"
        "Path('blocks.py').write_text('from torch import nn\\nSIZE = 3\\n\\n\\nclass Wide(nn.Linear):\\n"
        "    def __init__(self):\\n        super().__init__(784, 10)\\n\\n\\ndef sized(): return SIZE\\n')\n"
        "import blocks\nfrom blocks import Wide, sized"
    )
    notebook.run_well(
        "class Copied(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.layer = Wide()\n"
        "    def forward(self, x): return self.layer(x.flatten(1))\ncopied = experiment.with_network(Copied)"
    )
    assert "class Wide" in value(notebook, "(copied.path.parent / 'model.py').read_text()")
    module = "class F1(Net):\n    def f(self): return blocks.Wide\nexperiment.with_network(F1)"
    assert "from blocks import Block" in error(notebook, module)
    assert "sized uses SIZE" in error(
        notebook, "class F2(Net):\n    def f(self): return sized()\nexperiment.with_network(F2)"
    )
