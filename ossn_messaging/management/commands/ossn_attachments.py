from collections import Counter
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ossn_messaging.management.attachment_check import DELETED, ORPHANED, PROBLEMS, Audit, Finding
from ossn_messaging.management.progress import show_progress
from ossn_messaging.management.tables import lines_of, printable


class Command(BaseCommand):
    help = "Looks after the files of attachments."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        check = actions.add_parser(
            "check", help="compare the rows with the files on the storage; the exit status is 1 if they differ"
        )
        check.add_argument("--digest", action="store_true", help="read every file and compare its SHA-256 as well")
        check.add_argument(
            "--delete-orphans",
            action="store_true",
            help="remove the files that have had no row for an hour, unless most files have no row",
        )
        check.add_argument(
            "--expect",
            type=int,
            metavar="N",
            help="remove files only if N files are to be removed, even if these are most of all files",
        )

    def handle(
        self,
        *args: Any,
        digest: bool,
        delete_orphans: bool,
        expect: int | None,
        verbosity: int,
        **options: Any,
    ) -> None:
        if expect is not None and not delete_orphans:
            raise CommandError("--expect needs --delete-orphans.", returncode=2)
        audit = Audit(digests=digest, progress=partial(show_progress, stderr=self.stderr, silent=verbosity == 0))
        findings: list[Finding] = []
        failure: Exception | None = None
        try:
            findings.extend(audit.findings())
        except Exception as error:  # each storage has its own exceptions; report the differences found so far
            failure = error
        count = Counter(finding.problem for finding in findings)
        files = [finding.deletable if delete_orphans and not failure else None for finding in findings]
        deletable = len(files) - files.count(None)
        doubt = "" if failure else self._doubt(deletable, count[ORPHANED], audit.files, expect)
        results = [audit.delete_orphan(file) if file and not doubt else "" for file in files]
        if findings:
            rows = [self._row(*pair) for pair in zip(findings, results, strict=True)]
            self.stdout.writelines(f"{line}\n" for line in lines_of([("problem", "file", "row", ""), *rows]))
        self.stdout.write(
            f"{audit.rows} rows, {audit.files} files: "
            + ", ".join(f"{count[problem]} {problem}" for problem in PROBLEMS)
            + (f"; {results.count(DELETED)} deleted" if delete_orphans else "")
        )
        if failure:
            raise CommandError(f"The storage could not be compared: {failure!r}", returncode=2) from failure
        if doubt or findings:
            raise CommandError(doubt or "Rows and files differ.")

    @staticmethod
    def _doubt(deletable: int, orphans: int, files: int, expect: int | None) -> str:
        """Return why no file is to be deleted, or an empty text."""
        if expect is not None and expect != deletable:
            return f"{deletable} files could be deleted, not {expect}. Nothing was deleted."
        if expect is None and deletable and orphans * 2 > files:
            return (
                f"{orphans} of {files} files have no row: perhaps another site stores its files in the same folder."
                f" Nothing was deleted. To delete {deletable} files, add --expect {deletable}."
            )
        return ""

    def _row(self, finding: Finding, done: str) -> tuple[str, ...]:
        row = "" if finding.attachment_id is None else str(finding.attachment_id)
        return finding.problem, printable(finding.file), row, ", ".join(filter(None, [finding.detail, done]))
