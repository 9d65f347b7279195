"""When a part of the server fails: neither a row nor a file, or, after the commit, both."""

import errno
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import django
import pytest
from django.core import mail
from django.core.files.storage import FileSystemStorage
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponseBase
from django.utils.log import AdminEmailHandler
from pytest_django import Settings

from ossn_messaging.api.downloads import serve_attachment
from ossn_messaging.exceptions import ServiceUnavailable
from ossn_messaging.models import APIKey, Attachment, Conversation, Message
from ossn_messaging.signals import message_sent
from tests.site import Behind
from tests.support.api import API, SEND, upload
from tests.support.storage import everywhere, files_in, keep_attachments_in

REASON = "the wire was cut"


@contextmanager
def failing_database(at: int, *, once: bool = False) -> Iterator[list[str]]:
    """Let the ``at``-th statement from here fail, and those after it, as when a connection is lost."""
    seen: list[str] = []

    def execute(run: Callable[..., Any], sql: str, *args: Any) -> Any:
        if sql == "BEGIN":  # a statement on SQLite alone
            return run(sql, *args)
        seen.append(sql)
        if len(seen) == at or (len(seen) > at and not once):
            raise OperationalError(REASON)
        return run(sql, *args)

    with connection.execute_wrapper(execute):
        yield seen


def nothing_is_stored(folder: Path) -> bool:
    return not (
        Message.objects.exists() or Attachment.objects.exists() or Conversation.objects.exists() or files_in(folder)
    )


@everywhere
@pytest.mark.parametrize("statement", [1, 2, 3, 4, 5])
def test_a_database_that_fails(
    api: API, statement: int, attachments_folder: Path, caplog: pytest.LogCaptureFixture, received: list[Any]
) -> None:
    with failing_database(statement) as seen:
        answer = api.send(status=503, attachment=upload("dummy.pdf"))
    assert len(seen) == statement
    assert answer["code"] == "200"
    assert answer["message"] == "Message send failed: the server cannot do this now, try again later"
    assert nothing_is_stored(attachments_folder)
    assert received == []
    assert REASON in caplog.text
    assert api.key not in caplog.text


@everywhere
def test_a_commit_that_fails(api: API, attachments_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def commit() -> None:
        raise OperationalError(REASON)

    monkeypatch.setattr(connection, "_commit", commit)
    assert api.send(status=503, attachment=upload("dummy.pdf"))["code"] == "200"
    monkeypatch.undo()
    assert nothing_is_stored(attachments_folder)


@everywhere
def test_a_commit_whose_answer_is_lost(
    api: API, attachments_folder: Path, monkeypatch: pytest.MonkeyPatch, received: list[Any]
) -> None:
    """The message is there, and so are its file, the answer and the signal."""
    commit = connection._commit  # type: ignore[attr-defined]

    def commit_and_fail() -> None:
        commit()
        raise OperationalError(REASON)

    monkeypatch.setattr(connection, "_commit", commit_and_fail)
    api.ok(attachment=upload("dummy.pdf"))
    monkeypatch.undo()
    assert len(received) == 1
    assert [path.name for path in files_in(attachments_folder)] == [
        str(Attachment.objects.get().file).removeprefix("attachment/")
    ]


@everywhere
def test_a_commit_of_which_nothing_is_known(
    api: API, attachments_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The file stays: better one without a row than a row without its file."""

    def commit() -> None:
        raise OperationalError(REASON)

    APIKey.objects.touch()
    monkeypatch.setattr(connection, "_commit", commit)
    with failing_database(6):
        api.send(status=503, attachment=upload("dummy.pdf"))
    monkeypatch.undo()
    (file,) = files_in(attachments_folder)
    name = f"attachment/{file.name}"
    assert f"It is not known whether the file {name} has a row, so it stays on the storage." in caplog.messages


@pytest.mark.parametrize("done", [True, False])
def test_a_commit_of_which_the_second_question_tells(
    api: API, attachments_folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    """The file is there if its row is, though nobody knew at first; no copy of the database is asked for the row."""
    settings.DATABASE_ROUTERS = [Behind()]
    commit = connection._commit  # type: ignore[attr-defined]

    def commit_and_fail() -> None:
        if done:
            commit()
        raise OperationalError(REASON)

    APIKey.objects.touch()
    monkeypatch.setattr(connection, "_commit", commit_and_fail)
    with failing_database(6, once=True):
        api.send(status=503, attachment=upload("dummy.pdf"))
    monkeypatch.undo()
    settings.DATABASE_ROUTERS = []
    assert Attachment.objects.count() == len(files_in(attachments_folder)) == int(done)


@pytest.mark.parametrize("call", ["mkdir", "open", "fsync", "link"])
def test_a_disk_that_fails(
    api: API, call: str, attachments_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = getattr(os, call)

    def fail(*args: Any, **kwargs: Any) -> Any:
        if call == "open" and not args[1] & os.O_CREAT:
            return real(*args, **kwargs)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    answer = api.send(status=503, attachment=upload("dummy.pdf"))
    monkeypatch.undo()
    assert answer["code"] == "200"
    assert nothing_is_stored(attachments_folder)
    assert "No space left on device" in caplog.text


@pytest.fixture(params=[0, 1])
def inspection_processes(request: pytest.FixtureRequest, settings: Settings) -> None:
    """Inspect attachments in the worker, and in a process."""
    settings.OSSN_MESSAGING = {"INSPECTION_PROCESSES": request.param}


@pytest.mark.usefixtures("inspection_processes")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_on_which_an_upload_waits(
    api: API, number: int, attachments_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no fault of the file."""

    def fail(*args: Any, **options: Any) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    assert api.send(status=503, attachment=upload("photo.png"))["code"] == "200"
    with pytest.raises(ServiceUnavailable):
        Message.objects.send(sender=api.sender, recipient=api.recipient, text="Test", upload=upload("photo.png"))
    assert nothing_is_stored(attachments_folder)


@pytest.mark.usefixtures("inspection_processes")
@pytest.mark.parametrize("number", [0, 1])
def test_a_disk_that_is_full_on_which_an_upload_waits(
    api: API, number: int, attachments_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The temporary file with this number can be opened, but not written."""
    opened: list[Any] = []
    original = tempfile.TemporaryFile

    def temporary_file(**options: Any) -> Any:
        opened.append(open("/dev/full", "r+b", buffering=8192) if len(opened) == number else original(**options))
        return opened[-1]

    monkeypatch.setattr("tempfile.TemporaryFile", temporary_file)
    assert api.send(status=503, attachment=upload("photo.png"))["code"] == "200"
    opened.clear()
    with pytest.raises(ServiceUnavailable):
        Message.objects.send(sender=api.sender, recipient=api.recipient, text="Test", upload=upload("photo.png"))
    assert nothing_is_stored(attachments_folder)


class UselessStorage(FileSystemStorage):
    def _save(self, name: str, content: Any) -> str:
        raise RuntimeError("the bucket is gone")

    def delete(self, name: str) -> None:
        raise RuntimeError("the bucket is still gone")

    def _open(self, name: str, mode: str = "rb") -> Any:
        raise RuntimeError("the bucket is gone")


def test_a_worker_that_is_told_to_stop(api: API, attachments_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the file is on its storage, and before that has said so."""
    save = FileSystemStorage.save

    def stop(*args: Any, **kwargs: Any) -> None:
        save(*args, **kwargs)
        raise SystemExit

    monkeypatch.setattr(FileSystemStorage, "save", stop)
    with pytest.raises(SystemExit):
        Message.objects.send(sender=api.sender, recipient=api.recipient, text="x", upload=upload("dummy.pdf"))
    assert nothing_is_stored(attachments_folder)


USELESS = f"{UselessStorage.__module__}.{UselessStorage.__name__}"


def test_a_storage_that_fails(
    api: API, settings: Settings, attachments_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep_attachments_in(settings, USELESS)
    assert api.send(status=503, attachment=upload("dummy.pdf"))["code"] == "200"
    assert "the bucket is gone" in caplog.text
    assert "the bucket is still gone" in caplog.text
    assert nothing_is_stored(attachments_folder)
    with pytest.raises(ServiceUnavailable) as caught:
        Message.objects.send(sender=api.sender, recipient=api.recipient, text="x", upload=upload("dummy.pdf"))
    assert str(caught.value.__cause__) == "the bucket is gone"


def test_a_storage_that_fails_to_read(api: API, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    url = api.ok(attachment=upload("dummy.pdf"))["attachment_url"]
    keep_attachments_in(settings, USELESS)
    assert api.read(api.client.get(url), 503)["payload"] is False
    assert "the bucket is gone" in caplog.text


def test_a_file_that_is_lost(api: API, attachments_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = api.ok(attachment=upload("dummy.pdf"))["attachment_url"]
    files_in(attachments_folder)[0].unlink()
    api.read(api.client.get(url), 503)
    assert "FileNotFoundError" in caplog.text


@pytest.mark.parametrize("deletion", ["delete", "delete_for_both", "delete_attachments"])
def test_a_file_that_is_deleted_while_it_is_asked_for(
    api: API, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, deletion: str
) -> None:
    """As if it had been asked for a moment later; no server is at fault."""
    url = api.ok(attachment=upload("dummy.pdf"))["attachment_url"]

    def delete_and_serve(request: HttpRequest, attachment: Attachment) -> HttpResponseBase:
        getattr(Message.objects.all(), deletion)()
        return serve_attachment(request, attachment)

    monkeypatch.setattr("ossn_messaging.api.views.serve_attachment", delete_and_serve)
    racing = api.read(api.client.get(url), 404)
    assert {**racing, "time_token": 0} == {**api.read(api.client.get(url), 404), "time_token": 0}
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_file_that_is_lost_while_the_database_fails(
    api: API, monkeypatch: pytest.MonkeyPatch, attachments_folder: Path
) -> None:
    url = api.ok(attachment=upload("dummy.pdf"))["attachment_url"]
    files_in(attachments_folder)[0].unlink()
    with failing_database(2):
        api.read(api.client.get(url), 503)


@pytest.mark.parametrize("debug", [False, True])
def test_a_defect(api: API, settings: Settings, debug: bool, caplog: pytest.LogCaptureFixture) -> None:
    settings.DEBUG = debug
    settings.OSSN_MESSAGING = {"CAN_SEND": "tests.site.broken"}
    answer = api.send(status=500)
    assert (answer["code"], answer["message"]) == ("200", "Message send failed: an internal error occurred")
    assert "ZeroDivisionError" in caplog.text
    settings.OSSN_MESSAGING = {"USER_AVATAR": "tests.site.broken"}
    assert api.send(status=500)["code"] == "200"
    assert not Message.objects.exists()


@pytest.fixture
def error_mails(settings: Settings) -> Iterator[None]:
    """Let error reports be mailed with all that Django can tell of an error."""
    owner = "owner@example.com"
    settings.ADMINS = [owner] if django.VERSION >= (6, 0) else [("Owner", owner)]
    handler = AdminEmailHandler(include_html=True)
    loggers = [logging.getLogger(name) for name in ("django.request", "ossn_messaging")]
    for logger in loggers:
        logger.addHandler(handler)
    yield
    for logger in loggers:
        logger.removeHandler(handler)


def test_no_error_report_has_the_key(api: API, error_mails: None) -> None:
    for statement in (1, 2, 3):
        with failing_database(statement):
            api.send(status=503)
            api.read(api.client.get(SEND, api.fields()), 503)
            api.send(status=503, api_key_token=None, headers={"Authorization": f"Api-Key {api.key}"})
    assert len(mail.outbox) == 9
    for message in mail.outbox:
        assert isinstance(message, mail.EmailMultiAlternatives)
        assert "Traceback" not in message.subject
        assert REASON in str(message.message())
        assert api.key not in str(message.message())
        assert api.key not in str(message.alternatives)


def test_no_error_report_of_the_sites_own_views_has_the_key(api: API, error_mails: None) -> None:
    api.client.raise_request_exception = False
    with failing_database(1):
        response = api.client.get("/whoami", headers={"Authorization": f"Api-Key {api.key}"})
    assert response.status_code == 500
    reports = [str(message.message()) + str(getattr(message, "alternatives", "")) for message in mail.outbox]
    assert any("authenticate_credentials" in report for report in reports)
    assert not any(api.key in report for report in reports)


def test_a_receiver_that_fails_changes_nothing(api: API, caplog: pytest.LogCaptureFixture) -> None:
    def fail(**kwargs: Any) -> None:
        raise ValueError("the receiver's own trouble")

    message_sent.connect(fail)
    try:
        api.ok(attachment=upload("dummy.pdf"))
    finally:
        message_sent.disconnect(fail)
    assert Message.objects.count() == 1
    assert "the receiver's own trouble" in caplog.text


def test_the_sites_own_transaction_fails_later(api: API, received: list[Any]) -> None:
    with transaction.atomic():
        Message.objects.send(sender=api.sender, recipient=api.recipient, text="x")
        transaction.set_rollback(True)
    assert not Message.objects.exists()
    assert not Conversation.objects.exists()
    assert received == []
