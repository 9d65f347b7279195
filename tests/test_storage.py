"""Where attachments are kept."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage, default_storage
from moto import mock_aws
from pytest_django import Settings

from ossn_messaging import storage
from ossn_messaging.models import Attachment, Message
from ossn_messaging.storage import LocalAttachmentStorage, attachment_storage
from tests.conftest import API, fetch, files_in, keep_attachments_in, upload
from tests.files import PDF, SAMPLES


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
    with pytest.raises(ValueError, match="no URL"):
        LocalAttachmentStorage().url("attachment/a.pdf")
    with pytest.raises(SuspiciousFileOperation):
        LocalAttachmentStorage().open("../settings.py")


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
    assert fetch(api.client, payload["attachment_url"])[1] == SAMPLES["photo.png"]
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


def test_s3_that_does_not_answer(api: API, bucket: Any, caplog: pytest.LogCaptureFixture) -> None:
    bucket.delete()
    assert api.send(status=503, attachment=upload("dummy.pdf"))["code"] == "200"
    assert "NoSuchBucket" in caplog.text
    assert not Message.objects.exists()


def test_local_storage_is_a_file_system_storage() -> None:
    assert issubclass(LocalAttachmentStorage, FileSystemStorage)
