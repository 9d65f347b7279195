"""How a file is given out: from here, whole or in part, by nginx, and by S3."""

import asyncio
import hashlib
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from django.core.files.storage import InMemoryStorage
from django.test import AsyncRequestFactory, Client
from django.utils.http import content_disposition_header
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from ossn_messaging.api.views import AttachmentFile
from ossn_messaging.models import Attachment, Message
from tests.support.api import API, fetch, upload
from tests.support.files import PDF, SAMPLES, photo, picture
from tests.support.readme import the_block
from tests.support.servers import SECONDS, nginx
from tests.support.storage import keep_attachments_in

PICTURE = picture("PNG", photo((200, 200)))


@pytest.fixture
def url(api: API) -> str:
    """The URL of an attachment with its signature."""
    signed: str = api.ok(attachment=upload("dummy.pdf"))["attachment_url"]
    return signed


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("photo.png", 'inline; filename="photo.png"'),
        ("dummy.pdf", 'attachment; filename="dummy.pdf"'),
        ("letter.docx", 'attachment; filename="letter.docx"'),
    ],
)
def test_how_it_is_given_out(api: API, settings: Settings, name: str, disposition: str) -> None:
    """By the app alone, whatever headers a middleware of the site's may set."""
    settings.MIDDLEWARE = []
    payload = api.ok(attachment=upload(name))
    response, body = fetch(Client(), payload["attachment_url"])
    assert body == SAMPLES[name]
    assert response["Content-Type"] == Attachment.objects.get().content_type
    assert response["Content-Length"] == str(len(body))
    assert response["Content-Disposition"] == disposition
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response["Cache-Control"] == "private, no-cache"


def test_head_and_other_methods(api: API, url: str) -> None:
    response = Client().head(url)
    assert response.status_code == 200
    assert not response.streaming, "no byte of the file is read"
    whole, _body = fetch(Client(), url)
    assert response.headers == whole.headers
    assert api.read(Client().post(url), 405)["code"] == "101"


RANGES = {
    "bytes=0-3": (0, 4),
    "bytes=4-": (4, len(PDF)),
    "bytes=-5": (len(PDF) - 5, len(PDF)),
    "bytes=10-99999": (10, len(PDF)),
    "bytes=-99999": (0, len(PDF)),
    f"bytes=7-{'9' * 30}": (7, len(PDF)),
    " BYTES=7-7 ": (7, 8),
}


@pytest.mark.parametrize("header", RANGES)
def test_a_part_of_a_file(url: str, header: str) -> None:
    start, end = RANGES[header]
    response, body = fetch(Client(), url, headers={"Range": header})
    assert response.status_code == 206
    assert body == PDF[start:end]
    assert response["Content-Range"] == f"bytes {start}-{end - 1}/{len(PDF)}"
    assert response["Content-Length"] == str(end - start)
    assert response["Content-Type"] == "application/pdf"
    assert response["Content-Disposition"] == 'attachment; filename="dummy.pdf"'
    assert response["Content-Encoding"] == "identity"
    assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("header", ["bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b", "0-1"])
def test_a_range_that_is_none_or_several_is_the_whole_file(url: str, header: str) -> None:
    response, body = fetch(Client(), url, headers={"Range": header})
    assert (response.status_code, body) == (200, PDF)
    assert response["Accept-Ranges"] == "bytes"
    assert "Content-Range" not in response


@pytest.mark.parametrize("header", [f"bytes={len(PDF)}-", "bytes=99999-100000", "bytes=-0"])
def test_a_range_beyond_the_end(api: API, url: str, header: str) -> None:
    response = api.client.get(url, headers={"Range": header})
    assert api.read(response, 416)["code"] == "200"
    assert response["Content-Range"] == f"bytes */{len(PDF)}"


def test_a_part_is_not_packed_by_the_sites_middleware(url: str, settings: Settings) -> None:
    settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *settings.MIDDLEWARE]
    _response, body = fetch(Client(), url, headers={"Range": "bytes=0-250", "Accept-Encoding": "gzip"})
    assert body == PDF[:251]


def test_a_range_of_the_same_file_only(url: str) -> None:
    whole, _body = fetch(Client(), url)
    for condition, status in (
        (whole["ETag"], 206),
        (whole["Last-Modified"], 206),
        ('"another"', 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
    ):
        response, body = fetch(Client(), url, headers={"Range": "bytes=0-3", "If-Range": condition})
        assert (response.status_code, len(body)) == (status, 4 if status == 206 else len(PDF))


def test_what_the_client_has_already(url: str, attachments_folder: Path) -> None:
    whole, _body = fetch(Client(), url)
    next(attachments_folder.iterdir()).unlink()  # the row is enough
    for headers in (
        {"If-None-Match": whole["ETag"]},
        {"If-None-Match": f'"another", W/{whole["ETag"]}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": whole["Last-Modified"]},
        {"If-None-Match": whole["ETag"], "Range": "bytes=0-3"},
    ):
        response, body = fetch(Client(), url, headers=headers)
        assert (response.status_code, body) == (304, b"")
        assert response["ETag"] == whole["ETag"]
        assert response["Cache-Control"] == "private, no-cache"


def test_the_time_of_a_file_is_its_messages(url: str) -> None:
    Message.objects.update(created_at=datetime(2026, 1, 31, 12, 30, 15, 999_999, tzinfo=UTC))
    sent = "Sat, 31 Jan 2026 12:30:15 GMT"
    assert fetch(Client(), url)[0]["Last-Modified"] == sent
    for since, status in ((sent, 304), ("Sat, 31 Jan 2026 12:30:14 GMT", 200)):
        assert fetch(Client(), url, headers={"If-Modified-Since": since})[0].status_code == status


def test_what_the_client_has_not(api: API, url: str) -> None:
    whole, _body = fetch(Client(), url)
    old = "Sat, 01 Jan 2000 00:00:00 GMT"
    for headers in ({"If-None-Match": '"another"'}, {"If-Modified-Since": old}, {"If-Match": whole["ETag"]}):
        assert fetch(Client(), url, headers=headers)[1] == PDF
    for headers in ({"If-Match": '"another"'}, {"If-Unmodified-Since": old}):
        assert api.read(api.client.get(url, headers=headers), 412)["code"] == "200"


def test_the_etag_is_the_files(api: API, url: str) -> None:
    tags = {fetch(Client(), one)[0]["ETag"] for one in (url, api.ok(attachment=upload("dummy.pdf"))["attachment_url"])}
    assert tags == {f'"{hashlib.sha256(PDF).hexdigest()}"'}


def test_conditions_tell_nothing_of_a_file_that_is_closed(api: API, url: str) -> None:
    bare = urlsplit(url).path
    etag = fetch(Client(), url)[0]["ETag"]
    for headers in ({"If-None-Match": etag}, {"If-Match": '"another"'}, {"Range": "bytes=99999-"}):
        api.read(api.client.get(bare, headers=headers), 404)


def test_a_file_that_is_not_what_its_row_says(api: API, url: str, attachments_folder: Path) -> None:
    """A length that is announced and not sent would keep the client waiting, or take in what follows."""
    next(attachments_folder.iterdir()).write_bytes(PDF[:-9])
    for headers in ({}, {"Range": "bytes=-5"}):
        api.read(api.client.get(url, headers=headers), 503)


def test_under_asgi_it_is_sent_block_by_block(url: str, arf: AsyncRequestFactory, settings: Settings) -> None:
    settings.MIDDLEWARE = []
    number = Attachment.objects.get().pk

    def answer(**headers: str) -> Any:
        request = arf.get(url.removeprefix("http://testserver"), headers=headers)
        return AttachmentFile.as_view()(request, guid=str(number), name="dummy.pdf")

    async def packed_blocks() -> AsyncIterator[bytes]:
        yield b"by a middleware"

    async def blocks(response: Any) -> list[bytes]:
        return [block async for block in response]

    with pytest.MonkeyPatch.context() as small:
        small.setattr("ossn_messaging.api.downloads.BLOCK_SIZE", 100)
        responses = [answer(), answer(Range="bytes=2-105")]
        packed = answer()
        packed.streaming_content = packed_blocks()
        responses.append(packed)
        whole, part, other = [asyncio.run(blocks(response)) for response in responses]
    for response in responses:
        response.close()
    assert b"".join(whole) == PDF
    assert max(map(len, whole)) == 100
    assert [len(block) for block in part] == [100, 4]
    assert other == [b"by a middleware"]


class OnlyForwards(InMemoryStorage):
    """A storage whose files can't be read from the middle."""

    def _open(self, name: str, mode: str = "rb") -> Any:
        file = super()._open(name, mode)  # type: ignore[misc]
        file.seekable = lambda: False
        return file


def test_a_storage_whose_files_have_no_middle(api: API, settings: Settings) -> None:
    keep_attachments_in(settings, f"{OnlyForwards.__module__}.{OnlyForwards.__name__}")
    url = api.ok(attachment=upload("dummy.pdf"))["attachment_url"]
    response, body = fetch(Client(), url, headers={"Range": "bytes=0-3"})
    assert (response.status_code, body) == (200, PDF)


def nginx_location(files: Path) -> str:
    """Return the manual's location for nginx, with another folder."""
    return the_block("nginx", "/srv/attachments/").replace("/srv/attachments/", f"{files}/")


def test_a_real_nginx(
    api: API, live_server: LiveServer, settings: Settings, attachments_folder: Path, tmp_path: Path
) -> None:
    settings.OSSN_MESSAGING = {"X_ACCEL_REDIRECT": "/protected/"}
    payload = api.ok(attachment=upload("photo.png", PICTURE))
    path = payload["attachment_url"].removeprefix("http://testserver")
    (tmp_path / "nginx").mkdir()
    upstream = live_server.url.removeprefix("http://")
    with nginx(tmp_path / "nginx", upstream, nginx_location(attachments_folder.parent)) as server:

        def get(path: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            request = urllib.request.Request(server + path, headers={"Host": "testserver", **sent}, method=method)
            try:
                with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                    return answer.status, answer.headers, answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.headers, error.read()

        status, headers, body = get(path)
        assert (status, body) == (200, PICTURE)
        assert headers["Content-Type"] == "image/png"
        assert headers["Content-Disposition"] == 'inline; filename="photo.png"'
        assert headers["Content-Length"] == str(len(PICTURE))
        assert headers["Cache-Control"] == "private, no-cache"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert headers["Accept-Ranges"] == "bytes"
        assert get(path, "HEAD")[1]["Content-Length"] == str(len(PICTURE))
        assert get(path, If_None_Match=headers["ETag"])[0] == 304
        status, headers, body = get(path, Range="bytes=10-19")
        assert (status, body) == (206, PICTURE[10:20])
        assert headers["Content-Range"] == f"bytes 10-19/{len(PICTURE)}"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert get(path, Range="bytes=9999999-")[0] == 416
        stored = payload["file:attachment"]
        for closed in (path.partition("?")[0], f"/protected/{stored}", f"/protected/../protected/{stored}"):
            status, _headers, body = get(closed)
            assert (status, PICTURE in body) == (404, False), closed


@pytest.mark.parametrize("where", ["S3"], indirect=True)
@pytest.mark.parametrize(
    ("name", "disposition"),
    [("photo.png", 'inline; filename="photo.png"'), ("dummy.pdf", 'attachment; filename="dummy.pdf"')],
)
def test_s3_gives_it_out_for_a_minute(api: API, where: str, name: str, disposition: str) -> None:
    payload = api.ok(attachment=upload(name))
    response = api.client.get(payload["attachment_url"])
    assert response.status_code == 302
    assert response.content == b""
    assert response["Cache-Control"] == "private, no-cache"
    assert response["X-Content-Type-Options"] == "nosniff"
    query = dict(parse_qsl(urlsplit(response["Location"]).query))
    assert int(query["X-Amz-Expires"]) <= 60
    assert query["response-content-disposition"] == disposition
    far, body = fetch(Client(), payload["attachment_url"])
    assert body == SAMPLES[name]
    assert far["Content-Type"] == query["response-content-type"] == Attachment.objects.get().content_type
    assert far["Content-Disposition"] == disposition
    for change in ("response-content-type", "response-content-disposition", "X-Amz-Expires"):
        changed = response["Location"].replace(f"{change}={quote(query[change], safe='')}", f"{change}=9")
        assert changed != response["Location"]
        with pytest.raises(OSError), urllib.request.urlopen(changed, timeout=SECONDS):  # noqa: PT011, or it hangs up
            pytest.fail("it is not in the signature")


def test_the_way_to_s3_is_known_without_it(url: str, settings: Settings) -> None:
    """No server is asked, so it costs nothing, and what is wrong with S3 the client sees there."""
    options = {"bucket_name": "far", "access_key": "the-access-key", "secret_key": "the-secret-key"}
    backend = "ossn_messaging.storage.S3AttachmentStorage"
    keep_attachments_in(settings, backend, endpoint_url="http://s3.invalid", addressing_style="path", **options)
    attachment, signatures = Attachment.objects.get(), set()
    for method in ("GET", "HEAD"):
        response = Client().generic(method, url)
        assert (response.status_code, response.content) == (302, b"")
        location = urlsplit(response["Location"])
        assert (location.netloc, location.path) == ("s3.invalid", f"/far/{attachment.file.name}")
        query = dict(parse_qsl(location.query))
        assert 0 < int(query["X-Amz-Expires"]) <= 60
        assert query["response-content-type"] == "application/pdf"
        assert query["response-content-disposition"] == 'attachment; filename="dummy.pdf"'
        signatures.add(query["X-Amz-Signature"])
    assert len(signatures) == 2, "one for each method"


@pytest.mark.parametrize("where", ["S3"], indirect=True)
def test_s3_answers_to_head_and_ranges(api: API, where: str) -> None:
    url = api.ok(attachment=upload("dummy.pdf"))["attachment_url"]
    location = api.client.head(url)["Location"]
    with urllib.request.urlopen(urllib.request.Request(location, method="HEAD"), timeout=SECONDS) as answer:
        assert answer.headers["Content-Length"] == str(len(PDF))
    response, body = fetch(Client(), url, headers={"Range": "bytes=2-5"})
    assert (response["Content-Range"], body) == (f"bytes 2-5/{len(PDF)}", PDF[2:6])


@pytest.mark.parametrize("where", ["S3"], indirect=True)
@pytest.mark.parametrize("name", ['quo"te\\.pdf', "отчёт.pdf", "a;b=c%20d.pdf", "👨\u200d👩.pdf"])
def test_s3_keeps_the_name(api: API, where: str, name: str) -> None:
    payload = api.ok(attachment=upload("dummy.pdf"))
    Attachment.objects.update(name=name)
    path = f"/messages/attachment/{payload['attachment_guid']}/{quote(name)}"
    far, body = fetch(Client(), path, headers={"Authorization": f"Api-Key {api.key}"})
    assert body == PDF
    assert far["Content-Disposition"] == content_disposition_header(as_attachment=True, filename=name)


def test_nginx_is_told_where_the_file_is(api: API, url: str, settings: Settings, attachments_folder: Path) -> None:
    settings.OSSN_MESSAGING = {"X_ACCEL_REDIRECT": "/pro tected/"}
    response, body = fetch(Client(), url)
    (file,) = attachments_folder.iterdir()
    assert response["X-Accel-Redirect"] == f"/pro%20tected/attachment/{file.name}"
    assert (response.status_code, body) == (200, b"")
    assert response["Content-Type"] == "application/pdf"
    assert response["Content-Disposition"] == 'attachment; filename="dummy.pdf"'
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert "X-Accel-Redirect" not in Client().get(urlsplit(url).path)
    keep_attachments_in(settings, f"{InMemoryStorage.__module__}.InMemoryStorage")
    payload = api.ok(attachment=upload("dummy.pdf"))
    assert fetch(Client(), payload["attachment_url"])[1] == PDF, "elsewhere there is nothing for nginx"
