"""Responses with the file of an attachment, which nginx, S3 or Django itself sends.

The caller has already checked that the client may read the attachment.
"""

import re
from collections.abc import AsyncIterator
from typing import IO, Any
from urllib.parse import quote

from asgiref.sync import sync_to_async
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header, http_date

from ossn_messaging.conf import conf
from ossn_messaging.exceptions import PreconditionFailed, RangeNotSatisfiable, ReadFailed
from ossn_messaging.models import Attachment
from ossn_messaging.storage import LocalAttachmentStorage

PRESIGNED_MAX_AGE = 60
"""A presigned URL of S3 is valid for this number of seconds."""
BLOCK_SIZE = 64 * 1024
RANGE = re.compile(r"bytes=(\d{0,1000})-(\d{0,1000})", re.ASCII | re.IGNORECASE)
"""A ``Range`` header with one range (RFC 9110, section 14.1.2).

If the header has several ranges, the response is the whole file, which RFC 9110, section 14.2, allows.
"""


def serve_attachment(request: HttpRequest, attachment: Attachment) -> HttpResponseBase:
    """Return a response with the file, a redirect to S3, or the header that makes nginx send the file.

    Raises ``PreconditionFailed``, ``RangeNotSatisfiable``, and ``ReadFailed`` if the stored file has another size than
    its row says. If the storage fails, its own exceptions are raised.
    """
    storage, name = attachment.file.storage, str(attachment.file.name)
    response: HttpResponseBase
    if conf.X_ACCEL_REDIRECT and isinstance(storage, LocalAttachmentStorage):
        response = HttpResponse(headers=_description(attachment))
        response["X-Accel-Redirect"] = quote(conf.X_ACCEL_REDIRECT + name)
    elif hasattr(storage, "presigned_url"):
        response = HttpResponseRedirect(
            storage.presigned_url(
                name,
                method=str(request.method),
                max_age=PRESIGNED_MAX_AGE,
                content_type=attachment.content_type,
                disposition=_disposition(attachment),
            )
        )
    else:
        response = stream_response(request, attachment)
    response["Cache-Control"] = "private, no-cache"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _disposition(attachment: Attachment) -> str:
    return str(content_disposition_header(attachment.file_type.disposition == "attachment", attachment.name))


def _description(attachment: Attachment) -> dict[str, str]:
    return {
        "Content-Type": attachment.content_type,
        "Content-Disposition": _disposition(attachment),
        "ETag": f'"{attachment.digest}"',
        "Last-Modified": http_date(attachment.message.created_at.timestamp()),
    }


def stream_response(request: HttpRequest, attachment: Attachment) -> HttpResponseBase:
    """Return a response with the file or the requested range.

    The storage is used only if the response has a body. The headers come from the database.
    """
    headers = _description(attachment) | {"Accept-Ranges": "bytes", "Content-Length": str(attachment.size)}
    described = HttpResponse(headers=headers)
    last_modified = int(attachment.message.created_at.timestamp())
    conditional = get_conditional_response(request, headers["ETag"], last_modified, described)
    if conditional is not None and conditional is not described:
        if conditional.status_code == 412:
            raise PreconditionFailed
        return conditional
    if request.method == "HEAD":
        return described
    wanted = _range(request, headers, attachment.size)
    file: Any = attachment.file.open()
    if file.size != attachment.size:
        file.close()
        raise ReadFailed
    if wanted is None or not file.seekable():
        response = Streamed(file)
    else:
        response = Streamed(RangeFile(file, wanted), status=206)
        headers |= {
            "Content-Range": f"bytes {wanted.start}-{wanted.stop - 1}/{attachment.size}",
            "Content-Length": str(len(wanted)),
            "Content-Encoding": "identity",  # otherwise GZipMiddleware compresses the range
        }
    for header, value in headers.items():
        response[header] = value
    response.block_size = BLOCK_SIZE
    return response


def _range(request: HttpRequest, headers: dict[str, str], size: int) -> range | None:
    """Return the requested range of bytes, or ``None`` for the whole file (RFC 9110, sections 13.1.5 and 14.2).

    Raises ``RangeNotSatisfiable`` if the file has none of these bytes.
    """
    found = RANGE.fullmatch(request.headers.get("Range", "").strip())
    condition = request.headers.get("If-Range", headers["ETag"])
    if not found or condition not in (headers["ETag"], headers["Last-Modified"]):
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if first and last and int(first) > int(last):
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        raise RangeNotSatisfiable(size)
    return range(start, stop)


class Streamed(FileResponse):
    """A file response that is sent in blocks under ASGI too, where Django reads the whole file into memory first."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.file_to_stream is None:  # a middleware has replaced the content
            async for part in super().__aiter__():
                yield part
            return
        read = sync_to_async(self.file_to_stream.read)
        while block := await read(self.block_size):
            yield block


class RangeFile:
    """A range of an open file. ``read()`` returns only bytes of that range."""

    def __init__(self, file: IO[bytes], wanted: range) -> None:
        self.file = file
        self.left = len(wanted)
        file.seek(wanted.start)

    def read(self, size: int) -> bytes:
        data = self.file.read(min(size, self.left))
        self.left -= len(data)
        return data

    def close(self) -> None:
        self.file.close()
