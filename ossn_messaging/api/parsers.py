"""Strict parsers of query strings and bodies: they read every parameter completely, or raise ``ParseError``.

Django's and DRF's own parsers ignore what they cannot read: invalid UTF-8, a part with a malformed header, a body that
ends too early. Part of a message could then be stored, so these parsers raise ``ParseError`` instead.
"""

import json
from collections.abc import Mapping
from os import SEEK_END
from typing import IO, Any, cast
from urllib.parse import parse_qsl

from django.conf import settings
from django.core.exceptions import TooManyFieldsSent, TooManyFilesSent
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, QueryDict
from django.http.multipartparser import MultiPartParser as DjangoMultiPartParser
from django.http.multipartparser import MultiPartParserError
from django.http.request import UnreadablePostError
from django.utils.datastructures import MultiValueDict
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, DataAndFiles
from rest_framework.request import Request

from ossn_messaging.attachments.names import clean_name
from ossn_messaging.attachments.uploads import (
    CHUNK_SIZE,
    LimitedUploadHandler,
    max_body_size,
    open_or_fail,
    write_or_fail,
)
from ossn_messaging.exceptions import LengthRequired, RequestTooLarge

Context = Mapping[str, Any]

TEXTS = {"api_key_token", "from", "to", "message"}
PARAMETERS = {*TEXTS, "idempotency_key", "attachment", "guid", "offset", "before", "markallread", "id", "for"}


def take_chunked(request: HttpRequest) -> IO[bytes] | None:
    """Give a chunked body a known length, and return the file with the body if one was created.

    Without a ``Content-Length``, Django treats the body as empty. The caller closes the file.

    Raises ``RequestTooLarge`` if the body is larger than ``max_body_size()``, ``ParseError`` if it cannot be read to
    its end, ``LengthRequired`` if the server does not mark its end (``wsgi.input_terminated``), and ``ServiceUnavailable`` if
    the disk fails.
    """
    if request.META.get("CONTENT_LENGTH"):
        return None
    if not isinstance(request, WSGIRequest):  # under ASGI, Django has already read the whole body
        stream: Any = request._stream
        request.META["CONTENT_LENGTH"] = str(stream.seek(0, SEEK_END))
        stream.seek(0)
        return None
    if "chunked" not in request.headers.get("Transfer-Encoding", "").lower():
        return None
    if not request.META.get("wsgi.input_terminated"):
        raise LengthRequired
    room = left = max_body_size() + 1
    body = open_or_fail()
    try:
        while chunk := _read_chunk(request, min(CHUNK_SIZE, left)):
            left -= len(chunk)
            body = write_or_fail(body, chunk)
        if not left:
            raise RequestTooLarge
        body.seek(0)
    except BaseException:
        body.close()
        raise
    request.META["CONTENT_LENGTH"] = str(room - left)
    request._stream = cast("Any", body)
    return body


def _read_chunk(request: HttpRequest, size: int) -> bytes:
    try:
        chunk: bytes = request.META["wsgi.input"].read(size)
    except Exception as error:  # each server raises its own exceptions for an invalid chunk
        raise ParseError from error
    return chunk


def query_of(request: HttpRequest) -> QueryDict:
    """Return the parameters of the request's query string.

    Raises ``ParseError`` if it is not UTF-8 or has more than ``DATA_UPLOAD_MAX_NUMBER_FIELDS`` parameters.
    """
    encoding = "latin-1" if isinstance(request, WSGIRequest) else "utf-8"  # PEP 3333 and Django's ASGIRequest
    try:
        return read_query(request.META.get("QUERY_STRING", "").encode(encoding))
    except UnicodeError as error:
        raise ParseError from error


def read_query(encoded: bytes) -> QueryDict:
    """Return the parameters of a URL-encoded form or query string.

    Raises ``ParseError`` if it is not UTF-8 or has more than ``DATA_UPLOAD_MAX_NUMBER_FIELDS`` parameters.
    """
    try:
        pairs = parse_qsl(
            encoded.decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=settings.DATA_UPLOAD_MAX_NUMBER_FIELDS,
        )
    except ValueError as error:
        raise ParseError from error
    parameters = QueryDict(mutable=True)
    for name, value in pairs:
        parameters.appendlist(name, value)
    return parameters


def _request(parser_context: Context | None) -> Request:
    return cast(Request, (parser_context or {})["request"])


def _body(request: Request) -> bytes:
    """Return the body.

    Raises ``ParseError`` if it is shorter than its ``Content-Length`` or cannot be read, and ``RequestDataTooBig`` if
    it is larger than ``DATA_UPLOAD_MAX_MEMORY_SIZE``.
    """
    try:
        body: bytes = request._request.body
    except UnreadablePostError as error:
        raise ParseError from error
    if len(body) != _announced(request.META):
        raise ParseError
    return body


def _announced(meta: Mapping[str, Any]) -> int:
    """Return the ``Content-Length`` in bytes, or 0 if it is missing."""
    return int(meta.get("CONTENT_LENGTH") or 0)


class FormParser(BaseParser):
    media_type = "application/x-www-form-urlencoded"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Context | None = None) -> QueryDict:
        return read_query(_body(_request(parser_context)))


class JSONParser(BaseParser):
    """Reads one JSON object. Numbers, ``true`` and ``false`` become texts; null, lists and objects count as absent.

    If the value of a parameter of the protocol is a list or an object that is not empty, ``parse()`` raises
    ``ParseError``.
    """

    media_type = "application/json"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Context | None = None) -> QueryDict:
        try:
            body = _body(_request(parser_context))
            _check_number_of_values(body)
            given = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise ParseError from error
        if not isinstance(given, dict):
            raise ParseError
        parameters = QueryDict(mutable=True)
        for name, value in given.items():
            if isinstance(value, dict | list):
                if value and name in PARAMETERS:
                    raise ParseError
            elif value is not None:
                parameters[name] = value if isinstance(value, str) else json.dumps(value)
        return parameters


def _check_number_of_values(body: bytes) -> None:
    """Raise ``ValueError`` before JSON is parsed if it has more than ``DATA_UPLOAD_MAX_NUMBER_FIELDS`` values.

    The number of values is the number of commas outside of texts, plus one.
    """
    limit = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
    if limit is None or body.count(b",") < limit:
        return
    without_escaped_quotes = body.replace(rb"\\", b"").replace(rb"\"", b"")
    outside = without_escaped_quotes.split(b'"', 4 * limit)[::2]  # a name has two quotes and its value at most two
    if sum(part.count(b",") for part in outside) >= limit:
        raise ValueError("too many values")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


class MultiPartParser(BaseParser):
    media_type = "multipart/form-data"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Context | None = None
    ) -> "DataAndFiles[QueryDict, MultiValueDict[str, Any]]":
        request = _request(parser_context)
        try:
            media_type, semicolon, rest = request.META["CONTENT_TYPE"].partition(";")
            meta = {**request.META, "CONTENT_TYPE": f"{media_type.lower()}{semicolon}{rest}"}
            return DataAndFiles(*_ExactMultiPartParser(meta, stream, _named_outside(request)).parse())
        except (MultiPartParserError, UnicodeError, TooManyFieldsSent, TooManyFilesSent, UnreadablePostError) as error:
            raise ParseError from error


def _named_outside(request: Request) -> set[str]:
    """Return the names of the query's parameters, with ``api_key_token`` if there is an ``Authorization`` header."""
    key = {"api_key_token"} if "Authorization" in request.headers else set()
    return key | {name for name, _values in query_of(request._request).lists()}


class _ExactMultiPartParser(DjangoMultiPartParser):
    """Django's multipart parser, but it reads every part or raises an exception.

    It reads texts as Latin-1, which keeps their bytes: Django would replace invalid UTF-8 by U+FFFD.
    """

    def __init__(self, meta: dict[str, Any], stream: IO[bytes], known: set[str]) -> None:
        self.known = known
        self.handler = LimitedUploadHandler()
        self.announced = _announced(meta)
        self.delimiters = _DelimiterCounter(stream)
        super().__init__(meta, self.delimiters, [self.handler], "latin-1")  # type: ignore[arg-type]
        self.delimiters.delimiter = b"--" + self._boundary  # type: ignore[attr-defined]

    def parse(self) -> tuple[QueryDict, MultiValueDict[str, Any]]:
        try:
            return self._parse_exactly(*super().parse())
        except BaseException:
            self.handler.close()
            raise

    def _parse_exactly(
        self, post: QueryDict, files: MultiValueDict[str, Any]
    ) -> tuple[QueryDict, MultiValueDict[str, Any]]:
        taken = sum(len(values) for source in (post, files) for _name, values in source.lists())
        if self.handler.stopped:
            if not self.known | set(post) >= TEXTS:  # the missing ones may be in the unread rest
                raise RequestTooLarge
            files.appendlist(self.handler.field_name, self.handler.file_complete(self.handler.size))
        elif not (
            self.delimiters.closed
            and self.delimiters.count == taken + 1
            and self.delimiters.received == self.announced  # otherwise the client disconnected before the end
        ):
            raise MultiPartParserError
        exact = QueryDict(mutable=True)
        for name, values in post.lists():
            exact.setlist(_as_utf8(name), [_as_utf8(value) for value in values])
        return exact, MultiValueDict({_as_utf8(name): values for name, values in files.lists()})

    def sanitize_file_name(self, file_name: str) -> str:
        """Return a file name that is never empty, because Django ignores a file without a name."""
        name = clean_name(_as_utf8(file_name))
        return name if name.strip(".") else "_"


def _as_utf8(text: str) -> str:
    return text.encode("latin-1").decode()


class _DelimiterCounter:
    """A stream that counts the bytes and delimiters that are read, and notes whether the closing delimiter was read."""

    delimiter: bytes

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.received = self.count = 0
        self.closed = False
        self.tail = b""

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.received += len(data)
        seen = self.tail + data
        self.count += seen.count(self.delimiter) - self.tail.count(self.delimiter)
        self.closed = self.closed or self.delimiter + b"--" in seen
        self.tail = seen[-len(self.delimiter) - 1 :]
        return data
