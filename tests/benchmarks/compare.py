"""The app beside the least that could be done for the same, on one database: ``python -m tests.benchmarks`` runs it."""

import argparse
import io
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from tests.live import gunicorn, prepared
from tests.live.load import answered, get, post
from tests.support.servers import HOST, configured_nginx

CORES = os.cpu_count() or 1
CLIENTS = 4 * CORES
USERS = 1000
API, BARE = "/api/v2.0/message", "/bare"
TEXT = "A message as people write them, neither long nor short, with a comma and a full stop. " * 2
PHOTO = (4000, 3000)
PDF_SIZE, LARGE_SIZE = 200 * 1024, 25 * 1024 * 1024
EXPECTED = b'"code": "100"'

Rate = Callable[[float], float]
"""Does something for so many seconds, and returns how often a second it was done."""


@dataclass(frozen=True)
class Comparison:
    name: str
    own: Rate
    reference: Rate

    def measure(self, rounds: int, seconds: float) -> str:
        """Return the line that says how the two compare, each measured ``rounds`` times, in turn."""
        rates = [(self.own(seconds), self.reference(seconds)) for _ in range(rounds)]
        ratios = sorted(own / reference for own, reference in rates)
        own, reference = (statistics.median(side) for side in zip(*rates, strict=True))
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        return f"{self.name:42} {own:8.1f}/s {reference:8.1f}/s   {statistics.median(ratios):.2f}  ({spread})"


def letter(size: int) -> bytes:
    """Return a PDF of about so many bytes."""
    from tests.support.files import pdf

    content = random.Random(1).randbytes(size)
    return pdf(b"<</Length %d>>stream\n%sendstream" % (size, content))


def named(name: str, content: bytes) -> io.BytesIO:
    file = io.BytesIO(content)
    file.name = name
    return file


def pillow(content: bytes, seconds: float) -> int:
    """Decode and encode a picture again and again, and return how often."""
    until, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        with Image.open(io.BytesIO(content)) as image:
            image.save(io.BytesIO(), "JPEG", quality=85)
        count += 1
    return count


class Site:
    """What there is to be asked for, and the servers that are asked."""

    def __init__(self, folder: Path, servers: ExitStack) -> None:
        from django.contrib.auth.models import User

        from ossn_messaging.models import APIKey, Message

        self.folder, self.servers = folder, servers
        users = User.objects.bulk_create([User(username=f"user{number}") for number in range(USERS)])
        _api_key, self.key = APIKey.objects.create_key("benchmark")
        self.people = [user.pk for user in users]
        self.others = [user.pk for user in users[1:31]]
        for turn, other in itertools.product(range(15), users[1:31]):
            pair = (users[0], other) if turn % 3 else (other, users[0])
            Message.objects.send(sender=pair[0], recipient=pair[1], text=TEXT)
        self.port = servers.enter_context(gunicorn(folder, workers=CORES)).port

    def load(self, requests: list[bytes], expected: bytes = EXPECTED, port: int | None = None) -> Rate:
        return lambda seconds: answered(port or self.port, requests, expected, clients=CLIENTS, seconds=seconds)

    def sends(
        self, name: str, attachment: Callable[[], Any] = lambda: None, number: int = 3000, bare: str = "send"
    ) -> Comparison:
        chance = random.Random(1)
        pairs = [chance.sample(self.people, 2) for _ in range(number)]

        def requests(path: str) -> list[bytes]:
            return [
                post(
                    path,
                    **{"api_key_token": self.key, "from": sender, "to": recipient, "message": TEXT},
                    **({"attachment": file} if (file := attachment()) else {}),
                )
                for sender, recipient in pairs
            ]

        return Comparison(name, self.load(requests(f"{API}/send")), self.load(requests(f"{BARE}/{bare}"), b'"id"'))

    def reads(self, name: str, own: str, bare: str, expected: bytes) -> Comparison:
        def requests(path: str) -> list[bytes]:
            return [get(path, api_key_token=self.key, guid=self.people[0], to=other) for other in self.others]

        return Comparison(name, self.load(requests(f"{API}/{own}")), self.load(requests(f"{BARE}/{bare}"), expected))

    def photo(self, *, turned: bool) -> Comparison:
        from tests.support.files import exif, landscape, picture

        content = picture("JPEG", landscape(PHOTO), quality=85, **({"exif": exif(6)} if turned else {}))
        own = self.sends("", lambda: named("photo.jpg", content), CLIENTS).own
        pool = self.servers.enter_context(ProcessPoolExecutor(CORES))

        def reference(seconds: float) -> float:
            start = time.perf_counter()
            counts = pool.map(partial(pillow, content), [seconds] * CORES)
            return sum(counts) / (time.perf_counter() - start)

        name = "send a JPEG of 12 megapixels"
        return Comparison(f"{name} that is turned" if turned else name, own, reference)

    def downloads(self) -> Iterator[Comparison]:
        """Compare nginx that serves a file with the app that gives it out: by nginx, and by itself."""
        from django.contrib.auth.models import User
        from django.core.files.base import ContentFile
        from django.test import RequestFactory

        from ossn_messaging.api.signing import attachment_url
        from ossn_messaging.models import Message

        sender, recipient = User.objects.filter(pk__in=self.people[:2])
        by_nginx = self.folder / "behind nginx"
        by_nginx.mkdir()
        accel = '{"X_ACCEL_REDIRECT": "/protected/"}'
        behind = self.servers.enter_context(gunicorn(by_nginx, workers=CORES, OSSN_MESSAGING=accel)).port
        attachments = self.folder / "attachments"
        locations = f"""
            location / {{ proxy_pass http://{HOST}:{behind}; proxy_set_header Host $http_host; }}
            location /protected/ {{ internal; alias {attachments}/; }}
            location /bare/ {{ alias {attachments}/; }}
        """
        nginx = self.servers.enter_context(
            configured_nginx(by_nginx, http="access_log off; sendfile on;", server=locations)
        )
        port = int(nginx.rpartition(":")[2])
        for label, size in (("200 kB", PDF_SIZE), ("25 MiB", LARGE_SIZE - 10_000)):
            message = Message.objects.send(
                sender=sender, recipient=recipient, text=TEXT, upload=ContentFile(letter(size), "letter.pdf")
            )
            request = RequestFactory().get("/", HTTP_HOST=HOST)
            own = [get(attachment_url(request, message.attachment, sender.pk).removeprefix(f"http://{HOST}"))]
            file = [get(f"/bare/{message.attachment.file.name}")]
            pdf, served = b"%PDF", self.load(file * CLIENTS, b"%PDF", port)
            yield Comparison(f"download {label} by X-Accel-Redirect", self.load(own * CLIENTS, pdf, port), served)
            yield Comparison(f"download {label}, streamed", self.load(own * CLIENTS, pdf), served)

    def admin(self) -> Comparison:
        from django.contrib.auth.models import User
        from django.test import Client

        client = Client()
        client.force_login(User.objects.create_superuser("moderator"))
        cookie = f"Cookie: sessionid={client.cookies['sessionid'].value}\r\n\r\n".encode()
        own = get("/admin/ossn_messaging/message/").removesuffix(b"\r\n") + cookie
        bare = [get(f"{BARE}/messages", guid=self.people[0], to=other) for other in self.others]
        return Comparison("list in the admin", self.load([own] * CLIENTS, b"</html>"), self.load(bare, b'"list"'))

    def comparisons(self) -> Iterator[Comparison]:
        yield self.sends("send a text")
        pdf = letter(PDF_SIZE)
        yield self.sends("send a PDF of 200 kB", lambda: named("letter.pdf", pdf), 40 * CLIENTS)
        name = "send a PDF of 200 kB, which both keep"
        yield self.sends(name, lambda: named("letter.pdf", pdf), 40 * CLIENTS, "keep")
        yield self.photo(turned=False)
        yield self.photo(turned=True)
        yield self.reads("list", "list", "messages", b'"list"')
        yield self.reads("recent", "recent", "recent", b'"list"')
        yield self.reads("unread", "unread", "unread", b'"messages"')
        yield from self.downloads()
        yield self.admin()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("database_url", nargs="?")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, prepared(Path(name), options.database_url), ExitStack() as servers:
        site = Site(Path(name), servers)
        for comparison in site.comparisons():
            if options.only in comparison.name:
                comparison.measure(1, options.seconds / 4)  # until what is imported is imported
                sys.stdout.write(f"{comparison.measure(options.rounds, options.seconds)}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
