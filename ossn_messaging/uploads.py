"""How the files of a request are received: under their limit while they arrive, and on a disk without a name."""

import tempfile
from io import BytesIO
from typing import IO, Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload

from ossn_messaging.conf import conf
from ossn_messaging.exceptions import StoreFailed

SPOOL_SIZE = 1024 * 1024
"""In bytes: what is larger waits on disk."""
BODY_OVERHEAD = 4 * 1024 * 1024
"""How many bytes a body may have beside its attachment."""


def spool() -> IO[bytes]:
    """Return a temporary file that has no name: of it nothing is left behind even when the process is killed."""
    return tempfile.SpooledTemporaryFile(max_size=SPOOL_SIZE, dir=settings.FILE_UPLOAD_TEMP_DIR)


class LostFile(BytesIO):
    """What is left of an upload when the disk fails on which it waits: whoever wants to read it is told.

    Its rest is received all the same. A client that is still sending can't hear the answer.
    """

    def __init__(self, failure: StoreFailed) -> None:
        super().__init__()
        self.failure = failure

    def write(self, data: Any, /) -> int:
        return len(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise self.failure


def written(file: IO[bytes], data: bytes) -> IO[bytes]:
    """Write to a temporary file and return it, or where the disk fails what is left of it."""
    try:
        file.write(data)
    except OSError as error:
        file.close()
        failure = StoreFailed()
        failure.__cause__ = error
        return LostFile(failure)
    return file


def max_body_size() -> int:
    """Return how many bytes of a body are read."""
    return conf.ATTACHMENT_MAX_SIZE + BODY_OVERHEAD


class LimitedUploadHandler(FileUploadHandler):
    """Keeps the files of one request, of all of them together one byte more than ``ATTACHMENT_MAX_SIZE``.

    By that byte a file is seen to be too large. What follows it is read only where the whole body is not: after a
    longer one was announced, the reading ends there, and ``stopped`` is true.
    """

    file: IO[bytes]

    def __init__(self) -> None:
        super().__init__()
        self.room = conf.ATTACHMENT_MAX_SIZE + 1
        self.is_long = False
        self.stopped = False

    def handle_raw_input(
        self,
        input_data: Any,
        META: Any,  # noqa: N803
        content_length: int,
        boundary: Any,
        encoding: Any = None,
    ) -> None:
        self.is_long = content_length > max_body_size()

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.file = spool()
        self.size = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        kept = raw_data[: self.room]
        self.file = written(self.file, kept)
        self.size += len(kept)
        self.room -= len(kept)
        self.stopped = self.is_long and not self.room
        if self.stopped:
            raise StopUpload(connection_reset=True)

    def file_complete(self, file_size: int) -> "UploadedFile[Any]":
        return UploadedFile(self.file, self.file_name, self.content_type, self.size, self.charset)

    def close(self) -> None:
        """Let go of the file that was being received, where there was one."""
        if hasattr(self, "file"):
            self.file.close()
