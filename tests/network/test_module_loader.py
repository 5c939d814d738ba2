"""Files beside a user's module: importable, apart from all other modules, and named in messages."""

from __future__ import annotations

import sys

import pytest
import torch

from support.modules import IMAGE, NET, PARAMETERS, build, error_of, write_files

BLOCK = "from torch import nn\n\ndef block(width):\n    return nn.Linear(28 * 28, width)\n"
IMPORTS = {
    "import blocks": ("blocks", "blocks.block"),
    "import blocks as b": ("blocks", "b.block"),
    "from blocks import block": ("blocks", "block"),
    "from blocks import *": ("blocks", "block"),
    "from .blocks import block": ("blocks", "block"),
    "from . import blocks": ("blocks", "blocks.block"),
    "import parts.blocks": ("parts/blocks", "parts.blocks.block"),
    "import parts.blocks as b": ("parts/blocks", "b.block"),
    "from parts.blocks import block": ("parts/blocks", "block"),
    "from parts import blocks": ("parts/blocks", "blocks.block"),
    "from .parts import blocks": ("parts/blocks", "blocks.block"),
    "try:\n    import blocks\nexcept ImportError:\n    raise": ("blocks", "blocks.block"),
    "blocks = __import__('blocks')\nif False: import blocks": ("blocks", "blocks.block"),
}


@pytest.mark.parametrize("statement", IMPORTS)
def test_files_beside_the_module_can_be_imported(tmp_path, statement):
    file, name = IMPORTS[statement]
    content = f"{statement}\n{NET.replace('nn.Linear(28 * 28, 16)', f'{name}(16)')}"
    before = set(sys.modules)
    network = build(write_files(tmp_path, model=content, **{file: BLOCK}))
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS
    assert not {"blocks", "parts", "parts.blocks"} & set(sys.modules)
    assert all(name.startswith("drilldown user module") for name in set(sys.modules) - before)


def test_files_import_each_other_and_packages_have_an_init(tmp_path):
    files = {
        "model": f"from parts import block\n{NET.replace('nn.Linear(28 * 28, 16)', 'block(16)')}",
        "parts/__init__": "from .blocks import block\nfrom . import sizes\nassert sizes.DOUBLE == 32\n",
        "parts/blocks": f"from . import sizes\nimport helpers\n{BLOCK}",
        "parts/sizes": "import parts\nfrom helpers import twice\nDOUBLE = twice(16)\n",
        "helpers": "import model\nassert model.__name__\ndef twice(x):\n    return 2 * x\n",
    }
    folder = write_files(tmp_path, **files)
    assert build(folder).hidden.out_features == 16


def test_an_import_in_forward_finds_its_own_folder_later_too(tmp_path):
    content = NET.replace("        hidden = self", "        import act\n        hidden = act.SIGN * self")
    one = build(write_files(tmp_path / "one", model=content, act="SIGN = 1\n"))
    two = build(write_files(tmp_path / "two", model=content, act="SIGN = 0\n"))
    images = torch.ones(2, *IMAGE)
    assert not torch.equal(one(images)[0], one.logits.bias)
    assert torch.equal(two(images)[0], two.logits.bias)


@pytest.mark.parametrize("name", ["random", "types", "torch", "numpy"])
def test_a_file_with_the_name_of_a_library_is_not_taken_for_it(tmp_path, name):
    folder = write_files(tmp_path, model=f"import {name}\n{NET}", **{name: "raise OSError\n"})
    build(folder)


def test_a_file_whose_name_belongs_to_python_gets_a_hint(tmp_path):
    folder = write_files(tmp_path, model=f"from types import Block\n{NET}", types="Block = 1\n")
    assert error_of(folder).endswith("; rename types.py: the name belongs to another module")


def test_a_file_that_no_import_statement_names_is_not_found_and_the_message_says_so(tmp_path):
    content = f"import importlib\nblocks = importlib.import_module('blocks')\n{NET}"
    message = error_of(write_files(tmp_path, model=content, blocks=BLOCK))
    assert message.startswith("model.py:2: network.python: cannot be loaded: ModuleNotFoundError: ")
    assert "write import blocks: only files that an import statement names are found" in message


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ("1 / 0\n", "blocks.py:1: network.python: cannot be loaded: ZeroDivisionError: division by zero"),
        ("a = (\n", "blocks.py:1: network.python: cannot be loaded: SyntaxError: '(' was never closed"),
        ("", "model.py:1: network.python: cannot be loaded: ImportError: cannot import name 'block' from 'blocks'"),
    ],
)
def test_an_error_in_a_file_beside_the_module_names_this_file(tmp_path, blocks, message):
    folder = write_files(tmp_path, model=f"from blocks import block\n{NET}", blocks=blocks)
    assert error_of(folder).startswith(message)


def test_an_import_that_leads_out_of_the_folder_is_an_error(tmp_path):
    assert "beyond the folder of the experiment" in error_of(write_files(tmp_path, model=f"from .. import a\n{NET}"))
