"""Whether the rows of attachments and the files on their storage agree, both ways."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Protocol, TypeVar

from django.db import router

from ossn_messaging.attachments.validation import size_and_sha256
from ossn_messaging.models import Attachment
from ossn_messaging.storage import Listed, attachment_storage, list_files

T = TypeVar("T")

MISSING, ORPHANED, WRONG_SIZE, WRONG_DIGEST = PROBLEMS = "missing", "orphaned", "wrong size", "wrong SHA-256"
ORPHAN_MIN_AGE = timedelta(hours=1)
"""How old a file without a row must be to be removed: before, its row may still be on its way."""
DELETED = "deleted"
BATCH = 500


@dataclass(frozen=True)
class Finding:
    problem: str
    """One of ``PROBLEMS``."""
    file: str
    attachment_id: int | None
    detail: str
    orphan: Listed | None = None


class Progress(Protocol):
    """Shows how far an iteration is; ``total`` is about how many steps it has."""

    def __call__(self, steps: Iterable[T], what: str, total: int) -> Iterable[T]: ...


class Audit:
    """One comparison of all rows with all files, which may go on while messages are sent and deleted."""

    def __init__(self, *, digests: bool, progress: Progress) -> None:
        self.storage = attachment_storage()
        self.attachments = Attachment.objects.using(router.db_for_write(Attachment))
        self.digests = digests
        self.progress = progress
        self.files = 0
        self.rows = 0
        self.seen: set[int] = set()

    def findings(self) -> Iterator[Finding]:
        """Yield all that is wrong; raises whatever the storage does where it fails."""
        total = self.attachments.count()
        files = iter(self.progress(list_files(self.storage), "files", total))
        while batch := list(islice(files, BATCH)):
            yield from self._check_files(batch)
        for attachment in self.progress(self.attachments.order_by("pk").iterator(chunk_size=BATCH), "rows", total):
            yield from self._check_row(attachment)

    def _check_files(self, batch: list[Listed]) -> Iterator[Finding]:
        self.files += len(batch)
        rows = self._rows(batch)
        for listed in batch:
            row = rows.get(listed.name)
            if row is None:
                since = listed.modified_at.astimezone(UTC)
                yield Finding(ORPHANED, listed.name, None, f"since {since:%Y-%m-%d %H:%M:%S} UTC", listed)
                continue
            self.seen.add(row.pk)
            if listed.size != row.size:
                yield Finding(WRONG_SIZE, listed.name, row.pk, f"{listed.size} bytes, not {row.size}")

    def _rows(self, files: list[Listed]) -> dict[str | None, Attachment]:
        """Return the attachments of ``files`` by name; a name that is no text has none."""
        names = [file.name for file in files if file.name.isprintable()]
        return {row.file.name: row for row in self.attachments.filter(file__in=names)}

    def _check_row(self, attachment: Attachment) -> Iterator[Finding]:
        self.rows += 1
        name = str(attachment.file.name)
        there, digest = attachment.pk in self.seen or self.storage.exists(name), attachment.digest
        try:
            if there and self.digests:
                digest = self._digest(name)
        except FileNotFoundError:
            there = False
        if not there:
            if self.attachments.filter(pk=attachment.pk).exists():  # and has not been deleted meanwhile
                yield Finding(MISSING, name, attachment.pk, f"{attachment.name}, {attachment.size} bytes")
        elif digest != attachment.digest:
            yield Finding(WRONG_DIGEST, name, attachment.pk, f"{digest}, not {attachment.digest}")

    def _digest(self, name: str) -> str:
        with self.storage.open(name) as file:
            return size_and_sha256(file)[1]

    def delete_orphan(self, orphan: Listed) -> str:
        """Remove a file that was found without a row if it is old enough, and return what came of it."""
        if datetime.now(UTC) - orphan.modified_at < ORPHAN_MIN_AGE:
            return ""
        if self._rows([orphan]):
            return "it has one now"
        try:
            self.storage.delete(orphan.name)
        except Exception as error:  # each storage has its own; the others may go
            return f"could not be deleted: {error!r}"
        return DELETED
