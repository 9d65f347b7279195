"""Requests as no client should make them: ``python -m tests.robustness.requests [--long] [--seed N]``.

They go over raw sockets to a live server. Each is answered by an envelope or by the file that it asks for: never a
5xx, never HTML, nothing in the server's log, and the workers stay as large as they are. What gunicorn or the site's own
middleware refuses before the app is asked is recognised by every byte, and counted apart. A failure is told by the
smallest request that hypothesis finds for it, and is there again with the same ``--seed``. DATABASE_URL names the
server of another database than SQLite.
"""

import argparse
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import FlakyFailure

from tests.live import Server, gunicorn, prepared
from tests.robustness.answers import Wrong, answers_in, exchange, judge
from tests.robustness.asking import Asked, World, asked
from tests.support.files import SAMPLES
from tests.support.servers import SECONDS

SHORT, LONG = 2_000, 20_000
ROUND = 2_000
SEED = 8
"""Of the short form, which is the same each time."""
WORKERS = 2
KEY = "the-key-of-the-attack"
"""The same each time, as the requests are; they are printed."""
MAX_RISE = 24 * 1024 * 1024
"""In bytes, of each worker's memory from the first third of the requests on.

What allocators keep comes and goes by a few MiB with each large body on each of the four threads. In the short form a
leak of 40 KiB a request is above this, in the long form one of 2 KiB.
"""
LOGGED = re.compile(
    rb"\[[^\]]+\] \[\d+\] \[WARNING\] Invalid request from ip=127\.0\.0\.1: .*"
    rb"|(\[[^\]]+\] \[\d+\] \[WARNING\] )?WSGI app sent body bytes on a no-body response \(method=HEAD .*",
    re.DOTALL,
)
"""What gunicorn logs where it refuses a request itself, and where it drops the body that Django leaves it to drop."""


@dataclass
class Attack:
    """What is asked, and what has come of it."""

    server: Server
    plan: int
    workers: Sequence[int]
    answers: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    seen: int = 0
    """How many bytes of the log."""
    slowest: float = 0.0
    memory: dict[int, int] = field(default_factory=dict)
    """In bytes, of each worker after the first third."""

    def ask(self, request: Asked) -> None:
        """Raise ``Wrong`` unless the site answers as it must."""
        start = time.perf_counter()
        try:
            received = exchange(self.server.port, request.raw)
        except TimeoutError:
            raise Wrong(f"no answer within {SECONDS} seconds\nto {request!r}") from None
        self.slowest = max(self.slowest, time.perf_counter() - start)
        self.asked += 1
        try:
            answers = answers_in(received)
            for answer in answers:
                self.answers[judge(request, answer)] += 1
                self.statuses[answer.status] += 1
                if code := answer.code:
                    self.codes[code] += 1
            if not answers:
                self._judge_silence(request)
            self._judge_log()
        except Wrong as error:
            self.seen = self.server.log.stat().st_size  # what else it says is of this request, and not of the next
            raise Wrong(f"{error}\nto {request!r}") from None
        if self.asked == self.plan // 3:
            self.memory = {pid: rss(pid) for pid in self.server.workers}

    def _judge_silence(self, request: Asked) -> None:
        """Gunicorn says nothing where a request ends before its headers do."""
        if b"\r\n\r\n" in request.raw:
            raise Wrong("no answer")
        self.answers["silence"] += 1

    def _judge_log(self) -> None:
        with self.server.log.open("rb") as log:
            log.seek(self.seen)
            new = log.read()
        self.seen += len(new)
        for line in new.splitlines():
            if line and not LOGGED.fullmatch(line):
                raise Wrong(f"in the log: {new[:6000].decode(errors='replace')}")

    def end(self) -> None:
        """Raise ``Wrong`` where a worker died or grew."""
        self._judge_log()
        if sorted(self.server.workers) != sorted(self.workers):
            raise Wrong("a worker has died")
        rises = {pid: rss(pid) - before for pid, before in self.memory.items()}
        shown = ", ".join(f"{before / 2**20:.1f} {rises[pid] / 2**20:+.1f}" for pid, before in self.memory.items())
        sys.stdout.write(
            f"memory of the workers after a third of the requests, and its rise since, in MiB: {shown}\n"
            f"the most that it may rise: {MAX_RISE / 2**20:.0f}\n"
        )
        if max(rises.values()) > MAX_RISE:
            raise Wrong("a worker has grown")


def rss(pid: int) -> int:
    """Return how much memory a process has of its own, in bytes."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) * 1024


def world() -> World:
    from django.contrib.auth.models import User
    from django.core.files.base import ContentFile
    from django.test import Client
    from django.test.client import RequestFactory

    from ossn_messaging.api.signing import attachment_url
    from ossn_messaging.models import APIKey, Message

    users = [User.objects.create_user(name) for name in ("arsalanshah", "testuser", "third", "fourth")]
    message = Message.objects.send(
        sender=users[2], recipient=users[3], text="Test", upload=ContentFile(SAMPLES["dummy.pdf"], "dummy.pdf")
    )
    client = Client()
    client.force_login(users[0])
    url = attachment_url(RequestFactory().get("/"), message.attachment, users[2].pk)
    APIKey.objects.import_key("the attack", KEY)
    return World(
        KEY, client.cookies["sessionid"].value, [user.pk for user in users], url.removeprefix("http://testserver")
    )


def attacked(server: Server, known: World, plan: int, number: int) -> None:
    """Make so many requests, and print what has come of them; raises ``Wrong`` at the first that is not answered well.

    They are made in rounds, for hypothesis keeps in mind all that it has tried in one.
    """
    attack = Attack(server, plan, server.workers)
    rounds = settings(
        max_examples=min(plan, ROUND),
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )

    def ask(request: Asked) -> None:
        attack.ask(request)

    try:
        for at in range(0, plan, ROUND):
            seed(number + at)(rounds(given(asked(known))(ask)))()
    finally:
        sys.stdout.write(f"{attack.asked} requests, the slowest took {attack.slowest:.2f} s\n")
        for what in ("answers", "statuses", "codes"):
            counted = sorted(getattr(attack, what).items())
            sys.stdout.write(f"{what}: {', '.join(f'{value} {count}' for value, count in counted)}\n")
    if attack.asked < plan:
        raise Wrong(f"only {attack.asked} of {plan} requests were made")
    attack.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help=f"{LONG} requests, not {SHORT}")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    number = options.seed if options.seed is not None else random.randrange(2**32) if options.long else SEED
    sys.stdout.write(f"seed {number}\n")
    with (
        tempfile.TemporaryDirectory() as folder,
        prepared(Path(folder), os.environ.get("DATABASE_URL")),
        gunicorn(Path(folder), workers=WORKERS) as server,
    ):
        try:
            attacked(server, world(), LONG if options.long else SHORT, number)
        except FlakyFailure as error:
            sys.exit(f"once, and not when it was asked again: {error.exceptions[0]}\nagain with --seed {number}")
        except Wrong as error:
            sys.exit(f"{error}\nagain with --seed {number}")


if __name__ == "__main__":
    main()
