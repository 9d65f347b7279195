"""How a file is given out: from here, whole or in part, by nginx, and by S3."""

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.files.storage import InMemoryStorage
from django.test import Client
from pytest_django import Settings

from ossn_messaging.models import Attachment
from tests.conftest import API, fetch, keep_attachments_in, upload
from tests.files import PDF, SAMPLES


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
def test_how_it_is_given_out(api: API, name: str, disposition: str) -> None:
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
