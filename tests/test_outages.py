"""When real parts fail: a server of S3 that is killed or stopped, a full disk, a client that hangs up.

After each there is no message, and at most a file without a row.
"""

import io
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.core.signals import request_finished
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from PIL import Image
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from ossn_messaging.exceptions import ServiceUnavailable
from ossn_messaging.models import Attachment, Conversation, Message
from ossn_messaging.storage import s3 as s3_module
from tests.conftest import API, SEND, files_in, keep_attachments_in, keep_attachments_in_s3, upload
from tests.files import pdf, picture
from tests.servers import HOST, SECONDS, S3Server, reset_when_closed, s3_server, wait_until

SIZE = 8 * 1024 * 1024
LARGE = pdf(b"<</Length %d>>stream\n%sendstream" % (SIZE, os.urandom(SIZE)))


def large() -> SimpleUploadedFile:
    return upload("large.pdf", LARGE)


@pytest.fixture
def own_s3(tmp_path: Path) -> Iterator[S3Server]:
    (tmp_path / "s3" / "bucket").mkdir(parents=True)
    with s3_server(tmp_path / "s3") as server:
        yield server


def only_orphans_are_found(capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether the check, which must not fail itself, finds no row that is wrong."""
    with suppress(CommandError):
        call_command("ossn_attachments", "check", "--digest", "--delete-orphans")
    summary = capsys.readouterr().out.splitlines()[-1]
    return summary.endswith("0 wrong size, 0 wrong SHA-256; 0 deleted") and " 0 missing" in summary


def nothing_was_sent() -> bool:
    return not (Message.objects.exists() or Attachment.objects.exists() or Conversation.objects.exists())


@contextmanager
def outage_within_the_upload(settings: Settings, server: S3Server, outage: Callable[[], None]) -> Iterator[None]:
    with server.through_wire(SIZE // 2, outage) as wired:
        keep_attachments_in_s3(settings, wired, Path("bucket"), client_config=None)
        yield


def test_s3_is_killed_within_an_upload(
    api: API, settings: Settings, own_s3: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with outage_within_the_upload(settings, own_s3, own_s3.kill):
        assert api.send(status=503, attachment=large())["code"] == "200"
    assert nothing_was_sent()
    with s3_server(tmp_path / "s3", own_s3.port) as again:
        keep_attachments_in_s3(settings, again, Path("bucket"))
        assert only_orphans_are_found(capsys)
        api.ok(attachment=large())
        assert only_orphans_are_found(capsys)


def test_s3_is_stopped_within_an_upload_and_goes_on_later(
    api: API, settings: Settings, own_s3: S3Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "CONNECT_TIMEOUT", 1)
    monkeypatch.setattr(s3_module, "READ_TIMEOUT", 1)
    with outage_within_the_upload(settings, own_s3, own_s3.stop):
        assert api.send(status=503, attachment=large())["code"] == "200"
    assert nothing_was_sent()
    own_s3.go_on()
    keep_attachments_in_s3(settings, own_s3, Path("bucket"))
    assert only_orphans_are_found(capsys)
    api.ok(attachment=large())


@pytest.mark.sends
def test_s3_is_stopped_for_a_moment(api: API, settings: Settings, own_s3: S3Server, tmp_path: Path) -> None:
    def pause() -> None:
        own_s3.stop()
        own_s3.go_on()

    with outage_within_the_upload(settings, own_s3, pause):
        api.ok(attachment=large())
    assert [file.read_bytes() for file in files_in(tmp_path / "s3" / "bucket")] == [LARGE]


def test_s3_is_dead(api: API, settings: Settings, own_s3: S3Server) -> None:
    keep_attachments_in_s3(settings, own_s3, Path("bucket"), client_config=None)
    own_s3.kill()
    assert api.send(status=503, attachment=upload("dummy.pdf"))["code"] == "200"
    assert nothing_was_sent()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here; a disk that only says it is full is in test_faults")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_the_disk_is_full(
    api: API, settings: Settings, small_disk: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    keep_attachments_in(settings, "ossn_messaging.storage.LocalAttachmentStorage", location=small_disk)
    assert api.send(status=503, attachment=large())["code"] == "200"
    assert "No space left on device" in caplog.text
    assert nothing_was_sent()
    assert files_in(small_disk) == []
    api.ok(attachment=upload("dummy.pdf"))
    assert only_orphans_are_found(capsys)


def test_the_disk_for_uploads_is_full(
    api: API, settings: Settings, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = small_disk
    assert api.send(status=503, attachment=large())["code"] == "200"
    assert "No space left on device" in caplog.text
    assert nothing_was_sent()
    assert os.statvfs(small_disk).f_bfree == os.statvfs(small_disk).f_blocks


def test_the_disk_is_full_on_which_a_picture_waits(api: API, settings: Settings, small_disk: Path) -> None:
    """It is no fault of the picture."""
    noise = Image.frombytes("RGB", (700, 700), os.urandom(3 * 700 * 700))
    sent = upload("a.png", picture("PNG", noise))
    settings.FILE_UPLOAD_TEMP_DIR = small_disk
    with pytest.raises(ServiceUnavailable):
        Message.objects.send(sender=api.sender, recipient=api.recipient, text="x", upload=sent)
    assert nothing_was_sent()


def test_the_disk_is_full_on_which_a_body_in_chunks_waits(api: API, settings: Settings, small_disk: Path) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = small_disk
    body = encode_multipart(BOUNDARY, api.fields(attachment=large()))
    environ: dict[str, Any] = {
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "CONTENT_LENGTH": "",
        "HTTP_TRANSFER_ENCODING": "chunked",
    }
    api.read(api.client.generic("POST", SEND, b"-", MULTIPART_CONTENT, **environ), 503)


def send_while_no_upload_can_wait(api: API, settings: Settings, folder: Path, **changes: Any) -> tuple[Any, int]:
    """Send a large file, and return the response and how many bytes of it were not read."""
    settings.FILE_UPLOAD_TEMP_DIR = folder / "gone"
    chunked: dict[str, Any] = changes.pop("chunked", {})
    body = encode_multipart(BOUNDARY, api.fields(attachment=large(), **changes))
    stream = io.BytesIO(body)
    environ = {"CONTENT_LENGTH": str(len(body)), **chunked, "wsgi.input": stream}
    return api.client.generic("POST", SEND, b"-", MULTIPART_CONTENT, **environ), len(stream.read())


CHUNKED = {"wsgi.input_terminated": True, "CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}


@pytest.mark.parametrize("chunked", [{}, CHUNKED], ids=["whole", "in chunks"])
def test_a_client_can_hear_that_the_disk_for_uploads_fails(
    api: API, settings: Settings, tmp_path: Path, chunked: dict[str, Any]
) -> None:
    """It must have been read to its end: a server that hangs up on who is still sending takes the answer along."""
    response, left = send_while_no_upload_can_wait(api, settings, tmp_path, chunked=chunked)
    assert api.read(response, 503)["code"] == "200"
    assert left == 0
    assert nothing_was_sent()


def test_the_order_of_checks_holds_when_the_disk_for_uploads_fails(
    api: API, settings: Settings, tmp_path: Path
) -> None:
    for changes, code in (({"api_key_token": "wrong"}, "106"), ({"message": " "}, "106"), ({"to": "999999999"}, "103")):
        response, _left = send_while_no_upload_can_wait(api, settings, tmp_path, **changes)
        assert api.read(response)["code"] == code


@pytest.fixture
def uploads(settings: Settings, tmp_path: Path) -> Path:
    """Where a file waits while it arrives."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    settings.FILE_UPLOAD_TEMP_DIR = folder
    return folder


def held(folder: Path) -> list[str]:
    """Return the files in a folder that this process has open, though they may have no name any more."""
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            links.append(os.readlink(descriptor))
        except FileNotFoundError:  # the one with which the folder is read
            continue
    return [link for link in links if link.startswith(f"{folder}/")]


@pytest.mark.parametrize("way", ["closes", "resets"])
def test_a_client_hangs_up(api: API, live_server: LiveServer, uploads: Path, way: str) -> None:
    finished: list[Any] = []

    def note(**kwargs: Any) -> None:
        finished.append(held(uploads))

    body = encode_multipart(BOUNDARY, api.fields(attachment=large()))
    headers = f"Host: testserver\r\nContent-Type: {MULTIPART_CONTENT}\r\nContent-Length: {len(body)}"
    head = f"POST {SEND} HTTP/1.1\r\n{headers}\r\n\r\n"
    request_finished.connect(note)
    try:
        with socket.create_connection((HOST, live_server.thread.port), timeout=SECONDS) as client:
            client.sendall(head.encode() + body[: SIZE // 2])
            wait_until(lambda: held(uploads))
            if way == "resets":
                reset_when_closed(client)
        wait_until(lambda: finished)
    finally:
        request_finished.disconnect(note)
    assert finished == [[]]
    assert files_in(uploads) == []
    assert nothing_was_sent()


class Endless(io.RawIOBase):
    """A body that goes on as long as it is read, and knows how much of it was."""

    def __init__(self, start: bytes) -> None:
        self.start = start
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        self.taken += size
        data, self.start = self.start[:size], self.start[size:]
        return data.ljust(size, b"x")


def endless(
    api: API, sent_headers: dict[str, str] | None = None, query: str = "", **changes: Any
) -> tuple[Endless, dict[str, Any], int]:
    """Send a request with a file of 10 GB, and return what of it was read, the answer and its status."""
    body = encode_multipart(BOUNDARY, api.fields(**changes, attachment=upload("dummy.pdf")))
    stream = Endless(body[: body.index(b"%PDF")])
    environ: dict[str, Any] = {"wsgi.input": stream, "CONTENT_LENGTH": str(10**10)}
    response = api.client.generic("POST", f"{SEND}?{query}", b"-", MULTIPART_CONTENT, headers=sent_headers, **environ)
    return stream, json.loads(response.content), response.status_code


def test_a_file_that_is_too_large_is_not_received_to_its_end(api: API, settings: Settings, uploads: Path) -> None:
    settings.OSSN_MESSAGING = {"ATTACHMENT_MAX_SIZE": 3 * 1024 * 1024}
    stream, answer, status = endless(api)
    assert (status, answer["code"]) == (200, "200")
    assert "too large" in answer["message"]
    assert stream.taken < 4 * 1024 * 1024
    assert held(uploads) == []
    assert nothing_was_sent()


def test_parameters_outside_the_body_are_known(api: API, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"ATTACHMENT_MAX_SIZE": 1000}
    _stream, answer, status = endless(api, {"Authorization": f"Api-Key {api.key}"}, api_key_token=None)
    assert (status, "too large" in answer["message"]) == (200, True)
    _stream, answer, status = endless(api, query="from=999999", from_=None)
    assert (status, answer["code"]) == (200, "103")


def test_the_order_of_checks_holds_when_the_reading_stops(api: API, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"ATTACHMENT_MAX_SIZE": 1000}
    for changes, code in (({"api_key_token": "wrong"}, "106"), ({"message": " "}, "106"), ({"to": "999999999"}, "103")):
        _stream, answer, status = endless(api, None, "", **changes)
        assert (status, answer["code"]) == (200, code), changes


def test_what_was_not_read_is_not_said_to_be_missing(api: API, settings: Settings) -> None:
    """A parameter may follow the file."""
    settings.OSSN_MESSAGING = {"ATTACHMENT_MAX_SIZE": 1000}
    for missing in ("api_key_token", "from", "to", "message"):
        _stream, answer, status = endless(api, None, "", **{missing: None})
        assert (status, answer["code"]) == (413, "200")


@pytest.mark.sends
@pytest.mark.parametrize("size", [999, 1000, 1001, 5000])
def test_the_limit_is_the_last_size_that_is_taken(api: API, settings: Settings, uploads: Path, size: int) -> None:
    file = pdf(b"<</Length 0>>stream\nendstream")
    file = file.replace(b"stream\nend", b"stream\n" + b" " * (size - len(file)) + b"end")
    settings.OSSN_MESSAGING = {"ATTACHMENT_MAX_SIZE": 1000}
    answer = api.send(attachment=upload("a.pdf", file))
    assert answer["code"] == ("100" if size <= 1000 else "200"), answer
    assert held(uploads) == []
