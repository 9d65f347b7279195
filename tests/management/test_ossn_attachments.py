"""``ossn_attachments check``: whether rows and files agree."""

import os
import re
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from django.core.management import CommandError, call_command
from pytest_django import Settings

from ossn_messaging.management.attachment_check import Audit
from ossn_messaging.models import Attachment, Message
from ossn_messaging.storage import attachment_storage
from tests.support.api import API, upload
from tests.support.commands import run_command
from tests.support.files import PDF
from tests.support.storage import everywhere, files_in, keep_attachments_in

pytestmark = everywhere

HOUR = 60 * 60


def check(*options: str) -> tuple[int, list[str]]:
    return run_command("ossn_attachments", "check", *options)


def age(file: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(file, (then, then))


@pytest.fixture
def file(api: API, attachments_folder: Path) -> Path:
    """The file of an attachment that was sent."""
    api.ok(attachment=upload("dummy.pdf"))
    (file,) = files_in(attachments_folder)
    return file


def name(file: Path) -> str:
    return f"attachment/{file.name}"


def test_all_is_well(file: Path) -> None:
    assert check("--digest", "--delete-orphans") == (
        0,
        ["1 rows, 1 files: 0 missing, 0 orphaned, 0 wrong size, 0 wrong SHA-256; 0 deleted"],
    )


def test_nothing_was_ever_sent(api: API) -> None:
    assert check() == (0, ["0 rows, 0 files: 0 missing, 0 orphaned, 0 wrong size, 0 wrong SHA-256"])


def test_a_file_that_is_missing(file: Path) -> None:
    file.unlink()
    for options in ((), ("--digest",)):
        status, (head, line, summary) = check(*options)
        assert status == 1
        assert re.fullmatch(r"problem  file +row", head)
        assert line.split()[:3] == ["missing", name(file), str(Attachment.objects.get().pk)]
        assert summary == "1 rows, 0 files: 1 missing, 0 orphaned, 0 wrong size, 0 wrong SHA-256"


def test_a_file_of_another_size(file: Path) -> None:
    file.write_bytes(PDF + b" ")
    status, (_head, line, summary) = check()
    assert status == 1
    assert line.startswith(f"wrong size  {name(file)}  ")
    assert line.endswith(f"{len(PDF) + 1} bytes, not {len(PDF)}")
    assert " 1 wrong size" in summary


def test_a_file_of_other_bytes(file: Path) -> None:
    file.write_bytes(PDF.replace(b"Catalog", b"Catalox"))
    assert check()[0] == 0, "only reading it tells"
    status, (_head, line, summary) = check("--digest")
    assert status == 1
    assert line.startswith(f"wrong SHA-256  {name(file)}  ")
    assert summary.endswith(" 1 wrong SHA-256")


@pytest.fixture
def orphan(file: Path) -> Path:
    orphan = file.with_name(f"{'0' * 32}.pdf")
    orphan.write_bytes(PDF)
    return orphan


def test_a_file_without_a_row(file: Path, orphan: Path) -> None:
    age(orphan, HOUR + 1)
    status, (_head, line, summary) = check()
    assert status == 1
    assert line.startswith(f"orphaned  {name(orphan)}  ")
    assert " 1 orphaned" in summary
    assert orphan.exists(), "it was not asked to remove it"


def test_only_old_orphans_are_removed(file: Path, orphan: Path) -> None:
    age(file, HOUR * 2)
    age(orphan, HOUR - 60)
    status, lines = check("--delete-orphans")
    assert (status, lines[-1][-11:]) == (1, "; 0 deleted")
    assert orphan.exists()
    age(orphan, HOUR + 1)
    status, (_head, line, summary) = check("--delete-orphans")
    assert (status, summary[-11:]) == (1, "; 1 deleted")
    assert line.endswith(", deleted")
    assert not orphan.exists()
    assert file.read_bytes() == PDF
    assert check()[0] == 0


@pytest.fixture
def of_another_site(file: Path) -> list[Path]:
    """Files in the folder of this site, which has no rows for them."""
    files = [file.with_name(f"{number:032}.pdf") for number in range(2)]
    for other in files:
        other.write_bytes(PDF)
        age(other, HOUR * 2)
    return files


def test_the_files_of_another_site_are_not_removed(file: Path, of_another_site: list[Path]) -> None:
    with pytest.raises(CommandError, match=r"2 of 3 files have no row.+another site.+add --expect 2") as caught:
        call_command("ossn_attachments", "check", "--delete-orphans", stdout=(printed := StringIO()))
    assert caught.value.returncode == 1
    assert printed.getvalue().endswith("; 0 deleted\n")
    assert all(other.exists() for other in of_another_site)


def test_half_of_the_files_are_not_most(file: Path, orphan: Path) -> None:
    age(orphan, HOUR * 2)
    assert check("--delete-orphans")[1][-1].endswith("1 orphaned, 0 wrong size, 0 wrong SHA-256; 1 deleted")


def test_as_many_files_are_removed_as_are_expected(file: Path, of_another_site: list[Path]) -> None:
    age(of_another_site[0], HOUR - 60)
    for number in ("0", "2"):
        with pytest.raises(CommandError, match=f"1 files could be deleted, not {number}. Nothing was deleted"):
            call_command("ossn_attachments", "check", "--delete-orphans", "--expect", number, stdout=StringIO())
    assert all(other.exists() for other in of_another_site)
    assert check("--delete-orphans", "--expect", "1")[1][-1].endswith("; 1 deleted")
    assert [other.exists() for other in of_another_site] == [True, False]
    of_another_site[0].unlink()
    assert check("--delete-orphans", "--expect", "0")[0] == 0
    assert check("--delete-orphans", "--expect", "1")[0] == 1, "nothing is there, though something is expected"


def test_a_number_is_expected_of_nothing(file: Path) -> None:
    with pytest.raises(CommandError, match="--expect needs --delete-orphans") as caught:
        call_command("ossn_attachments", "check", "--expect", "1")
    assert caught.value.returncode == 2


def test_nothing_is_removed_if_not_all_is_known(file: Path, orphan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise OSError("the disk is gone")

    age(orphan, HOUR * 2)
    monkeypatch.setattr(type(attachment_storage()), "open", fail)
    status, lines = check("--delete-orphans", "--digest")
    assert (status, lines[-1][-11:]) == (2, "; 0 deleted")
    assert orphan.exists()


def test_a_row_that_comes_meanwhile(api: API, file: Path, orphan: Path) -> None:
    """A file comes before its row: what was found without one may have it when it is to be removed."""
    age(orphan, HOUR * 2)
    audit = Audit(digests=False, progress=lambda steps, what, total: steps)
    (finding,) = audit.findings()
    Attachment.objects.update(file=name(orphan))
    assert finding.orphan
    assert audit.delete_orphan(finding.orphan) == "it has one now"
    assert orphan.exists()


def test_a_message_that_comes_or_goes_meanwhile(api: API, file: Path) -> None:
    """Between the listing of the files and that of the rows."""

    def progress(steps: Any, what: str, total: int) -> Any:
        if what == "rows":
            api.ok(attachment=upload("dummy.pdf"))
        yield from steps

    audit = Audit(digests=True, progress=progress)
    assert list(audit.findings()) == []
    assert (audit.files, audit.rows) == (1, 2)

    def delete_first(steps: Any, what: str, total: int) -> Any:
        for step in steps:
            if what == "rows" and total:
                file.unlink(missing_ok=True)
                Message.objects.filter(attachment__file=name(file)).delete()
            yield step

    assert list(Audit(digests=True, progress=delete_first).findings()) == []


def test_what_can_not_be_removed_or_read(file: Path, orphan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All else is told, and done."""

    def fail(*args: Any) -> None:
        raise PermissionError("not yours")

    age(orphan, HOUR * 2)
    monkeypatch.setattr(type(attachment_storage()), "delete", fail)
    status, (_head, line, summary) = check("--delete-orphans")
    assert (status, summary[-11:]) == (1, "; 0 deleted")
    assert line.endswith("could not be deleted: PermissionError('not yours')")
    monkeypatch.setattr(type(attachment_storage()), "open", fail)
    status, (_head, line, _summary) = check("--digest")
    assert (status, line.split()[0]) == (2, "orphaned")


def test_a_name_that_is_no_text(file: Path) -> None:
    if file.parts[-3] != "ossn_attachments":
        return  # S3 has no such names
    os.rename(file, os.fsencode(file.parent) + b"/\xff\x1b[2J.pdf")
    status, (_head, orphaned, missing, _summary) = check()
    assert status == 1
    assert orphaned.startswith("orphaned  'attachment/\\udcff\\x1b[2J.pdf'")
    assert missing.startswith("missing")


def test_a_folder_that_can_not_be_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if file.parts[-3] != "ossn_attachments":
        return

    def fail(*args: Any) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(CommandError, match="not yours"):
        call_command("ossn_attachments", "check", stdout=StringIO())


def test_without_time_zones(file: Path, orphan: Path, settings: Settings) -> None:
    settings.USE_TZ = False
    age(orphan, HOUR + 60)
    assert check("--delete-orphans")[1][-1].endswith("; 1 deleted")


def test_more_files_than_are_asked_for_at_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossn_messaging.management.attachment_check.BATCH", 2)
    for number in range(5):
        file.with_name(f"{number:032}.pdf").write_bytes(PDF)
    assert check()[1][-1] == "1 rows, 6 files: 0 missing, 5 orphaned, 0 wrong size, 0 wrong SHA-256"


def test_a_storage_that_fails(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(type(attachment_storage()), "walk", fail)
    with pytest.raises(CommandError, match="the disk is gone") as caught:
        call_command("ossn_attachments", "check")
    assert caught.value.returncode == 2


@pytest.mark.parametrize(
    ("storage", "options"), [(InMemoryStorage, {}), (FileSystemStorage, {"location": "attachments-of-the-site"})]
)
def test_any_storage_of_djangos(
    api: API,
    settings: Settings,
    storage: type,
    options: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    keep_attachments_in(settings, f"{storage.__module__}.{storage.__name__}", **options)
    assert check()[0] == 0
    api.ok(attachment=upload("dummy.pdf"))
    assert check("--digest")[0] == 0
    attachment_storage().save("attachment/deeper/a.pdf", ContentFile(PDF))
    status, (_head, line, _summary) = check()
    assert (status, line.split()[1]) == (1, "attachment/deeper/a.pdf")


def test_a_file_that_goes_from_another_storage_while_it_is_listed(
    api: API, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_attachments_in(settings, f"{InMemoryStorage.__module__}.InMemoryStorage")
    api.ok(attachment=upload("dummy.pdf"))
    listdir = InMemoryStorage.listdir
    monkeypatch.setattr(InMemoryStorage, "listdir", lambda *args: ([], ["gone.pdf", *listdir(*args)[1]]))
    assert check("--digest")[0] == 0


def test_what_a_crash_leaves_on_the_disk(api: API, tmp_path: Path) -> None:
    unfinished = tmp_path / "ossn_attachments" / "attachment" / f".{'0' * 32}.tmp"
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(PDF[:10])
    age(unfinished, HOUR * 2)
    if not attachment_storage().exists(name(unfinished)):
        return  # this storage is elsewhere
    assert check("--delete-orphans", "--expect", "1")[0] == 1
    assert not unfinished.exists()


def test_progress_is_shown_on_a_terminal_alone(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    with pytest.MonkeyPatch.context() as shown:
        shown.setattr(sys, "stderr", terminal := Terminal())
        check()
        assert "1 of about 1 files" in terminal.getvalue()
        assert "1 of about 1 rows" in terminal.getvalue()
        shown.setattr(sys, "stderr", terminal := Terminal())
        call_command("ossn_attachments", "check", verbosity=0, stdout=StringIO())
        assert terminal.getvalue() == ""
    check()
    assert capfd.readouterr().err == ""
