"""The responses of each operation, by HTTP status. Each code of the protocol has an example."""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ossn_messaging.api.endpoints import Endpoint, EnvelopeView
from ossn_messaging.api.openapi.descriptions import Description
from ossn_messaging.api.openapi.schemas import Schema, example, ref, schemas
from ossn_messaging.api.views import Avatar, MessageSend
from ossn_messaging.attachments import file_types
from ossn_messaging.authentication import APIKeyAuthentication
from ossn_messaging.exceptions import CSRFFailed, MessagingError, SessionUserMismatch

Response = dict[str, Any]
JSON = "application/json"
NO_STORE = {"Cache-Control": {"schema": {"type": "string", "enum": ["no-store"]}, "required": True}}

URL_TOO_LONG = {"description": _("The URL is too long for the server. Use POST.")}
"""The response of gunicorn, nginx and other servers to a URL that is too long. The app does not see that request."""


def responses(view: EnvelopeView, description: Description) -> Iterator[tuple[str, str, Response]]:
    """Yield the status, the name and the content of each response of an operation.

    Responses with the same name are equal.
    """
    found = _successes(view, description)
    by_status: dict[int, list[MessagingError]] = {}
    by_session = isinstance(view, Endpoint) and view.allows_sessions
    of_sessions = [CSRFFailed(), SessionUserMismatch()] if by_session else []
    for error in [*description.created_errors(), *of_sessions]:
        status = error.rest_status if view.is_rest else error.ossn_status
        by_status.setdefault(status, []).append(error)
    for status, errors in by_status.items():
        failure = _failure(status, errors, view)
        found[status] = _either(found[status], failure) if status in found else failure
    succeeded = description.payload_of(view) or type(view).__name__
    for status, response in sorted(found.items()):
        name = f"{succeeded if status < 400 else view.failed.title().replace(' ', '')}{status}"
        yield str(status), f"{name}BySession" if by_session else name, response


def _successes(view: EnvelopeView, description: Description) -> dict[int, Response]:
    if description.payload:
        return {200: _success(view, description.payload_of(view))}
    if isinstance(view, Avatar):
        return {200: _response(_("The avatar"), _binary(file_types.JPEG.content_type), "Cache-Control")}
    content = _binary(*file_types.BY_CONTENT_TYPE)
    validators = ("ETag", "Last-Modified", "Cache-Control")
    representation = ("Content-Disposition", "Content-Security-Policy", "X-Content-Type-Options", *validators)
    return {
        200: _response(_("The file"), content, *representation),
        206: _response(_("The range of the file that `Range` requests"), content, "Content-Range", *representation),
        302: _response(_("The file is at this URL of S3, for one minute"), {}, "Location", "Cache-Control"),
        304: _response(_("The file has not changed"), {}, *validators),
    }


def _binary(*content_types: str) -> dict[str, Any]:
    """Return the content of a response with a file.

    ``application/octet-stream`` stands for any bytes: ``openapi-python-client`` knows no other type of a file.
    """
    media_type = {"schema": {"type": "string", "format": "binary"}}
    return dict.fromkeys((*content_types, "application/octet-stream"), media_type)


def _success(view: EnvelopeView, payload: str) -> Response:
    schema = ref(f"{payload}Envelope")
    examples = {"100": example(schema, schemas())}
    response = _response(_("`code` says whether the request succeeded"), {JSON: _media_type(schema, examples)})
    response["headers"] = dict(NO_STORE)
    if isinstance(view, MessageSend):
        replayed = _("`true` if an earlier request with this idempotency key has sent the message")
        response["headers"]["Idempotent-Replayed"] = {"schema": {"type": "string"}, "description": replayed}
    return response


def _failure(status: int, errors: Iterable[MessagingError], view: EnvelopeView) -> Response:
    envelope = example(ref("Failure"), schemas())
    examples, headers = {}, dict[str, Any](NO_STORE)
    for error in errors:
        reason = {"code": error.code, "message": error.describe(view.failed)}
        examples[f"{error.code} {type(error).__name__}"] = envelope | reason
        headers |= {name: _header(value) for name, value in error.headers.items()}
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _header(view.default_response_headers["Allow"])
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = _header(f'{APIKeyAuthentication.keyword} realm="api"')
    reasons = "; ".join(dict.fromkeys(failure["message"] for failure in examples.values()))
    response = _response(reasons, {JSON: _media_type(ref("Failure"), examples)})
    response["headers"] = headers
    return response


def _either(success: Response, failure: Response) -> Response:
    """Return one response for a status that success and failure share, such as 200 with ``HTTP_STATUS = "ossn"``."""
    first, second = success["content"][JSON], failure["content"][JSON]
    schema = {"oneOf": [first["schema"], second["schema"]]}
    return success | {"content": {JSON: {"schema": schema, "examples": first["examples"] | second["examples"]}}}


def _response(description: str | Promise, content: dict[str, Any], *headers: str) -> Response:
    response: Response = {"description": description, "headers": {name: _header() for name in headers}}
    return response | {"content": content} if content else response


def _header(example: str | None = None) -> dict[str, Any]:
    header: dict[str, Any] = {"schema": {"type": "string"}, "required": True}
    return header if example is None else header | {"example": example}


def _media_type(schema: Schema, examples: dict[str, Any]) -> dict[str, Any]:
    return {"schema": schema, "examples": {name: {"value": value} for name, value in examples.items()}}
