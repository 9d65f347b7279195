"""What comes back over a connection, and whether the app, the site or gunicorn may answer so."""

import errno
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message as Headers
from email.parser import BytesHeaderParser

from tests.robustness.asking import CRLF, Asked
from tests.support.servers import HOST, SECONDS

LARGEST = 1024 * 1024
"""In bytes, how much of an answer is read; none is nearly as large."""
HUNG_UP = {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN}


class Wrong(Exception):
    """An answer that should never be."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Headers
    body: bytes

    @property
    def code(self) -> str:
        """The protocol's code, empty where the answer is none of the protocol's."""
        is_envelope = self.headers.get("Content-Type") == "application/json" and self.body
        return str(json.loads(self.body)["code"]) if is_envelope else ""


@contextmanager
def hung_up() -> Iterator[None]:
    """Pass over it where the server has closed the connection."""
    try:
        yield
    except OSError as error:
        if error.errno not in HUNG_UP:
            raise


def exchange(port: int, raw: bytes) -> bytes:
    """Say all of it, say that there is no more, and return all that comes back."""
    received = b""
    with socket.create_connection((HOST, port), timeout=SECONDS) as connection:
        with hung_up():  # it has answered before it has heard all
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
        with hung_up():
            while len(received) < LARGEST and (data := connection.recv(64 * 1024)):
                received += data
    return received


def answers_in(received: bytes) -> list[Answer]:
    """Take apart what came over one connection; raises ``Wrong`` where that is no whole answer."""
    found = []
    while received:
        head, end, received = received.partition(b"\r\n\r\n")
        line, _end, lines = head.partition(CRLF)
        if not (end and re.fullmatch(rb"HTTP/1\.[01] [1-5]\d\d [^\r\n]+", line)):
            raise Wrong(f"no answer of HTTP: {head[:200]!r}")
        headers, status = BytesHeaderParser().parsebytes(lines + CRLF), int(line[9:12])
        if status < 200:
            continue
        if headers.get("Transfer-Encoding") == "chunked":
            body, received = _unchunked(received)
        else:
            length = 0 if received.startswith(b"HTTP/1.") else int(headers.get("Content-Length", "0"))
            body, received = received[:length], received[length:]
            if body and len(body) != length:
                raise Wrong(f"an answer that is cut off after {len(body)} bytes of {length}")
        found.append(Answer(status, headers, body))
    return found


def _unchunked(received: bytes) -> tuple[bytes, bytes]:
    """Return a body that comes in chunks, as Django's own pages do, and what follows it."""
    body, size = b"", -1
    while size:
        line, end, received = received.partition(CRLF)
        size = int(line, 16) if end else -1
        if size < 0 or received[size : size + 2] != CRLF:
            raise Wrong("an answer that is cut off in a chunk")
        body, received = body + received[:size], received[size + 2 :]
    return body, received


GUNICORNS_OWN = re.compile(
    rb"<html>\n  <head>\n    <title>([A-Z][A-Za-z ]+)</title>\n  </head>\n"
    rb"  <body>\n    <h1><p>\1</p></h1>\n    [^<>]*\n  </body>\n</html>\n",
)
MISPLACED = (
    b"<title>Bad Request</title>\n  </head>\n  <body>\n    <h1><p>Bad Request</p></h1>\n    Configuration problem: "
)
"""What gunicorn says with a status of 500 to a proxy, as it takes this client for, that claims an impossible path."""
DJANGOS_OWN = re.compile(
    rb'\n<!doctype html>\n<html lang="en">\n<head>\n  <title>[^<]+</title>\n</head>\n'
    rb"<body>\n  <h1>[^<]+</h1><p>[^<]*</p>\n</body>\n</html>\n"
)
ENVELOPE = ["merchant", "url", "time_token", "payload", "code", "message"]
STATUSES = {200, 400, 404, 405, 411, 412, 413, 415, 416}
"""Of the envelopes. Nothing fails beneath the app here, so that a 503 would be as wrong as a 500."""


def judge(request: Asked, answer: Answer) -> str:
    """Return whose answer it is; raises ``Wrong`` where nobody may answer so."""
    kind = answer.headers.get("Content-Type", "")
    if "Server" in answer.headers and "Date" in answer.headers:
        return _judge_sites(request, answer, kind)
    if not (
        sorted(answer.headers) == ["Connection", "Content-Length", "Content-Type"]
        and kind == "text/html"
        and (answer.status in {400, 403, 414, 417, 431, 501} or (answer.status == 500 and MISPLACED in answer.body))
        and GUNICORNS_OWN.fullmatch(answer.body)
    ):
        raise Wrong(f"{answer.status}, neither from the site nor gunicorn's own: {answer.body[:500]!r}")
    return "gunicorn"


def _judge_sites(request: Asked, answer: Answer, kind: str) -> str:
    if answer.status >= 500:
        raise Wrong(f"{answer.status}: {answer.body[:500]!r}")
    if kind.startswith("text/html"):
        title = DJANGOS_OWN.fullmatch(answer.body)
        may_be = {400: request.has_odd_host, 404: not request.is_own}.get(answer.status)
        if not may_be or (answer.body and title is None):
            raise Wrong(f"{answer.status} in HTML: {answer.body[:500]!r}")
        return "Django"
    if kind == "application/json":
        _judge_envelope(answer)
        return "envelope"
    if answer.status in {200, 206} and kind in {"image/jpeg", "application/pdf"}:
        return "file"
    if answer.status == 304 and kind in {"", "application/pdf"} and not answer.body:
        return "file"
    if answer.status == 200 and not kind and not answer.body:
        return "OPTIONS"
    raise Wrong(f"{answer.status} of type {kind}: {answer.body[:500]!r}")


def _judge_envelope(answer: Answer) -> None:
    if answer.status not in STATUSES:
        raise Wrong(f"an envelope with the status {answer.status}: {answer.body[:500]!r}")
    if answer.headers["Cache-Control"] != "no-store":
        raise Wrong("an envelope that may be stored")
    if not answer.body:  # of HEAD
        return
    envelope = json.loads(answer.body)
    if list(envelope) != ENVELOPE or (envelope["payload"] is False) != (envelope["code"] != "100"):
        raise Wrong(f"no envelope: {answer.body[:500]!r}")
