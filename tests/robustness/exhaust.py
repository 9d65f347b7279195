"""Files, keys and headers that are to take all of a server's time or memory: ``python -m tests.robustness.exhaust``.

Each is sent four times at once to two workers of four threads. Meanwhile another client sends and reads texts. It must
not wait long, no worker may die, and what the processes take must stay within the limits of the settings.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest
from django.core.files.base import ContentFile

from tests.attachments.hostile import FILES
from tests.live import Server, gunicorn, prepared
from tests.live.load import Answer, Connection, post
from tests.robustness.clients import SEND, Site
from tests.robustness.program import parsed, status_of, tell
from tests.support.databases import url_of
from tests.support.servers import HOST

WORKERS, THREADS = 2, 4
AT_ONCE = 4
MAX_WAIT = 1.0
"""In seconds, of the other client."""
TICK = os.sysconf("SC_CLK_TCK")
PATIENCE = 90
"""In seconds: two of the files wait for one process, each at most for its time by the clock."""
SAMPLE_SECONDS = 0.02
MARGIN_SECONDS = 1.5
"""Of processor time, for what a request takes besides its inspection, and until the kernel stops a child."""


@dataclass
class Usage:
    """What a server and all processes below it have taken."""

    server: Server
    peak: int = 0
    """The most memory at once, in bytes."""
    longest_wait: float = 0
    """Of the other client, in seconds."""
    wrong: list[str] = field(default_factory=list)

    def pids(self, pid: int | None = None) -> Iterator[int]:
        pid = pid or self.server.process.pid
        yield pid
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):
                for child in children.read_text().split():
                    yield from self.pids(int(child))

    def processor_seconds(self) -> float:
        """Return the time of all processes, and of those that have ended."""
        ticks = 0
        for pid in self.pids():
            with suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += sum(map(int, fields[11:15]))
        return ticks / TICK

    def memory(self) -> int:
        """Return the memory of all processes in bytes, what they share counted once."""
        total = 0
        for pid in self.pids():
            with suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total * 1024


@contextmanager
def observed(usage: Usage, site: Site) -> Iterator[None]:
    """Let another client use the site, and note what the server takes."""
    stop = Event()
    usage.peak = 0
    usage.longest_wait = 0
    sender, recipient = site.users[2:4]
    requests = [
        post(SEND, api_key_token=site.key, message="Test", **{"from": sender, "to": recipient}),
        post("/api/v2.0/message/list", api_key_token=site.key, guid=recipient, to=sender),
    ]

    def use() -> None:
        connection = Connection(site.port)
        while not stop.is_set():
            for request in requests:
                start = time.monotonic()
                answer = connection.ask(request)
                usage.longest_wait = max(usage.longest_wait, time.monotonic() - start)
                if b'"code": "100"' not in answer.body:
                    usage.wrong.append(f"the other client was told {answer}")
        connection.close()

    def sample() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            usage.peak = max(usage.peak, usage.memory())

    threads = [Thread(target=use), Thread(target=sample)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def ask(site: Site, request: bytes) -> Answer:
    connection = Connection(site.port, timeout=PATIENCE)
    try:
        return connection.ask(request)
    finally:
        connection.close()


def file_request(site: Site, name: str, content: bytes) -> bytes:
    sender, recipient = site.users[:2]
    fields = {"from": sender, "to": recipient, "message": "Test", "attachment": ContentFile(content, name)}
    return post(SEND, api_key_token=site.key, **fields)


def raw(method: str, path: str, headers: str = "", body: bytes = b"") -> bytes:
    lines = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return lines.encode() + body


def requests(site: Site) -> Iterator[tuple[str, bytes, float]]:
    """Yield what is sent, and the most seconds of a processor that it may take."""
    from ossn_messaging.conf import conf

    for what, (name, build) in FILES.items():
        yield what, file_request(site, name, build()), conf.INSPECTION_PROCESSOR_SECONDS + MARGIN_SECONDS
    body = json.dumps({"api_key_token": 15_000 * "\"'\\é"}).encode()
    file = "/messages/attachment/1/a.pdf"
    json_type = "Content-Type: application/json\r\n"
    long, path = 8_000, 3_500  # gunicorn takes request lines of 4,094 bytes
    for what, request in {
        "a key of quotes in the body of a GET for a file": raw("GET", file, json_type, body),
        "a key of quotes in a body": raw("POST", SEND, json_type, body),
        "a header of spaces": raw("GET", file, "Referer: 'signature':" + long * " " + "x\r\n"),
        "a path of backslashes": raw("GET", "/" + path * "\\" + "'signature'" + "?signature=" + 80 * "\\"),
        "a query of escapes": raw("GET", f"{file}?signature=" + path // 3 * "%25"),
        "a key of quotes in a header": raw("GET", file, "Authorization: Api-Key " + long // 2 * "'\"" + "\r\n"),
    }.items():
        yield what, request, MARGIN_SECONDS


def attack(folder: Path) -> None:
    from ossn_messaging.conf import conf

    with (
        prepared(folder, url_of("PostgreSQL")),
        gunicorn(folder, workers=WORKERS, threads=THREADS, access_log=True) as server,
        ThreadPoolExecutor(AT_ONCE) as clients,
    ):
        site, usage, workers = Site.made(server.port, 4), Usage(server), set(server.workers)
        run: Callable[[bytes], Answer] = partial(ask, site)
        list(clients.map(run, [file_request(site, "a.pdf", b"%PDF-")] * 2 * AT_ONCE))  # starts what is started once
        idle = usage.memory()
        allowed = idle + WORKERS * conf.INSPECTION_PROCESSES * conf.INSPECTION_MEMORY
        for what, request, seconds in requests(site):
            before = usage.processor_seconds()
            with observed(usage, site):
                start = time.monotonic()
                answers = list(clients.map(run, [request] * AT_ONCE))
                took = time.monotonic() - start
            spent = (usage.processor_seconds() - before) / AT_ONCE
            tell(
                f"{what}: {took:.1f} s, {spent:.2f} s of a processor each, {usage.peak / 2**20:.0f} MiB in all, "
                f"another client waited {usage.longest_wait:.2f} s; {sorted({answer.status for answer in answers})}"
            )
            if usage.longest_wait > MAX_WAIT:
                usage.wrong.append(f"{what}: another client waited {usage.longest_wait:.2f} s")
            if spent > seconds:
                usage.wrong.append(f"{what}: {spent:.2f} s of a processor")
            if usage.peak > allowed:
                usage.wrong.append(f"{what}: {usage.peak / 2**20:.0f} MiB")
            if set(server.workers) != workers:
                usage.wrong.append(f"{what}: a worker died")
                workers = set(server.workers)
    if usage.wrong:
        pytest.fail("; ".join(usage.wrong))


if __name__ == "__main__":
    parsed(__doc__)
    sys.exit(status_of(attack))
