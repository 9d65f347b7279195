"""Where attachments are kept."""

import errno
import http.client
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage, default_storage
from django.core.management import call_command
from moto import mock_aws
from pytest_django import Settings

from ossn_messaging import storage
from ossn_messaging.attachments.file_types import DOCX
from ossn_messaging.models import Attachment, Message
from ossn_messaging.storage import LocalAttachmentStorage, attachment_storage
from tests.support.api import API, fetch, upload
from tests.support.files import PDF, SAMPLES
from tests.support.servers import HOST, SECONDS, S3Server
from tests.support.storage import files_in, keep_attachments_in


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_by_default_a_private_folder_outside_media_root(api: API, settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    api.ok(attachment=upload("dummy.pdf"))
    folder = tmp_path / "ossn_attachments"
    (file,) = files_in(tmp_path)
    assert file.parent == folder / "attachment"
    assert mode(folder) == mode(folder / "attachment") == 0o700
    assert mode(file) == 0o600
    assert not default_storage.exists(str(Attachment.objects.get().file))


def test_the_folder_of_the_settings(settings: Settings, tmp_path: Path) -> None:
    keep_attachments_in(settings, "ossn_messaging.storage.LocalAttachmentStorage", location=tmp_path / "elsewhere")
    name = attachment_storage().save("attachment/a.pdf", ContentFile(PDF))
    assert (tmp_path / "elsewhere" / name).read_bytes() == PDF
    with attachment_storage().open(name) as file:
        assert file.read() == PDF
    attachment_storage().delete(name)
    assert files_in(tmp_path) == []


def test_any_storage_of_djangos(api: API, settings: Settings, tmp_path: Path) -> None:
    keep_attachments_in(settings, f"{InMemoryStorage.__module__}.InMemoryStorage")
    payload = api.ok(attachment=upload("photo.png"))
    assert files_in(tmp_path) == []
    assert fetch(api.client, payload["attachment_url"])[1] == SAMPLES["photo.png"]
    Message.objects.get().delete()
    assert not attachment_storage().exists(payload["file:attachment"])


def test_a_file_never_takes_anothers_place(tmp_path: Path) -> None:
    local = LocalAttachmentStorage()
    names = {local.save("attachment/a.pdf", ContentFile(b"%d" % number)) for number in range(3)}
    assert len(names) == len(files_in(tmp_path)) == 3


def test_names_never_collide(tmp_path: Path) -> None:
    """Though many savers ask for one name at once."""
    start = Barrier(8)

    def save(number: int) -> str:
        start.wait()
        return LocalAttachmentStorage().save("attachment/a.pdf", ContentFile(b"%d" % number))

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(save, range(8)))
    contents = [(tmp_path / "ossn_attachments" / name).read_bytes() for name in names]
    assert contents == [b"%d" % number for number in range(8)]
    assert len(files_in(tmp_path)) == 8


def test_a_name_that_is_taken_at_the_last_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def late(source: Path, target: str) -> None:
        if not Path(target).exists() and Path(target).name == "a.pdf":
            Path(target).write_bytes(b"another's")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    name = LocalAttachmentStorage().save("attachment/a.pdf", ContentFile(PDF))
    assert name != "attachment/a.pdf"
    assert sorted(file.read_bytes() for file in files_in(tmp_path)) == [PDF, b"another's"]


def test_a_disk_without_hard_links(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*args: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    url = api.ok(attachment=upload("dummy.pdf"))["attachment_url"]
    assert fetch(api.client, url)[1] == PDF


def test_a_file_is_never_seen_before_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[bool, list[str]]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append((is_folder, [path.suffix for path in files_in(tmp_path)]))
        fsync(descriptor)

    local = LocalAttachmentStorage()
    local.save("attachment/a.pdf", ContentFile(PDF))
    (tmp_path / "ossn_attachments/attachment/a.pdf").unlink()
    monkeypatch.setattr(os, "fsync", note)
    local.save("attachment/a.pdf", ContentFile(PDF))
    assert synced == [(False, [".tmp"]), (True, [".pdf"])], "first the file under another name, then its folder"


def test_it_has_no_urls_and_no_ways_out() -> None:
    with pytest.raises(ValueError, match="no public URL"):
        LocalAttachmentStorage().url("attachment/a.pdf")
    with pytest.raises(SuspiciousFileOperation):
        LocalAttachmentStorage().open("../settings.py")


def test_nothing_follows_a_symlink_out(api: API, attachments_folder: Path, tmp_path: Path) -> None:
    url = api.ok(attachment=upload("dummy.pdf"))["attachment_url"]
    secret = tmp_path / "secret.pdf"
    secret.write_bytes(PDF)
    (file,) = files_in(attachments_folder)
    file.unlink()
    file.symlink_to(secret)
    assert b"%PDF" not in api.client.get(url).content
    Message.objects.get().delete()
    assert secret.read_bytes() == PDF
    file.unlink(missing_ok=True)
    attachments_folder.rmdir()
    attachments_folder.symlink_to(tmp_path / "outside")
    (tmp_path / "outside").mkdir()
    assert api.send(status=503, attachment=upload("dummy.pdf"))["code"] == "200"
    assert files_in(tmp_path / "outside") == []


def test_the_folder_itself_may_be_a_symlink(api: API, tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    (tmp_path / "ossn_attachments").symlink_to(tmp_path / "large disk")
    url = api.ok(attachment=upload("dummy.pdf"))["attachment_url"]
    assert fetch(api.client, url)[1] == PDF
    assert len(files_in(tmp_path / "large disk")) == 1


def test_a_file_that_goes_while_it_is_listed(
    api: API, attachments_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = api.ok(attachment=upload("dummy.pdf"))
    (file,) = files_in(attachments_folder)
    monkeypatch.setattr(os, "walk", lambda top, **options: [(str(attachments_folder), [], ["gone.pdf", file.name])])
    assert [file.name for file in storage.walk(attachment_storage())] == [payload["file:attachment"]]


def test_without_a_folder_there_is_an_error_that_says_so(settings: Settings) -> None:
    del settings.BASE_DIR
    with pytest.raises(ImproperlyConfigured, match="BASE_DIR"):
        attachment_storage().exists("a.pdf")


def test_a_name_that_the_module_does_not_have() -> None:
    with pytest.raises(AttributeError, match="Nothing"):
        storage.Nothing  # noqa: B018


@pytest.fixture
def bucket(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    options = {"bucket_name": "private", "access_key": "id", "secret_key": "secret", "region_name": "us-east-1"}
    with mock_aws():
        bucket = boto3.resource("s3", region_name="us-east-1").create_bucket(Bucket="private")
        keep_attachments_in(settings, "ossn_messaging.storage.S3AttachmentStorage", **options)
        yield bucket


def test_s3(api: API, bucket: Any, tmp_path: Path) -> None:
    payload = api.ok(attachment=upload("photo.png"))
    assert [stored.key for stored in bucket.objects.all()] == [payload["file:attachment"]]
    assert files_in(tmp_path) == []
    assert bucket.Object(payload["file:attachment"]).get()["Body"].read() == SAMPLES["photo.png"]
    Message.objects.get().delete()
    assert list(bucket.objects.all()) == []


def test_s3_makes_nothing_public(bucket: Any, settings: Settings) -> None:
    """Though the site does so with its media."""
    settings.AWS_DEFAULT_ACL = "public-read"
    settings.AWS_S3_OBJECT_PARAMETERS = {"ACL": "public-read", "CacheControl": "max-age=60"}
    name = attachment_storage().save("attachment/a.pdf", ContentFile(PDF))
    grants = bucket.Object(name).Acl().grants
    assert [grant["Permission"] for grant in grants] == ["FULL_CONTROL"]
    assert "URI" not in grants[0]["Grantee"], "the owner's and no group's"
    assert bucket.Object(name).cache_control == "max-age=60"


def test_s3_overwrites_nothing(bucket: Any, settings: Settings) -> None:
    settings.AWS_S3_FILE_OVERWRITE = True
    names = {attachment_storage().save("attachment/a.pdf", ContentFile(PDF)) for _ in range(2)}
    assert len(names) == len(list(bucket.objects.all())) == 2


@pytest.mark.parametrize(("name", "disposition"), [("photo.webp", "inline"), ("letter.docx", "attachment")])
def test_s3_knows_what_an_object_is(api: API, bucket: Any, settings: Settings, name: str, disposition: str) -> None:
    """Whatever the client said of it, and the site of its media."""
    settings.AWS_S3_OBJECT_PARAMETERS = {"ContentType": "text/html", "ContentDisposition": "inline; x=y"}
    settings.AWS_IS_GZIPPED = True
    settings.GZIP_CONTENT_TYPES = ["image/webp", DOCX.content_type]
    payload = api.ok(attachment=upload(name, content_type="text/html"))
    stored = bucket.Object(payload["file:attachment"])
    assert stored.content_type == Attachment.objects.get().content_type
    assert stored.content_disposition == disposition
    assert stored.content_encoding is None


def test_s3_hands_out_no_url_that_is_not_signed(api: API, bucket: Any, settings: Settings) -> None:
    """Though the site does so with its media."""
    settings.AWS_S3_CUSTOM_DOMAIN = "cdn.example.com"
    settings.AWS_QUERYSTRING_AUTH = False
    settings.AWS_QUERYSTRING_EXPIRE = 10**6
    location = api.client.get(api.ok(attachment=upload("dummy.pdf"))["attachment_url"])["Location"]
    query = parse_qs(urlsplit(location).query)
    assert "cdn.example.com" not in location
    assert query["X-Amz-Signature"]
    assert query["X-Amz-Expires"] == ["60"]


def test_s3_is_given_up_after_seconds_unless_the_site_says_otherwise(bucket: Any, settings: Settings) -> None:
    config = attachment_storage().connection.meta.client.meta.config  # type: ignore[attr-defined]
    assert (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]) == (3, 5, 2)
    options = {**settings.STORAGES["ossn_messaging"]["OPTIONS"], "client_config": Config(read_timeout=30)}
    keep_attachments_in(settings, "ossn_messaging.storage.S3AttachmentStorage", **options)
    config = attachment_storage().connection.meta.client.meta.config  # type: ignore[attr-defined]
    assert (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]) == (3, 30, 2)
    assert config.signature_version == "s3v4"


def test_s3_keeps_to_its_location(api: API, bucket: Any, settings: Settings) -> None:
    options = {**settings.STORAGES["ossn_messaging"]["OPTIONS"], "location": "a/b"}
    keep_attachments_in(settings, "ossn_messaging.storage.S3AttachmentStorage", **options)
    bucket.put_object(Key="attachment/of-another-app.pdf", Body=PDF)
    payload = api.ok(attachment=upload("dummy.pdf"))
    assert bucket.Object(f"a/b/{payload['file:attachment']}").content_length == len(PDF)
    call_command("ossn_attachments", "check", "--digest")


def test_s3_behind_another_name(api: API, settings: Settings, s3: S3Server) -> None:
    """Clients reach the server under another URL than the site does, and a signature holds for one name alone."""
    options = s3.options("names", public_endpoint_url="http://s3.example.com:9000")
    keep_attachments_in(settings, "ossn_messaging.storage.S3AttachmentStorage", **options)
    attachment_storage().bucket.create()  # type: ignore[attr-defined]
    payload = api.ok(attachment=upload("dummy.pdf"))
    location = urlsplit(api.client.get(payload["attachment_url"])["Location"])
    assert location.netloc == "s3.example.com:9000"
    path = f"{location.path}?{location.query}"
    for host, status in (("s3.example.com:9000", 200), (f"{HOST}:{s3.port}", 403)):
        request = http.client.HTTPConnection(HOST, s3.port, timeout=SECONDS)
        request.request("GET", path, headers={"Host": host})
        response = request.getresponse()
        assert (response.status, response.read() == PDF) == (status, status == 200)
        request.close()
    assert urlsplit(attachment_storage().url(payload["file:attachment"])).netloc == "s3.example.com:9000"
    call_command("ossn_attachments", "check", "--digest")
    Message.objects.get().delete()
    assert not attachment_storage().exists(payload["file:attachment"])


def test_s3_that_does_not_answer(api: API, bucket: Any, caplog: pytest.LogCaptureFixture) -> None:
    bucket.delete()
    assert api.send(status=503, attachment=upload("dummy.pdf"))["code"] == "200"
    assert "NoSuchBucket" in caplog.text
    assert not Message.objects.exists()


def test_local_storage_is_a_file_system_storage() -> None:
    assert issubclass(LocalAttachmentStorage, FileSystemStorage)
