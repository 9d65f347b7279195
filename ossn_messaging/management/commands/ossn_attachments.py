from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ossn_messaging.management.attachment_check import DELETED, PROBLEMS, Audit, Finding
from ossn_messaging.management.tables import lines_of, printable

T = TypeVar("T")
PROGRESS_STEP = 100


class Command(BaseCommand):
    help = "Looks after the files of attachments."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        check = actions.add_parser(
            "check", help="compare the rows with the files on the storage; the exit status is 1 if they differ"
        )
        check.add_argument("--digest", action="store_true", help="read every file and compare its SHA-256 as well")
        check.add_argument(
            "--delete-orphans", action="store_true", help="remove the files that have had no row for an hour"
        )

    def handle(self, *args: Any, digest: bool, delete_orphans: bool, verbosity: int, **options: Any) -> None:
        audit = Audit(digests=digest, progress=partial(self._progress, silent=verbosity == 0))
        count: Counter[str] = Counter()
        rows: list[tuple[str, ...]] = [("problem", "file", "row", "")]
        failure: Exception | None = None
        try:
            for finding in audit.findings():
                count[finding.problem] += 1
                done = audit.delete_orphan(finding.orphan) if delete_orphans and finding.orphan else ""
                count["deleted"] += done == DELETED
                rows.append(self._row(finding, done))
        except Exception as error:  # each storage has its own exceptions; report the differences found so far
            failure = error
        if len(rows) > 1:
            self.stdout.writelines(f"{line}\n" for line in lines_of(rows))
        self.stdout.write(
            f"{audit.rows} rows, {audit.files} files: "
            + ", ".join(f"{count[problem]} {problem}" for problem in PROBLEMS)
            + (f"; {count['deleted']} deleted" if delete_orphans else "")
        )
        if failure:
            raise CommandError(f"The storage could not be compared: {failure!r}", returncode=2) from failure
        if len(rows) > 1:
            raise CommandError("Rows and files differ.")

    def _progress(self, steps: Iterable[T], what: str, total: int, *, silent: bool) -> Iterator[T]:
        """Yield ``steps``. If standard error is a terminal, show the number of steps so far."""
        is_shown = self.stderr.isatty() and not silent
        for number, step in enumerate(steps, 1):
            yield step
            if is_shown and number % PROGRESS_STEP == 1:
                self.stderr.write(f"\r{number} of about {total} {what}", ending="", style_func=str)
        if is_shown:
            self.stderr.write("\r\033[K", ending="", style_func=str)  # clears the line

    def _row(self, finding: Finding, done: str) -> tuple[str, ...]:
        row = "" if finding.attachment_id is None else str(finding.attachment_id)
        return finding.problem, printable(finding.file), row, ", ".join(filter(None, [finding.detail, done]))
