"""The comparison of the rows of attachments with the files on their storage."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from django.db import router

from ossn_messaging.attachments.validation import size_and_sha256
from ossn_messaging.management.progress import Progress
from ossn_messaging.models import Attachment
from ossn_messaging.storage import FileInfo, attachment_storage, walk

MISSING, ORPHANED, WRONG_SIZE, WRONG_DIGEST = PROBLEMS = "missing", "orphaned", "wrong size", "wrong SHA-256"
ORPHAN_MIN_AGE = timedelta(hours=1)
"""The minimum age of a file without a row before it is deleted. The row of a newer file may not be committed yet."""
DELETED = "deleted"
BATCH = 500


@dataclass(frozen=True)
class Finding:
    """A difference between the rows and the files."""

    problem: str
    """One of ``PROBLEMS``."""
    file: str
    attachment_id: int | None
    detail: str
    orphan: FileInfo | None = None

    @property
    def deletable(self) -> FileInfo | None:
        """The file without a row if it is not newer than ``ORPHAN_MIN_AGE``."""
        is_old = self.orphan and datetime.now(UTC) - self.orphan.modified_at >= ORPHAN_MIN_AGE
        return self.orphan if is_old else None


class Audit:
    """One comparison of all rows with all files. It can run while messages are sent and deleted."""

    def __init__(self, *, digests: bool, progress: Progress) -> None:
        self.storage = attachment_storage()
        self.attachments = Attachment.objects.using(router.db_for_write(Attachment))
        self.digests = digests
        self.progress = progress
        self.files = 0
        self.rows = 0
        self.seen: set[int] = set()

    def findings(self) -> Iterator[Finding]:
        """Yield all differences. If the storage fails, raise its exception."""
        total = self.attachments.count()
        files = iter(self.progress(walk(self.storage), "files", total))
        while batch := list(islice(files, BATCH)):
            yield from self._check_files(batch)
        for attachment in self.progress(self.attachments.order_by("pk").iterator(chunk_size=BATCH), "rows", total):
            yield from self._check_row(attachment)

    def _check_files(self, batch: list[FileInfo]) -> Iterator[Finding]:
        self.files += len(batch)
        rows = self._rows(batch)
        for file in batch:
            row = rows.get(file.name)
            if row is None:
                since = file.modified_at.astimezone(UTC)
                yield Finding(ORPHANED, file.name, None, f"since {since:%Y-%m-%d %H:%M:%S} UTC", file)
                continue
            self.seen.add(row.pk)
            if file.size != row.size:
                yield Finding(WRONG_SIZE, file.name, row.pk, f"{file.size} bytes, not {row.size}")

    def _rows(self, files: list[FileInfo]) -> dict[str | None, Attachment]:
        """Return the attachments of ``files`` by file name.

        This ignores names that are not printable: they can't belong to an attachment, and a database may reject them.
        """
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
            if self.attachments.filter(pk=attachment.pk).exists():  # it was not deleted meanwhile
                yield Finding(MISSING, name, attachment.pk, f"{attachment.name}, {attachment.size} bytes")
        elif digest != attachment.digest:
            yield Finding(WRONG_DIGEST, name, attachment.pk, f"{digest}, not {attachment.digest}")

    def _digest(self, name: str) -> str:
        with self.storage.open(name) as file:
            return size_and_sha256(file)[1]

    def delete_orphan(self, orphan: FileInfo) -> str:
        """Delete a file without a row and return the result as a text."""
        if self._rows([orphan]):
            return "it has one now"
        try:
            self.storage.delete(orphan.name)
        except Exception as error:  # each storage has its own exceptions; continue with the next file
            return f"could not be deleted: {error!r}"
        return DELETED
