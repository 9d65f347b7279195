"""Several sites, or the tenants of one, in one folder or bucket."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage
from django.core.management import CommandError, call_command
from pytest_django import Settings

from ossn_messaging.models import Message
from ossn_messaging.storage import LocalAttachmentStorage, attachment_storage, walk
from tests.support.api import API, fetch, upload
from tests.support.files import PDF
from tests.support.storage import everywhere, files_in, keep_attachments_in

prefix: Any = ""


def current() -> Any:
    return prefix


@contextmanager
def tenant(name: Any) -> Iterator[None]:
    global prefix  # noqa: PLW0603, as a tenant is: one at a time
    before, prefix = prefix, name
    try:
        yield
    finally:
        prefix = before


@pytest.fixture(autouse=True)
def with_prefix(settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"ATTACHMENT_PREFIX": "tests.storage.test_prefix.current"}


@everywhere
def test_each_tenant_has_its_own_folder(api: API, attachments_folder: Path) -> None:
    folder = attachments_folder.parent
    for name in ("one", "two/deeper", ""):
        with tenant(name):
            payload = api.ok(attachment=upload("dummy.pdf"))
            assert fetch(api.client, payload["attachment_url"])[1] == PDF
            stored = folder / name / payload["file:attachment"]
            assert stored.read_bytes() == PDF
            assert [file.name for file in walk(attachment_storage())] == [payload["file:attachment"]]
            Message.objects.get().delete()
            assert not stored.exists()
    assert files_in(folder) == []


@everywhere
def test_the_files_of_other_tenants_are_no_orphans(api: API, attachments_folder: Path) -> None:
    with tenant("one"):
        api.ok(attachment=upload("dummy.pdf"))
    (file,) = files_in(attachments_folder.parent)
    then = time.time() - 7200
    os.utime(file, (then, then))
    for name in ("two", ""):
        with tenant(name), pytest.raises(CommandError, match="differ"):
            call_command("ossn_attachments", "check", "--delete-orphans", stdout=(printed := StringIO()))
        assert "1 rows, 0 files: 1 missing, 0 orphaned" in printed.getvalue()
    assert file.exists()


@everywhere
@pytest.mark.parametrize("name", ["..", "a/../b", "/a", "a/", "a//b", ".a", "a\\b", None, 1])
def test_a_prefix_that_is_no_folder(api: API, attachments_folder: Path, name: Any) -> None:
    with tenant(name):
        with pytest.raises(ImproperlyConfigured, match="ATTACHMENT_PREFIX"):
            attachment_storage().save("attachment/a.pdf", ContentFile(PDF))
        assert api.send(status=503, attachment=upload("dummy.pdf"))["code"] == "200"
    assert files_in(attachments_folder.parent) == []


@everywhere
def test_no_name_leads_to_another_tenant(api: API) -> None:
    with tenant("one"):
        name = attachment_storage().save("attachment/a.pdf", ContentFile(PDF))
    with tenant("two"):
        assert not attachment_storage().exists(name)
        with pytest.raises(SuspiciousFileOperation):
            attachment_storage().open(f"../one/{name}")


def test_nginx_finds_the_folder_of_a_tenant(api: API, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {**settings.OSSN_MESSAGING, "X_ACCEL_REDIRECT": "/protected/"}
    with tenant("one"):
        payload = api.ok(attachment=upload("dummy.pdf"))
        response = api.client.get(payload["attachment_url"])
    assert response["X-Accel-Redirect"] == f"/protected/one/{payload['file:attachment']}"


def test_another_storage_adds_no_prefix(api: API, settings: Settings) -> None:
    keep_attachments_in(settings, f"{InMemoryStorage.__module__}.InMemoryStorage")
    with tenant("one"):
        payload = api.ok(attachment=upload("dummy.pdf"))
        assert attachment_storage().exists(payload["file:attachment"])


def test_it_adds_to_the_folder_of_the_settings(settings: Settings, tmp_path: Path) -> None:
    keep_attachments_in(settings, "ossn_messaging.storage.LocalAttachmentStorage", location=tmp_path / "elsewhere")
    assert isinstance(attachment_storage(), LocalAttachmentStorage)
    with tenant("one"):
        name = attachment_storage().save("attachment/a.pdf", ContentFile(PDF))
    assert (tmp_path / "elsewhere/one" / name).read_bytes() == PDF
