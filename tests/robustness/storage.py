"""The storage of attachments fails while messages are sent: ``python -m tests.robustness.storage [--long]``.

A server of S3 is killed, or stopped for a while; a disk is full or becomes read-only; clients hang up within what they
send. Messages with files are refused with the status 503 while their storage is away, those without are sent, and
nothing is lost or doubled.
"""

import json
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile

from tests.live import gunicorn, prepared
from tests.live.load import post
from tests.robustness.clients import SEND, Habits, Site, sending
from tests.robustness.disk import small_disk
from tests.robustness.ledger import Ledger, file_of
from tests.robustness.program import on_each, parsed, status_of, tell
from tests.support.databases import url_of
from tests.support.servers import HOST, reset_when_closed, s3_server

USERS = 6
HEALTHY = 40
"""How many messages are sent before each fault, and in a row after it."""
REFUSED = 20
"""How many are refused before a fault is over."""
HABITS = Habits(files=0.6)
STALLED = 0.5
"""For how many seconds nothing is answered any more when all clients wait for the storage."""
DISK = 1000
"""In mebibytes: more than all rounds of the long form leave there."""
UPLOADS = 50
"""In mebibytes, of the disk where uploads wait."""
HANG_UPS = 200
"""How many clients hang up within what they send."""
BUCKET = "attachments"


@dataclass(frozen=True)
class Attack:
    site: Site
    ledger: Ledger
    files: Path
    """Where the attachments are in the end."""
    seed: int

    def until_refused(self, more: int = REFUSED) -> None:
        target = self.ledger.refused + more
        self.ledger.until(lambda: self.ledger.refused >= target)

    def hang_up(self) -> None:
        """Let clients end the connection, or reset it, before all of a message is said; nobody is to find one of them.

        As few as a byte is missing, which the last boundary could do without.
        """
        chance = random.Random(self.seed)
        for number in range(HANG_UPS):
            name, content = file_of(chance.randrange(1000))
            sender, recipient = chance.sample(self.site.users, 2)
            fields = {"from": sender, "to": recipient, "message": f"cut off {number}"}
            request = post(SEND, api_key_token=self.site.key, attachment=ContentFile(content, name), **fields)
            missing = chance.choice([1, 2, 3, chance.randrange(1, len(request))])
            with socket.create_connection((HOST, self.site.port)) as connection:
                if chance.random() < 0.5:
                    reset_when_closed(connection)
                connection.sendall(request[:-missing])

    def until_stalled(self) -> None:
        seen, since = -1, time.monotonic()

        def is_stalled() -> bool:
            nonlocal seen, since
            if self.ledger.acknowledged != seen:
                seen, since = self.ledger.acknowledged, time.monotonic()
            return time.monotonic() > since + STALLED

        self.ledger.until(is_stalled)

    def suffer(self, name: str, fault: Callable[[], None], *, refuses: bool = True) -> None:
        """Let a fault happen while clients send; they go on after it."""
        ledger, before = self.ledger, self.ledger.refused
        with sending(self.site, ledger, self.seed, habits=HABITS):
            ledger.until_acknowledged(HEALTHY)
            fault()
            ledger.streak = 0
            ledger.until(lambda: ledger.streak >= HEALTHY)
        refused = [entry for entry in ledger.entries if entry.refused]
        if not all(entry.has_file for entry in refused):
            ledger.wrong.append("messages without a file were refused")
        if (ledger.refused > before) != refuses or ledger.broken:
            ledger.wrong.append(f"{ledger.refused - before} were refused, {ledger.broken} answers never came")
        try:
            account = ledger.settle(self.files)
        except pytest.fail.Exception as failed:
            pytest.fail(f"{name}: {failed}")
        tell(f"{name}: {ledger.refused - before} refused; in all {account}")


@contextmanager
def attacked(folder: Path, files: Path, seed: int, **environment: Any) -> Iterator[Attack]:
    tell(f"seed {seed}")
    with prepared(folder, url_of("PostgreSQL")), gunicorn(folder, workers=4, **environment) as server:
        yield Attack(Site.made(server.port, USERS), Ledger(), files, seed)


def attack_s3(folder: Path, seed: int, *, long: bool) -> None:
    bucket = folder / "s3" / BUCKET
    bucket.mkdir(parents=True)
    with ExitStack() as running:
        server = running.enter_context(s3_server(folder / "s3"))
        port = int(server.url.rpartition(":")[2])
        backend = "ossn_messaging.storage.S3AttachmentStorage"
        os.environ["STORAGE"] = json.dumps({"BACKEND": backend, "OPTIONS": server.options(BUCKET)})
        with attacked(folder, bucket, seed) as attack:

            def kill() -> None:
                server.kill()
                attack.until_refused()
                running.enter_context(s3_server(folder / "s3", port))

            def stop(until: Callable[[], None]) -> None:
                server.stop()
                try:
                    until()
                finally:
                    server.go_on()

            if long:
                attack.suffer(
                    "S3 is stopped until clients are told so", partial(stop, partial(attack.until_refused, 1))
                )
            attack.suffer("S3 is stopped for a moment", partial(stop, attack.until_stalled), refuses=False)
            attack.suffer("S3 is killed", kill)
            attack.suffer("clients hang up", attack.hang_up, refuses=False)


def attack_disk(folder: Path, seed: int, *, long: bool) -> None:
    with (
        small_disk(folder / "attachments", mebibytes=DISK) as disk,
        small_disk(folder / "uploads", mebibytes=UPLOADS) as waiting,
        attacked(folder, folder / "attachments", seed, FILE_UPLOAD_TEMP_DIR=waiting.folder) as attack,
    ):

        def full() -> None:
            with disk.full():
                attack.until_refused()

        def read_only() -> None:
            with disk.read_only():
                attack.until_refused()

        def no_room_for_uploads() -> None:
            with waiting.full():
                attack.until_refused(1)

        for _ in range(10 if long else 1):
            attack.suffer("the disk is full", full)
            attack.suffer("the disk is read-only", read_only)
            attack.suffer("the disk is full on which uploads wait", no_room_for_uploads)
            attack.suffer("clients hang up", attack.hang_up, refuses=False)


ATTACKS = {"S3": attack_s3, "disk": attack_disk}

if __name__ == "__main__":
    options = parsed(__doc__, ATTACKS)
    if options.on is None:
        sys.exit(on_each("tests.robustness.storage", ATTACKS, options))
    sys.exit(status_of(partial(ATTACKS[options.on], seed=options.seed, long=options.long)))
