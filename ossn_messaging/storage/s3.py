"""Storage of attachments on S3, or on a server that is compatible with S3 (extra ``s3``)."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Self
from urllib.parse import urlsplit

from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.storage import Storage
from storages.backends.s3 import S3Storage

from ossn_messaging.attachments.file_types import BY_EXTENSION
from ossn_messaging.storage import FOLDER, FileInfo, current_prefix

CONNECT_TIMEOUT = 3
"""In seconds."""
READ_TIMEOUT = 5
"""In seconds, for each read from the connection."""
ATTEMPTS = 2
MULTIPART_THRESHOLD = 5 * 1024**3
"""In bytes, the limit of S3 for one request. The parts of an aborted multipart upload would stay and cost money."""


class S3AttachmentStorage(S3Storage):  # type: ignore[misc]
    """A subclass of django-storages' ``S3Storage`` that makes no object public and overwrites none.

    It takes the options of that class, such as ``bucket_name``, ``endpoint_url``, ``access_key`` and ``secret_key``. It
    ignores the options that would make objects or their URLs public; a site may have set those for its media files. A
    file is sent while it is read. If the server does not answer, requests fail after a few seconds, unless
    ``client_config`` has other timeouts.

    If clients reach the server under another URL than the site does, that URL is ``public_endpoint_url``. URLs are
    signed for it.
    """

    object_parameters: dict[str, Any]
    client_config: Config
    bucket_name: str
    location: str
    endpoint_url: str | None

    def __init__(self, *, public_endpoint_url: str | None = None, **options: Any) -> None:
        private = {"default_acl": None, "file_overwrite": False, "custom_domain": None, "querystring_auth": True}
        transfer = TransferConfig(multipart_threshold=MULTIPART_THRESHOLD, use_threads=False)
        defaults = {"transfer_config": transfer, "signature_version": "s3v4"}
        super().__init__(**{**defaults, **options, **private, "gzip": False})
        given: dict[str, Any] = self.object_parameters
        self.object_parameters = {name: value for name, value in given.items() if name != "ACL"}
        impatient = Config(
            signature_version=self.signature_version,
            s3={"addressing_style": self.addressing_style},
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        )
        self.client_config = impatient.merge(self.client_config)
        self._signer: Self | None = None
        if public_endpoint_url is not None:
            if urlsplit(public_endpoint_url).scheme not in ("http", "https"):
                raise ImproperlyConfigured(f"The option public_endpoint_url is no URL: {public_endpoint_url!r}.")
            self._signer = type(self)(**{**options, "endpoint_url": public_endpoint_url})

    def get_object_parameters(self, name: str) -> dict[str, Any]:
        file_type = BY_EXTENSION.get(PurePosixPath(name).suffix.removeprefix("."))
        own = {"ContentType": file_type.content_type, "ContentDisposition": file_type.disposition} if file_type else {}
        return {**self.object_parameters, **own}

    def url(self, name: str | None, *args: Any, **kwargs: Any) -> str:
        if self._signer is not None:
            return self._signer.url(name, *args, **kwargs)
        url: str = super().url(name, *args, **kwargs)
        return url

    def presigned_url(self, name: str, *, method: str, max_age: int, content_type: str, disposition: str) -> str:
        """Return a URL that opens a file for ``max_age`` seconds. Its signature covers the two response headers."""
        headers = {"ResponseContentType": content_type, "ResponseContentDisposition": disposition}
        return self.url(name, parameters=headers, expire=max_age, http_method=method)

    def walk(self, folder: str) -> Iterator[FileInfo]:
        """Yield the files in a folder and in its subfolders."""
        location = self._normalize_name("")
        for entry in self.bucket.objects.filter(Prefix=f"{self._normalize_name(folder)}/"):
            yield FileInfo(entry.key.removeprefix(location), entry.size, entry.last_modified)

    def is_inside(self, other: Storage) -> bool:
        """Return whether ``other`` is a storage on S3 whose bucket and location contain these objects."""
        return (
            isinstance(other, S3Storage)
            and other.bucket_name == self.bucket_name
            and other.endpoint_url in self._endpoint_urls()
            and f"{_folder(self.location)}{FOLDER}/".startswith(_folder(other.location))
        )

    def _endpoint_urls(self) -> set[str | None]:
        return {self.endpoint_url} | (self._signer._endpoint_urls() if self._signer else set())

    def _normalize_name(self, name: str) -> str:
        prefix = current_prefix()
        normalized: str = super()._normalize_name(prefix + name)
        if not normalized.startswith(super()._normalize_name(prefix)):
            raise SuspiciousFileOperation(f"{name} leads out of the folder of attachments.")
        return normalized


def is_public(storage: S3Storage) -> bool:
    """Return whether a storage on S3 makes its objects or their URLs public, as for media files."""
    acl = storage.default_acl or storage.object_parameters.get("ACL") or ""
    return bool(storage.custom_domain or not storage.querystring_auth or acl.startswith("public"))


def _folder(location: str) -> str:
    return f"{location.strip('/')}/".lstrip("/")
