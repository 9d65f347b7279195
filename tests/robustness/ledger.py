"""What clients sent and what they were told of it, to be compared with what is there in the end."""

import hashlib
import io
import os
import random
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from tests.files import SAMPLES, kept, pdf, picture
from tests.servers import wait_until

if TYPE_CHECKING:
    from ossn_messaging.models import Message

SHOWN = 10
"""How many of a kind a failure shows."""
ROUNDS = 4
SIZES = [100] * 5 + [10_000] * 5 + [200_000] * 5 + [1_500_000]
"""In bytes, about, of the files that are sent: the largest of them wait on disk."""


def file_of(number: int) -> tuple[str, bytes]:
    """Return name and content of the file that goes with a message: no two are alike, and it is the same each time."""
    chance = random.Random(number)
    noise = chance.randbytes(chance.choice(SIZES))
    match number % 3:
        case 0:
            return f"{number}.pdf", pdf(b"<</Length %d>>stream\n%sendstream" % (len(noise), noise))
        case 1:
            letter = io.BytesIO(SAMPLES["letter.docx"])
            with zipfile.ZipFile(letter, "a") as package:
                package.writestr(zipfile.ZipInfo("word/media/noise.bin"), noise)
            return f"{number}.docx", letter.getvalue()
    return f"{number}.jpeg", picture("JPEG", Image.frombytes("RGB", (80, 60), chance.randbytes(80 * 60 * 3)))


@dataclass
class Entry:
    """A message that a client sent."""

    number: int
    text: str
    sender: int
    recipient: int
    has_file: bool
    id: int = 0
    """What a code 100 said; 0 as long as there was none."""
    url: str = ""
    """Path and query that open the file."""
    refused: bool = False
    """Whether the last answer was another one: there is no message then."""
    blank: bool = False
    """Whether it was deleted for both."""
    gone: bool = False
    """Whether each of the two has deleted it."""


@dataclass
class Account:
    """What came of all that was sent."""

    sent: int
    acknowledged: int
    refused: int
    found: int
    lost: int = 0
    doubled: int = 0
    denied: int = 0
    """Those that are there, though the answer said that they are not."""
    orphans: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{value} {name}" for name, value in vars(self).items())


class Ledger:
    """Written by many clients at once, each of which has its own entries."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.wrong: list[str] = []
        """What should not have been, in words."""
        self.acknowledged = self.refused = self.broken = 0
        """How many times an answer said that a message was sent, or was not, and how many never came."""
        self.streak = 0
        """How many messages have been sent since the last that was not."""
        self.denied = 0
        """How many were there, the last time that this was settled, though an answer said that they are not."""
        self._lock = threading.Lock()

    def begin(self, sender: int, recipient: int, *, has_file: bool, length: int) -> Entry:
        """Write down a new message, whose text has ``length`` characters more than it needs to be unique."""
        with self._lock:
            number = len(self.entries)
            text = f"message {number} <b>&\"' \\n  \N{SNOWMAN}\N{BEAR FACE}\nof {sender} to {recipient}"
            text += random.Random(number).randbytes(length // 2).hex()
            self.entries.append(entry := Entry(number, text, sender, recipient, has_file))
        return entry

    def note(self, entry: Entry, payload: dict[str, Any] | None) -> None:
        """Write down an answer: the payload of a code 100, or ``None`` of a failure."""
        with self._lock:
            if payload is None:
                self.refused += 1
                self.streak = 0
                entry.refused = not entry.id  # a repetition may fail
                return
            if entry.id not in (0, payload["id"]):
                self.wrong.append(f"message {entry.number} has the ids {entry.id} and {payload['id']}")
            entry.id, entry.refused = payload["id"], False
            if entry.has_file:
                entry.url = "/" + payload["attachment_url"].partition("://")[2].partition("/")[2]
            self.acknowledged += 1
            self.streak += 1

    def note_break(self) -> None:
        with self._lock:
            self.broken += 1
            self.streak = 0

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition comes true while clients send; what is wrong ends it.

        Where the machine is busy it may take ``ROUNDS`` times as long as ``wait_until`` waits, if there are answers.
        """
        for left in reversed(range(ROUNDS)):
            before = self.acknowledged + self.refused
            try:
                wait_until(lambda: self.wrong or condition())
                break
            except pytest.fail.Exception as failed:
                if not left or before == self.acknowledged + self.refused:
                    numbers = f"{self.acknowledged} acknowledged, {self.refused} refused, {self.broken} never answered"
                    pytest.fail(f"{failed}: {numbers}")
        self.fail_if_wrong()

    def until_acknowledged(self, more: int) -> None:
        target = self.acknowledged + more
        self.until(lambda: self.acknowledged >= target)

    def fail_if_wrong(self) -> None:
        if self.wrong:
            pytest.fail("\n".join([*self.wrong[:SHOWN], f"{len(self.wrong)} in all"]))

    def settle(self, files: Path, *, denials: bool = False) -> Account:
        """Compare all that was sent with the database and with ``files``, where the attachments are.

        Fails where they differ. ``denials`` allows that a message is there which was said not to be: a database that
        goes within a commit leaves nobody to ask ("Limits" of the README).
        """
        from django.db import connection

        from ossn_messaging.models import Message

        connection.close()  # it may have been cut
        wait_until(nobody_writes)
        rows = list(Message.objects.select_related("attachment").order_by("pk"))
        account = self._count(rows)
        if account.denied > self.denied and not denials:
            self.wrong.append(f"{account.denied} messages are there, though an answer said that they are not")
        self.denied = account.denied
        self.wrong += out_of_order(rows)
        self.wrong += wrong_counts(rows, complete=not any(entry.gone for entry in self.entries))
        account.orphans = self._remove_orphans(files)
        if self.wrong:
            self.wrong.insert(0, str(account))
        self.fail_if_wrong()
        return account

    def _count(self, rows: "list[Message]") -> Account:
        by_id = {row.pk: row for row in rows}
        by_text = {row.text: row for row in rows}
        texts = Counter(row.text for row in rows if not row.is_deleted)
        known = {entry.text for entry in self.entries}
        self.wrong += [f"nobody sent {text[:50]!r}" for text in texts if text not in known]
        acknowledged = [entry for entry in self.entries if entry.id]
        account = Account(len(self.entries), len(acknowledged), self.refused, len(rows))
        for entry in self.entries:
            row = by_id.get(entry.id) if entry.id else by_text.get(entry.text)
            if entry.id and (row is None) != entry.gone:
                account.lost += 1
                self.wrong.append(f"message {entry.number} was acknowledged as {entry.id}: {row}")
            if texts[entry.text] > 1:
                account.doubled += 1
                self.wrong.append(f"message {entry.number} is there {texts[entry.text]} times")
            account.denied += bool(row and entry.refused)
            if row:
                self.wrong += [f"message {entry.number}: {what}" for what in differences(entry, row)]
        return account

    def _remove_orphans(self, files: Path) -> int:
        """Let the command remove the files without a row, and return how many; nothing else may be wrong."""
        _status, printed = check("--digest")
        rows, there, *problems = [int(word) for word in printed.split() if word.isdigit()]
        missing, orphans, size, digest = problems
        if missing or size or digest or there != rows + orphans:
            self.wrong.append(printed)
        then = time.time() - 2 * 60 * 60
        for file in files.rglob("*"):
            with suppress(FileNotFoundError):
                os.utime(file, (then, then))
        _status, printed = check("--delete-orphans")
        if not printed.endswith(f"; {orphans} deleted"):
            self.wrong.append(f"{orphans} files without a row: {printed}")
        status, printed = check("--digest")
        if status:
            self.wrong.append(f"after the orphans were removed: {printed}")
        return orphans


def differences(entry: Entry, row: "Message") -> Iterator[str]:
    """Yield how a row differs from what was sent."""
    if (row.sender_id, row.recipient_id) != (entry.sender, entry.recipient):
        yield f"is from {row.sender_id} to {row.recipient_id}"
    if row.text != ("" if entry.blank else entry.text) or row.is_deleted != entry.blank:
        yield f"has the text {row.text[:50]!r}"
    attachment = getattr(row, "attachment", None)
    if (attachment is not None) != (entry.has_file and not entry.blank):
        yield f"has the attachment {attachment}"
    elif attachment:
        name, content = file_of(entry.number)
        stored = kept(name, content)
        sent = (name, len(stored), hashlib.sha256(stored).hexdigest())
        if (attachment.name, attachment.size, attachment.digest) != sent:
            yield f"has the file {attachment.name}, {attachment.size} bytes, {attachment.digest}"


def out_of_order(rows: "list[Message]") -> Iterator[str]:
    """Yield where in a conversation ids, which ``rows`` are in the order of, positions and times do not grow as one."""
    last: dict[tuple[int, int], Message] = {}
    for row in rows:
        one, other = sorted([row.sender_id, row.recipient_id])
        before = last.get((one, other))
        if before and not (before.sequence < row.sequence and before.created_at <= row.created_at):
            yield f"{before} is at {before.sequence}, {before.created_at}; {row} at {row.sequence}, {row.created_at}"
        last[one, other] = row


def wrong_counts(rows: "list[Message]", *, complete: bool) -> Iterator[str]:
    """Yield the sides of conversations that say anything else than a full count; ``complete`` if no row ever went."""
    from ossn_messaging.models import Conversation

    sides: dict[tuple[int, int], list[Message]] = {}
    highest: Counter[tuple[int, int]] = Counter()
    for row in rows:
        for user, other, deleted in row.sides():
            sides.setdefault((user, other), []).extend([] if deleted else [row])
            highest[user, other] = max(highest[user, other], row.sequence)
    kept = {(side.user_id, side.other_user_id): side for side in Conversation.objects.all()}
    for pair in sides.keys() - kept.keys():
        yield f"conversation {pair} is not there"
    for pair, side in kept.items():
        seen = sides.get(pair, [])
        newest = max(seen, key=lambda row: row.sequence, default=None)
        counted = {
            "message_count": len(seen),
            "unread_count": sum(
                row.recipient_id == side.user_id and row.sequence > side.last_read_sequence for row in seen
            ),
            "last_sequence": newest and newest.sequence,
            "last_message_at": newest and newest.created_at,
        }
        if complete:
            counted["sequence"] = highest[pair]
        told = {name: getattr(side, name) for name in counted}
        if told != counted or side.sequence < highest[pair] or side.sequence != kept[pair[::-1]].sequence:
            yield f"conversation {pair} at {side.sequence} says {told} of {counted}"


def nobody_writes() -> bool:
    """Whether the database has ended what its other clients had begun, some of which may be dead."""
    from django.db import connection

    busy = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle'",
        "mysql": "SELECT count(*) FROM information_schema.processlist WHERE db = database()"
        " AND id <> connection_id() AND command <> 'Sleep'",
    }.get(connection.vendor)
    if busy is None:
        return True
    with connection.cursor() as cursor:
        cursor.execute(busy)
        return not cursor.fetchone()[0]


def check(*options: str) -> tuple[int, str]:
    """Return the exit status of ``ossn_attachments check`` and the line in which it sums up."""
    printed, status = io.StringIO(), 0
    try:
        call_command("ossn_attachments", "check", *options, stdout=printed, verbosity=0)
    except CommandError as error:
        status = error.returncode
    return status, printed.getvalue().splitlines()[-1]
