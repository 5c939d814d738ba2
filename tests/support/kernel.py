"""A real notebook kernel: cells are executed as Jupyter executes them, and all messages to the browser are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

from support.cli import environment

PATIENCE = 120
"""Seconds."""


@dataclass
class Output:
    """The messages of one executed cell."""

    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Kind and content, in their order."""

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [content for name, content in self.messages if name == kind]

    @property
    def text(self) -> str:
        """Everything that was printed."""
        return "".join(content["text"] for content in self.of_kind("stream"))

    @property
    def pages(self) -> list[str]:
        """The HTML that was shown in one place after the other, or in the same place again."""
        kinds = ("display_data", "update_display_data", "execute_result")
        return [content["data"].get("text/html", "") for name, content in self.messages if name in kinds]

    @property
    def error(self) -> str:
        """The lines that the notebook shows for an exception; empty without one."""
        return "\n".join(line for content in self.of_kind("error") for line in content["traceback"])


class Notebook:
    """A notebook whose cells are executed one after the other."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager, self.client = manager, client

    def run(self, cell: str, *, interrupt_when: Callable[[Output], bool] | None = None) -> Output:
        """Executes a cell; interrupts it, as the button does, once a message makes `interrupt_when` true."""
        output, interrupted = Output(), False

        def keep(message: dict[str, Any]) -> None:
            nonlocal interrupted
            output.messages.append((message["header"]["msg_type"], message["content"]))
            if interrupt_when and not interrupted and interrupt_when(output):
                interrupted = True
                self.manager.interrupt_kernel()

        self.client.execute_interactive(cell, output_hook=keep, timeout=PATIENCE)
        return output

    def run_well(self, cell: str) -> Output:
        """Executes a cell that must not fail."""
        output = self.run(cell)
        assert not output.error, output.error
        return output

    def complete(self, code: str) -> list[str]:
        """The names that the Tab key offers after `code`."""
        reply = self.client.complete(code, reply=True, timeout=PATIENCE)["content"]
        return [match.rpartition(".")[2] for match in reply["matches"]]


@contextmanager
def notebook(folder: Path, **env: str) -> Iterator[Notebook]:
    """Starts a kernel in a folder."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(folder), env=environment(**env))
    try:
        yield Notebook(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
