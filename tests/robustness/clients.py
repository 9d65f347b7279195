"""Clients that send all the while, whatever happens to the server, and write down what they are told."""

import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event
from typing import Any

from django.core.files.base import ContentFile

from tests.live.load import Answer, Connection, get, post
from tests.robustness.ledger import SIZES, Entry, Ledger, file_of
from tests.support.servers import SECONDS, accepts, wait_until

SEND = "/api/v2.0/message/send"
ENVELOPE_KEYS = ["merchant", "url", "time_token", "payload", "code", "message"]
PATIENCE = 2 * SECONDS
"""For how many seconds a client asks for the same, at the most, before it is told that it is done."""


@dataclass(frozen=True)
class Site:
    """What clients know of the site."""

    port: int
    key: str
    users: list[int]

    @classmethod
    def made(cls, port: int, users: int) -> "Site":
        """Return a site with so many users, in the database that is prepared."""
        from django.contrib.auth.models import User

        from ossn_messaging.models import APIKey

        User.objects.bulk_create(User(username=f"user{number}") for number in range(users))
        numbers = list(User.objects.order_by("pk").values_list("pk", flat=True))
        return cls(port, APIKey.objects.create_key("the attack")[1], numbers)


@dataclass(frozen=True)
class Habits:
    """What clients like to send, each a probability."""

    files: float = 0.4
    keys: float = 0.4
    """Under an idempotency key; then they ask again until they are told that it is sent."""
    reads: float = 0.1
    """What has been sent, and the files among it."""
    length: int = 0
    """How long texts are beyond what makes them unique."""


class Client:
    """A client with one connection, which it makes anew when it breaks."""

    def __init__(self, site: Site, ledger: Ledger) -> None:
        self.site = site
        self.ledger = ledger
        self.connection: Connection | None = None

    def ask(self, request: bytes) -> Answer | None:
        """Return the answer; ``None`` where there was none, once the server takes connections again."""
        try:
            self.connection = self.connection or Connection(self.site.port, keep=2 * max(SIZES))
            return self.connection.ask(request)
        except OSError:
            self.ledger.note_break()
            self.close()
            wait_until(lambda: accepts(self.site.port))
            return None

    def close(self) -> None:
        if self.connection:
            self.connection.close()
        self.connection = None

    def request(self, path: str, **parameters: object) -> bytes:
        return post(path, api_key_token=self.site.key, **parameters)

    def send(self, entry: Entry, *, key: bool = False) -> None:
        """Send a message; under an idempotency key, as often as it takes."""
        parameters: dict[str, Any] = {"from": entry.sender, "to": entry.recipient, "message": entry.text}
        if entry.has_file:
            name, content = file_of(entry.number)
            parameters["attachment"] = ContentFile(content, name)
        if key:
            parameters["idempotency_key"] = f"message {entry.number}"
        request = self.request(SEND, **parameters)
        self.deliver(entry, request)
        deadline = time.monotonic() + PATIENCE
        while key and not entry.id and not self.ledger.wrong:
            self.deliver(entry, request)
            if time.monotonic() > deadline:
                self.ledger.wrong.append(f"message {entry.number} was never sent")
        if key and entry.number % 10 == 0:  # as a client that has forgotten
            self.deliver(entry, request)

    def deliver(self, entry: Entry, request: bytes) -> None:
        answer = self.ask(request)
        if answer is None:
            entry.refused = False
        elif what := complaint(answer):
            self.ledger.wrong.append(f"message {entry.number}: {what}")
        else:
            self.ledger.note(entry, json.loads(answer.body)["payload"] or None)

    def read(self, chance: random.Random) -> None:
        """Ask for what has been sent, one way or another."""
        user, other = chance.sample(self.site.users, 2)
        url = chance.choice(self.ledger.entries).url
        requests = [
            self.request("/api/v2.0/message/list", guid=user, to=other, markallread=chance.randrange(2)),
            self.request("/api/v2.0/message/new", to=user, markallread=chance.randrange(2), **{"from": other}),
            self.request("/api/v2.0/message/recent", guid=user),
            self.request("/api/v2.0/message/unread", guid=user),
            get(url or "/messages/attachment/0/none.pdf"),
        ]
        request = chance.choice(requests)
        answer = self.ask(request)
        if answer is None or (request is requests[-1] and answer.status in ((200, 302) if url else (404,))):
            return
        if what := complaint(answer):
            self.ledger.wrong.append(f"{request[:60]!r}: {what}")

    def work(self, stop: Event, chance: random.Random, habits: Habits) -> None:
        while not (stop.is_set() or self.ledger.wrong):
            if self.ledger.entries and chance.random() < habits.reads:
                self.read(chance)
            sender, recipient = chance.sample(self.site.users, 2)
            has_file = chance.random() < habits.files
            entry = self.ledger.begin(sender, recipient, has_file=has_file, length=habits.length)
            self.send(entry, key=chance.random() < habits.keys)
        self.close()


def complaint(answer: Answer) -> str:
    """Return what is wrong with an answer, which is an envelope: of code 100, or with the status 503."""
    with suppress(ValueError):
        envelope = json.loads(answer.body)
        codes = {200: "100", 503: "200"}
        if list(envelope) == ENVELOPE_KEYS and envelope["code"] == codes.get(answer.status):
            return ""
    return f"{answer.status} {answer.body[:500]!r}"


@contextmanager
def sending(site: Site, ledger: Ledger, seed: int, *, clients: int = 8, habits: Habits | None = None) -> Iterator[None]:
    """Let clients send as long as the block goes on; it ends when each of them has its last answer."""
    stop = Event()
    with ThreadPoolExecutor(clients) as pool:
        working = [
            pool.submit(Client(site, ledger).work, stop, random.Random(f"{seed} {number}"), habits or Habits())
            for number in range(clients)
        ]
        try:
            yield
        except BaseException:
            ledger.wrong.append("the attack ended early")  # nobody need ask any more
            raise
        finally:
            stop.set()
    for client in working:
        client.result()
    ledger.fail_if_wrong()


def fetched(site: Site, ledger: Ledger) -> Iterator[tuple[Entry, bytes]]:
    """Yield the file of each message that has one, as its URL gives it out."""
    client = Client(site, ledger)
    for entry in ledger.entries:
        if entry.id and entry.has_file:
            answer = client.ask(get(entry.url))
            if answer is None or answer.status != 200:
                ledger.wrong.append(f"the file of message {entry.number}: {answer}")
            else:
                yield entry, answer.body
    client.close()
