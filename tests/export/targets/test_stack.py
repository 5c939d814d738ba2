"""The stack: frames summed along the deepest chain of calls, and nothing that has no limit."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from drilldown.errors import DrilldownError
from drilldown.export.targets.building import find_toolchain, measure_sizes
from drilldown.export.targets.catalogue import target_of
from drilldown.export.targets.stack import deepest_stack, read_frames, read_functions
from support.exports import every_layer_program, need_program


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    need_program("arm-none-eabi-gcc", "gcc-arm-none-eabi")
    return tmp_path


def stack_of(folder: Path, source: str) -> int:
    (folder / "net_int8.h").write_text("struct net { char memory; };\n")
    (folder / "net_int8.c").write_text(source)
    tools = find_toolchain(target_of("cortex-m3"), folder)
    assert not isinstance(tools, str)
    return measure_sizes(tools).stack


def chains_by_the_compiler(folder: Path) -> int:
    """The deepest chain, from the graph of calls that gcc itself writes."""
    command = ["arm-none-eabi-gcc", "-std=c99", "-Os", "-mcpu=cortex-m3", "-mthumb", "-fcallgraph-info=su", "-c"]
    subprocess.run([*command, "net_int8.c", "-o", "graph.o"], cwd=folder, check=True)
    text = (folder / "graph.ci").read_text()
    frames = {
        name: int(size) for name, size in re.findall(r'node: \{ title: "([^"]+)" label: "[^"]*?(\d+) bytes', text)
    }
    calls = re.findall(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', text)

    def depth(name: str) -> int:
        return frames[name] + max((depth(callee) for caller, callee in calls if caller == name), default=0)

    return max(depth(name) for name in ("net_run", "net_class"))


@pytest.mark.parametrize("schedule", ["rows", "layers"])
def test_the_stack_is_that_of_the_compilers_own_graph_of_calls(schedule, folder) -> None:
    program, _, _ = every_layer_program(schedule)
    program.write(folder)
    tools = find_toolchain(target_of("cortex-m3"), folder)
    assert not isinstance(tools, str)
    assert measure_sizes(tools).stack == chains_by_the_compiler(folder)


def test_an_array_in_the_deepest_function_is_in_the_stack(folder) -> None:
    source = """
        __attribute__((noinline)) static int leaf(int n) { volatile int a[%d]; a[n] = n; return a[n]; }
        __attribute__((noinline)) static int other(int n) { volatile int a[8]; a[n] = n; return a[n]; }
        int net_run(int n) { return leaf(n) + other(n) + 1; }
    """
    assert stack_of(folder, source % 100) - stack_of(folder, source % 50) == 4 * 50


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("int net_run(int n) { return n < 2 ? n : net_run(n - 1) + net_run(n - 2); }", "net_run: it calls itself"),
        ("static int odd(int); int net_run(int n) { return n ? odd(n - 1) + 1 : 0; }"
         "__attribute__((noinline)) static int odd(int n) { return n ? net_run(n - 1) + 2 : 1; }", "it calls itself"),
        ("int net_run(int (*f)(int)) { return f(1) + 1; }", "net_run: it calls a function by a pointer"),
        ("int net_run(int n) { volatile char a[n]; a[0] = 1; return a[0]; }", "net_run: its stack has no fixed size"),
        ("int strange(int); int net_run(int n) { return strange(n); }", "undefined reference to `strange'"),
    ],
)  # fmt: skip
def test_a_stack_without_a_limit_is_refused(source, message, folder) -> None:
    with pytest.raises(DrilldownError, match=message):
        stack_of(folder, source)


def test_a_loop_over_the_labels_of_the_library_is_no_recursion() -> None:
    """As the division of AVR has it: jumps lead back, no call does."""
    functions = read_functions(
        "00 <net_run>:\n 0:\tpush\tr28\n 2:\tcall\t0x10\t;  0x10 <divide>\n 4:\tret\n"
        "10 <divide>:\n 10:\trjmp\t.+2\t; 0x14 <enter>\n"
        "12 <loop>:\n 12:\tpush\tr0\n 14:\trjmp\t.+0\t; 0x16 <enter>\n"
        "16 <enter>:\n 16:\tbrne\t.-6\t; 0x12 <loop>\n 18:\tret\n"
    )
    # net_run has 5 by -fstack-usage; each label counts 2 for a return address, and loop pushes one byte.
    assert deepest_stack(["net_run"], functions, {"net_run": 5}, "avr") == 5 + 2 + 2 + (2 + 1)
    functions["enter"].calls.add("net_run")
    with pytest.raises(DrilldownError, match="net_run: it calls itself"):
        deepest_stack(["net_run"], functions, {"net_run": 5}, "avr")


def test_of_two_copies_of_a_function_the_larger_frame_counts() -> None:
    usage = "a.c:1:1:f.constprop.0\t8\tstatic\na.c:1:1:f.constprop.1\t24\tstatic\na.c:9:1:g\t16\tdynamic,bounded"
    assert read_frames(usage) == {"f.constprop": 24, "g": 16}
