"""The list of layers that Python gives to C++ has the meaning that C++ gives it."""

from __future__ import annotations

import re

from drilldown.engines.native.library import SOURCES
from drilldown.engines.native.specs import KINDS


def test_the_kinds_are_in_the_order_of_the_enumeration_in_cpp():
    text = (SOURCES / "network.hpp").read_text("utf-8")
    found = re.search(r"enum Kind : int32_t \{(.*?)\}", text, re.DOTALL)
    assert found
    assert tuple(re.findall(r"\w+", found[1])) == KINDS
