"""Where attachments are stored: on each of the app's storages, or on one that a test chooses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from pytest_django import Settings

from tests.support.servers import SECONDS, S3Server

everywhere = pytest.mark.parametrize("where", ["disk", "S3"], indirect=True)
"""Lets a test run on each of the app's storages."""


def keep_attachments_in(settings: Settings, backend: str, **options: Any) -> None:
    """Let attachments go to a storage of this kind."""
    settings.STORAGES = {**settings.STORAGES, "ossn_messaging": {"BACKEND": backend, "OPTIONS": options}}


def keep_attachments_in_s3(settings: Settings, server: S3Server, bucket: Path, **changes: Any) -> None:
    """Let attachments go to a bucket, with more patience than a site has, for the machine may be busy."""
    options = {"client_config": Config(connect_timeout=SECONDS, read_timeout=SECONDS), **changes}
    keep_attachments_in(
        settings, "ossn_messaging.storage.S3AttachmentStorage", **server.options(bucket.name, **options)
    )


def files_in(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
