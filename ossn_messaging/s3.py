"""Attachments in a bucket of S3, or of any server that speaks its protocol (extra ``s3``)."""

from typing import Any

from storages.backends.s3 import S3Storage


class S3AttachmentStorage(S3Storage):  # type: ignore[misc]
    """django-storages' ``S3Storage``, with what an attachment needs: nothing public and nothing overwritten.

    It takes that class's options, such as ``bucket_name``, ``endpoint_url``, ``access_key`` and ``secret_key``. Those
    that would make objects public, which a site may have set for its media, do not count.
    """

    object_parameters: dict[str, Any]

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "default_acl": None, "file_overwrite": False})
        given: dict[str, Any] = self.object_parameters
        self.object_parameters = {name: value for name, value in given.items() if name != "ACL"}
