"""The files of a request: received in anonymous temporary files, up to a limit."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import IO, Any

from django.conf import settings
from django.core.files.base import File
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload

from ossn_messaging.conf import conf
from ossn_messaging.exceptions import ServiceUnavailable

CHUNK_SIZE = 1024 * 1024
"""In bytes, the part of a body that is read at once."""
MAX_BODY_OVERHEAD = 4 * 1024 * 1024
"""In bytes, the maximum size of a body without its attachment."""


def temporary_file() -> IO[bytes]:
    """Return an anonymous temporary file, which the system deletes even if the process is killed.

    Raises ``ServiceUnavailable`` if the disk fails.
    """
    try:
        return tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR)
    except OSError as error:
        raise ServiceUnavailable from error


class FailedUpload(BytesIO):
    """A replacement for an upload whose disk failed. It raises when it is read.

    The rest of the upload is still received: a client that is still sending does not read an answer.
    """

    def __init__(self, failure: ServiceUnavailable) -> None:
        super().__init__()
        self.failure = failure

    def write(self, data: Any, /) -> int:
        return len(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise self.failure

    def fileno(self) -> int:
        raise self.failure


def open_or_fail() -> IO[bytes]:
    """Return a temporary file, or a ``FailedUpload`` if the disk fails."""
    try:
        return temporary_file()
    except ServiceUnavailable as failure:
        return FailedUpload(failure)


def write_or_fail(file: IO[bytes], data: bytes) -> IO[bytes]:
    """Write ``data`` to a temporary file and return the file, or a ``FailedUpload`` if the disk fails."""
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        with suppress(OSError):  # it tries to write once more
            file.close()
        failure = ServiceUnavailable()
        failure.__cause__ = error
        return FailedUpload(failure)
    return file


class ReceivedFile(UploadedFile):  # type: ignore[type-arg]
    """A file of a request, in an anonymous temporary file."""


@contextmanager
def received(file: "File[Any]") -> "Iterator[File[Any]]":
    """Yield ``file`` if it is a ``ReceivedFile``, or else a copy that is closed at the end of the block.

    Raises ``ServiceUnavailable`` if a disk fails.
    """
    if isinstance(file, ReceivedFile):
        yield file
        return
    copy = temporary_file()
    try:
        for chunk in file.chunks():
            copy = write_or_fail(copy, chunk)
        yield ReceivedFile(copy, file.name, size=file.size)
    finally:
        copy.close()


def max_body_size() -> int:
    """Return the maximum number of bytes that are read of a body."""
    return conf.ATTACHMENT_MAX_SIZE + MAX_BODY_OVERHEAD


class LimitedUploadHandler(FileUploadHandler):
    """An upload handler that stores at most ``ATTACHMENT_MAX_SIZE`` plus one byte of the files of a request.

    The additional byte shows that a file is too large. If the whole body is larger than ``max_body_size()``, the rest
    is not read, and ``stopped`` is true.
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
        self.file = open_or_fail()
        self.size = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        data = raw_data[: self.room]
        self.file = write_or_fail(self.file, data)
        self.size += len(data)
        self.room -= len(data)
        self.stopped = self.is_long and not self.room
        if self.stopped:
            raise StopUpload(connection_reset=True)

    def file_complete(self, file_size: int) -> ReceivedFile:
        return ReceivedFile(self.file, self.file_name, self.content_type, self.size, self.charset)

    def close(self) -> None:
        """Close the file that was being received, if there is one."""
        if hasattr(self, "file"):
            self.file.close()
