"""The storage of attachments: ``STORAGES["ossn_messaging"]``, or a private local folder if the site has not set it."""

import errno
import logging
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, Storage, storages

from ossn_messaging.conf import conf

if TYPE_CHECKING:
    from ossn_messaging.storage.s3 import S3AttachmentStorage

__all__ = ["ALIAS", "FOLDER", "LocalAttachmentStorage", "S3AttachmentStorage", "attachment_storage", "delete_file"]

logger = logging.getLogger(__name__)

ALIAS = "ossn_messaging"
DEFAULT_LOCATION = "ossn_attachments"
FOLDER = "attachment"
"""The folder on the storage that contains all attachments."""
PREFIX = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*")
"""Folder names that can't lead out of the storage."""


def attachment_storage() -> Storage:
    """Return the storage of attachments that the current settings define.

    If the settings have neither ``STORAGES["ossn_messaging"]`` nor ``BASE_DIR``, the storage raises
    ``ImproperlyConfigured`` when it needs its folder.
    """
    return storages[ALIAS] if ALIAS in settings.STORAGES else LocalAttachmentStorage()


def current_prefix() -> str:
    """Return the folder of the current site or tenant with a ``/`` at the end, or an empty text if it has none.

    Raises ``ImproperlyConfigured`` if the callable ``ATTACHMENT_PREFIX`` returns anything else.
    """
    get_prefix = conf.ATTACHMENT_PREFIX
    prefix = get_prefix() if get_prefix else ""
    if prefix == "":
        return ""
    if isinstance(prefix, str) and PREFIX.fullmatch(prefix):
        return f"{prefix}/"
    raise ImproperlyConfigured(f"OSSN_MESSAGING['ATTACHMENT_PREFIX'] returned {prefix!r}, which is no folder name.")


def delete_file(name: str) -> None:
    """Delete a file from the storage. If that fails, log the error; the file stays without a row."""
    try:
        attachment_storage().delete(name)
    except Exception:
        logger.exception("The file %s could not be deleted from the storage.", name)


NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""The errors of file systems without hard links."""


@dataclass(frozen=True)
class FileInfo:
    """A file on a storage, with or without a row."""

    name: str
    size: int
    """In bytes."""
    modified_at: datetime


def walk(storage: Storage, folder: str = FOLDER) -> Iterator[FileInfo]:
    """Yield the files in a folder of any storage that can list them, and in its subfolders.

    If the storage has a method ``walk(folder)``, this uses it. Otherwise it asks the storage for the size and the time
    of each file.
    """
    if hasattr(storage, "walk"):
        yield from storage.walk(folder)
        return
    try:
        folders, files = storage.listdir(folder)
    except FileNotFoundError:
        return
    for name in files:
        path = f"{folder}/{name}"
        try:
            size, modified_at = storage.size(path), storage.get_modified_time(path)
        except FileNotFoundError:  # deleted meanwhile
            continue
        yield FileInfo(path, size, modified_at if modified_at.tzinfo else modified_at.astimezone(UTC))
    for name in folders:
        yield from walk(storage, f"{folder}/{name}")


class LocalAttachmentStorage(FileSystemStorage):
    """Files on the local disk that have no URL and that only the user of the server process can read.

    ``location`` is the folder, by default ``ossn_attachments`` in the ``BASE_DIR`` of the settings, to which
    ``ATTACHMENT_PREFIX`` adds. A file gets its name only after all of its bytes are on the disk, and it never replaces
    another file.
    """

    def __init__(self, location: str | os.PathLike[str] | None = None) -> None:
        super().__init__(location=location, file_permissions_mode=0o600, directory_permissions_mode=0o700)
        self._folder = location

    @property
    def base_location(self) -> str:
        if self._folder is not None:
            return os.fspath(self._folder)
        base = getattr(settings, "BASE_DIR", None)
        if base is None:
            raise ImproperlyConfigured(f'STORAGES["{ALIAS}"] or BASE_DIR must say where attachments are kept.')
        return os.path.join(base, DEFAULT_LOCATION)

    @property
    def location(self) -> str:
        return os.path.abspath(os.path.join(self.base_location, current_prefix()))

    def path(self, name: str) -> str:
        """Return the path of a file.

        Raises ``SuspiciousFileOperation`` if the path, or a symbolic link in it, leads out of the folder.
        """
        path = super().path(name)
        # os.path and not pathlib, which took a tenth of the time of a send.
        folder = os.path.realpath(self.location)
        if os.path.commonpath([folder, os.path.realpath(path)]) != folder or os.path.islink(path):
            raise SuspiciousFileOperation(f"{name} leads out of the folder of attachments.")
        return path

    def walk(self, folder: str) -> Iterator[FileInfo]:
        """Yield the files in a folder and in its subfolders, with those that are not completely written yet."""
        for parent, _folders, files in os.walk(self.path(folder), onerror=_unless_gone):
            for name in files:
                path = Path(parent, name)
                try:
                    status = path.lstat()
                except FileNotFoundError:  # renamed or deleted meanwhile
                    continue
                modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
                yield FileInfo(path.relative_to(self.location).as_posix(), status.st_size, modified_at)

    def url(self, name: str | None) -> str:
        raise ValueError("Attachments have no public URL. The app's view serves them.")

    def _save(self, name: str, content: "File[Any]") -> str:
        path = Path(self.path(name))
        self._make_folder(path.parent)
        unfinished = path.with_name(f".{secrets.token_hex(16)}.tmp")
        try:
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                for chunk in content.chunks():
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            name = self._place(unfinished, name)
            unfinished.unlink(missing_ok=True)
            self._sync_folder(path.parent)
        finally:
            unfinished.unlink(missing_ok=True)
        return name

    def _place(self, unfinished: Path, name: str) -> str:
        """Give a complete file its name and return the name. If the name was taken meanwhile, use another one."""
        while True:
            try:
                os.link(unfinished, self.path(name))  # a rename would replace an existing file
            except FileExistsError:
                name = self.get_available_name(name)
                continue
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                os.rename(unfinished, self.path(name))
            return name

    def _make_folder(self, folder: Path) -> None:
        """Create ``folder`` and its missing parents as private folders, and sync each to the disk."""
        if not folder.is_dir():
            self._make_folder(folder.parent)
            folder.mkdir(mode=0o700, exist_ok=True)
            self._sync_folder(folder.parent)

    @staticmethod
    def _sync_folder(folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def __getattr__(name: str) -> Any:
    """Import ``S3AttachmentStorage`` only when it is used, because its libraries are an extra."""
    if name == "S3AttachmentStorage":
        from ossn_messaging.storage.s3 import S3AttachmentStorage

        return S3AttachmentStorage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
