"""A local HTTP server with correct and wrong answers, in place of a dataset's mirror."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from drilldown.data.catalogue import PublishedFile

CONTENT = np.random.default_rng(0).bytes(300_000)
PACKED = gzip.compress(CONTENT)
OTHER = gzip.compress(CONTENT[::-1])
HTML = b"<!DOCTYPE html><html><body>Please log in to this network.</body></html>"
NOWHERE = "http://127.0.0.1:9/"
"""An address without a server."""

Answer = Callable[["Mirror", BaseHTTPRequestHandler], None]


class Mirror(ThreadingHTTPServer):
    """A server; the first part of the path names an answer in ANSWERS, the rest is the file's name."""

    daemon_threads = True

    def __init__(self) -> None:
        self.requested: list[str] = []
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    def __call__(self, answer: str) -> str:
        """Returns the address of a mirror that always gives this answer."""
        return f"http://127.0.0.1:{self.server_port}/{answer}/"

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Mirror]:
        """A server in a thread of its own, until the block ends."""
        with cls() as mirror:
            thread = threading.Thread(target=mirror.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield mirror
            finally:
                mirror.closing.set()
                mirror.shutdown()
                thread.join()

    def handle_error(self, request: object, client_address: object) -> None:
        """Prints nothing: several tests are about clients that close the connection."""


class _Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:  # the name that the base class looks for
        answer = self.path.split("/")[1]
        self.server.requested.append(self.path.strip("/"))
        ANSWERS[answer](self.server, self)

    def log_message(self, *_: object) -> None:
        pass


def send(body: bytes, *, length: int | str | None = None, status: int = 200, **headers: str) -> Answer:
    """Makes an answer; `length` replaces the true Content-Length."""

    def answer(_: Mirror, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def dripping(mirror: Mirror, handler: BaseHTTPRequestHandler) -> None:
    """Sends a few bytes at a time, for at most ten seconds."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(PACKED)))
    handler.end_headers()
    for start in range(0, 10_000, 50):
        handler.wfile.write(PACKED[start : start + 50])
        if mirror.closing.wait(0.05):
            return


def silent(mirror: Mirror, _: BaseHTTPRequestHandler) -> None:
    mirror.closing.wait(10)


def silent_in_the_middle(mirror: Mirror, handler: BaseHTTPRequestHandler) -> None:
    send(PACKED[:1000], length=len(PACKED))(mirror, handler)
    mirror.closing.wait(10)


def endless(mirror: Mirror, handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not mirror.closing.is_set():
        handler.wfile.write(bytes(64 * 1024))


def hanging_up(_: Mirror, handler: BaseHTTPRequestHandler) -> None:
    # With a linger time of zero, the connection is reset and not closed.
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    handler.close_connection = True


def chunked(_: Mirror, handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
    for start in range(0, len(PACKED), 10_000):
        chunk = PACKED[start : start + 10_000]
        handler.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
    handler.wfile.write(b"0\r\n\r\n")
    handler.close_connection = True


def rubbish(_: Mirror, handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x00\x01\x02 this is no HTTP\r\n\r\n")
    handler.close_connection = True


def redirecting(mirror: Mirror, handler: BaseHTTPRequestHandler) -> None:
    send(b"", status=302, Location=mirror("right") + handler.path.split("/")[2])(mirror, handler)


def circling(mirror: Mirror, handler: BaseHTTPRequestHandler) -> None:
    send(b"", status=302, Location=handler.path)(mirror, handler)


def astray(mirror: Mirror, handler: BaseHTTPRequestHandler) -> None:
    send(b"", status=302, Location=f"http://{'a' * 70}.invalid/")(mirror, handler)


ANSWERS: dict[str, Answer] = {
    "right": send(PACKED),
    "unpacked": send(CONTENT),
    "other": send(OTHER),
    "cut": send(PACKED[:100_000], length=len(PACKED)),
    "short": send(PACKED[:100_000]),
    "longer": send(PACKED + bytes(1000)),
    "html": send(HTML, Content_Type="text/html"),
    "empty": send(b""),
    "missing": send(b"Not Found", status=404),
    "busy": send(b"", status=503),
    "odd-length": send(PACKED, length="a lot"),
    "negative-length": send(PACKED, length=-1),
    "encoded": send(PACKED, Content_Encoding="gzip"),
    "dripping": dripping,
    "silent": silent,
    "halfway": silent_in_the_middle,
    "endless": endless,
    "hanging-up": hanging_up,
    "chunked": chunked,
    "rubbish": rubbish,
    "redirecting": redirecting,
    "circling": circling,
    "astray": astray,
}


def published_file(*mirrors: str, stem: str = "train-labels-idx1-ubyte", packed: bool = False) -> PublishedFile:
    """The catalogue's entry for a file with CONTENT."""
    return PublishedFile(
        stem=stem,
        mirrors=mirrors,
        sha256=hashlib.sha256(PACKED if packed else CONTENT).hexdigest(),
        size=len(CONTENT),
        packed=packed,
    )
