"""Storage of attachments on S3, or on a server that is compatible with S3 (extra ``s3``)."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from storages.backends.s3 import S3Storage

from ossn_messaging.attachments.file_types import BY_EXTENSION
from ossn_messaging.storage import Listed

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
    """

    object_parameters: dict[str, Any]
    client_config: Config

    def __init__(self, **options: Any) -> None:
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

    def get_object_parameters(self, name: str) -> dict[str, Any]:
        file_type = BY_EXTENSION.get(PurePosixPath(name).suffix.removeprefix("."))
        own = {"ContentType": file_type.content_type, "ContentDisposition": file_type.disposition} if file_type else {}
        return {**self.object_parameters, **own}

    def presigned_url(self, name: str, *, method: str, max_age: int, content_type: str, disposition: str) -> str:
        """Return a URL that opens a file for ``max_age`` seconds. Its signature covers the two response headers."""
        headers = {"ResponseContentType": content_type, "ResponseContentDisposition": disposition}
        url: str = self.url(name, parameters=headers, expire=max_age, http_method=method)
        return url

    def list_files(self, folder: str) -> Iterator[Listed]:
        """Yield the files in a folder and in its subfolders."""
        location = self._normalize_name("")
        for entry in self.bucket.objects.filter(Prefix=f"{self._normalize_name(folder)}/"):
            yield Listed(entry.key.removeprefix(location), entry.size, entry.last_modified)
