"""Clients that ask as fast as they are answered, over connections that last."""

import itertools
import socket
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlencode

from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from tests.support.servers import HOST, SECONDS

CHUNK = 1024 * 1024


def get(path: str, **parameters: object) -> bytes:
    query = f"?{urlencode(parameters)}" if parameters else ""
    return f"GET {path}{query} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


def post(path: str, **parameters: object) -> bytes:
    """Return a request with a form, or with a multipart body where one of its parameters is a file."""
    if any(hasattr(value, "read") for value in parameters.values()):
        body, content_type = encode_multipart(BOUNDARY, parameters), MULTIPART_CONTENT
    else:
        body, content_type = urlencode(parameters).encode(), "application/x-www-form-urlencoded"
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Answer:
    status: int
    body: bytes
    """Its first mebibyte at most, unless the connection keeps more."""


class Connection:
    """A connection that stays open from one request to the next, unless the server says that it ends.

    Of each body it keeps so many bytes, or few more.
    """

    def __init__(self, port: int, keep: int = CHUNK, timeout: float = SECONDS) -> None:
        self.port, self.keep, self.timeout = port, keep, timeout
        self.buffer = bytearray(CHUNK)
        self._open()

    def _open(self) -> None:
        self.is_over = False
        self.socket = socket.create_connection((HOST, self.port), timeout=self.timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> Answer:
        """Send a request and return the answer; raises ``OSError`` where none comes, whole and with its length."""
        if self.is_over:
            self.close()
            self._open()
        self.socket.sendall(request)
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._receive()
        head, body = received[:end].lower(), received[end + 4 :]
        left = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]) - len(body)
        while left:
            chunk = self._receive()
            left -= len(chunk)
            if len(body) < self.keep:
                body += chunk
        self.is_over = b"connection: close" in head
        return Answer(int(head[9:12]), body)

    def _receive(self) -> bytes:
        size = self.socket.recv_into(self.buffer)
        if not size:
            raise ConnectionResetError("the server hung up")
        return bytes(self.buffer[:size])

    def close(self) -> None:
        self.socket.close()


def answered(port: int, requests: Sequence[bytes], expected: bytes, *, clients: int, seconds: float) -> float:
    """Return how many requests a second are answered with 200 and what is ``expected`` in it.

    Each client has its own part of ``requests``, which it begins again when all are sent. Raises ``RuntimeError`` on
    any other answer.
    """
    count, wrong = itertools.count(), list[Answer]()
    until = time.perf_counter() + seconds

    def ask(own: Iterable[bytes]) -> None:
        with closing(Connection(port)) as connection:
            for request in itertools.cycle(own):
                if time.perf_counter() > until or wrong:
                    break
                answer = connection.ask(request)
                if answer.status == 200 and expected in answer.body:
                    next(count)
                else:
                    wrong.append(answer)

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, (requests[client::clients] for client in range(clients))))
    if wrong:
        raise RuntimeError(f"{wrong[0].status} {wrong[0].body[:1000]!r}")
    return next(count) / (time.perf_counter() - start)
