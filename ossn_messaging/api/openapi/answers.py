"""The responses of each view in OpenAPI, by HTTP status. Each code of the protocol is an example."""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from django.utils.translation import gettext_lazy as _

from ossn_messaging.api.endpoints import EnvelopeView
from ossn_messaging.api.openapi.descriptions import Description
from ossn_messaging.api.openapi.shapes import Shape, example, ref, shapes
from ossn_messaging.api.views import Avatar, MessageSend
from ossn_messaging.attachments import file_types
from ossn_messaging.authentication import APIKeyAuthentication
from ossn_messaging.exceptions import MessagingError

Answer = dict[str, Any]
JSON = "application/json"
BINARY = {"schema": {"type": "string", "format": "binary"}}
NO_STORE = {"Cache-Control": {"schema": {"type": "string", "enum": ["no-store"]}, "required": True}}

URL_TOO_LONG = {"description": _("The server takes no URL of this length; POST has no such limit")}
"""The response of gunicorn, nginx and other servers to a URL that is too long. The app does not see that request."""


def answers(view: EnvelopeView, description: Description) -> Iterator[tuple[str, str, Answer]]:
    """Yield the status, the name and the content of each response of an operation.

    Responses with the same name are equal.
    """
    found = _successes(view, description)
    by_status: dict[int, list[MessagingError]] = {}
    for error in description.made_errors():
        status = error.rest_status if view.is_rest else error.ossn_status
        by_status.setdefault(status, []).append(error)
    for status, errors in by_status.items():
        failure = _failure(status, errors, view)
        found[status] = _either(found[status], failure) if status in found else failure
    succeeded = description.payload_of(view) or type(view).__name__
    for status, answer in sorted(found.items()):
        yield str(status), f"{succeeded if status < 400 else view.failed.title().replace(' ', '')}{status}", answer


def _successes(view: EnvelopeView, description: Description) -> dict[int, Answer]:
    if description.payload:
        return {200: _success(view, description.payload_of(view))}
    if isinstance(view, Avatar):
        return {200: _answer(_("The icon"), {file_types.JPEG.content_type: BINARY}, "Cache-Control")}
    files = dict.fromkeys(file_types.BY_CONTENT_TYPE, BINARY)
    validators = ("ETag", "Last-Modified", "Cache-Control")
    described = ("Content-Disposition", "Content-Security-Policy", "X-Content-Type-Options", *validators)
    return {
        200: _answer(_("The file"), files, *described),
        206: _answer(_("The part of it that `Range` asks for"), files, "Content-Range", *described),
        302: _answer(_("S3 has the file, and opens it at this URL for a minute"), {}, "Location", "Cache-Control"),
        304: _answer(_("The client has the file already"), {}, *validators),
    }


def _success(view: EnvelopeView, payload: str) -> Answer:
    shape = ref(f"{payload}Answer")
    answer = _answer(_("Done, or not: `code` tells"), {JSON: _media(shape, {"100": example(shape, shapes())})})
    answer["headers"] = dict(NO_STORE)
    if isinstance(view, MessageSend):
        replayed = _("`true` where it is the answer to an earlier request with this idempotency key")
        answer["headers"]["Idempotent-Replayed"] = {"schema": {"type": "string"}, "description": replayed}
    return answer


def _failure(status: int, errors: Iterable[MessagingError], view: EnvelopeView) -> Answer:
    envelope = example(ref("Failure"), shapes())
    examples, headers = {}, dict[str, Any](NO_STORE)
    for error in errors:
        told = {"code": error.code, "message": error.describe(view.failed)}
        examples[f"{error.code} {type(error).__name__}"] = envelope | told
        headers |= {name: _header(value) for name, value in error.headers.items()}
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _header(view.default_response_headers["Allow"])
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = _header(f'{APIKeyAuthentication.keyword} realm="api"')
    reasons = "; ".join(dict.fromkeys(failure["message"] for failure in examples.values()))
    answer = _answer(reasons, {JSON: _media(ref("Failure"), examples)})
    answer["headers"] = headers
    return answer


def _either(success: Answer, failure: Answer) -> Answer:
    """Return one response for a status that success and failure share, such as 200 with ``HTTP_STATUS = "ossn"``."""
    one, other = success["content"][JSON], failure["content"][JSON]
    shapes = {"schema": {"oneOf": [one["schema"], other["schema"]]}, "examples": one["examples"] | other["examples"]}
    return success | {"content": {JSON: shapes}}


def _answer(description: Any, content: dict[str, Any], *headers: str) -> Answer:
    answer: Answer = {"description": description, "headers": {name: _header() for name in headers}}
    return answer | {"content": content} if content else answer


def _header(sample: str | None = None) -> dict[str, Any]:
    header: dict[str, Any] = {"schema": {"type": "string"}, "required": True}
    return header if sample is None else header | {"example": sample}


def _media(shape: Shape, examples: dict[str, Any]) -> dict[str, Any]:
    return {"schema": shape, "examples": {name: {"value": value} for name, value in examples.items()}}
