"""The envelope of every JSON response, and the only conversion of exceptions to envelopes."""

import json
import logging
import time
import traceback
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import Error as DatabaseAPIError
from django.http import Http404, HttpRequest
from django.utils import translation
from django.utils.encoding import iri_to_uri
from rest_framework import exceptions as drf
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.response import Response

from ossn_messaging import exceptions
from ossn_messaging.api.signing import site_name, site_root
from ossn_messaging.authentication import APIKeyAuthentication

logger = logging.getLogger(__name__)


def _answer(request: HttpRequest, payload: object, code: str, message: str, status: int = 200) -> Response:
    """Return a response with the envelope around ``payload`` (docs/reference/api.md, "Answers")."""
    envelope = {
        "merchant": site_name(request),
        "url": site_root(request),
        "time_token": int(time.time()),
        "payload": payload,
        "code": code,
        "message": message,
    }
    return Response(envelope, status, headers={"Cache-Control": "no-store"})


def success(request: HttpRequest, payload: object) -> Response:
    """Return the response to a successful request."""
    return _answer(request, payload, "100", "Request successfully executed")


def failure(request: HttpRequest, exception: Exception, failed: str, *, is_rest: bool) -> Response:
    """Return the response to a failed request, for any exception, and log failures of the server.

    ``failed`` is the endpoint's text for the failure, such as "Message send failed". If ``is_rest`` is true, the HTTP
    status is the error's ``rest_status``, otherwise its ``ossn_status``.
    """
    error = _protocol_error(exception)
    status = error.rest_status if is_rest else error.ossn_status
    text = error.describe(failed)
    response = _answer(request, False, error.code, text, status)
    for name, value in error.headers.items():
        response[name] = value
    if error.ossn_status >= 500:
        with translation.override(None):  # the log is in English, whatever the language of the request
            _log(request, error.describe(failed), exception)
    # Django's own log record has the request, so error reports made from it would show the API key.
    response._has_been_logged = status >= 500  # type: ignore[attr-defined]
    if status == 401:
        response["WWW-Authenticate"] = APIKeyAuthentication().authenticate_header(request)
    return response


def _log(request: HttpRequest, text: str, cause: Exception) -> None:
    """Log a failure with its traceback as text.

    Error reports made from ``exc_info`` would show the local variables of every frame.
    """
    trace = "".join(traceback.format_exception(cause))
    what = (request.method, iri_to_uri(request.path), text)
    logger.handle(
        logger.makeRecord(logger.name, logging.ERROR, __file__, 0, "%s %s: %s", what, exc_info=None, sinfo=trace)
    )


EXCEPTION_MAP: tuple[tuple[type[Exception], type[exceptions.MessagingError]], ...] = (
    (drf.NotAuthenticated, exceptions.InvalidKey),
    (drf.AuthenticationFailed, exceptions.InvalidKey),
    (drf.MethodNotAllowed, exceptions.MethodNotAllowed),
    (drf.UnsupportedMediaType, exceptions.UnsupportedContentType),
    (drf.ParseError, exceptions.MalformedRequest),
    (RequestDataTooBig, exceptions.RequestTooLarge),
    (SuspiciousOperation, exceptions.MalformedRequest),
    (Http404, exceptions.NotFound),
    (DatabaseAPIError, exceptions.ServiceUnavailable),
    (Exception, exceptions.ServerError),
)
"""The protocol's error for each exception of Django and DRF. The first match counts."""


def _protocol_error(exception: Exception) -> exceptions.MessagingError:
    if isinstance(exception, exceptions.MessagingError):
        return exception
    if isinstance(exception, drf.Throttled):
        return exceptions.TooManyRequests(getattr(exception, "wait", None))
    return next(error() for kind, error in EXCEPTION_MAP if isinstance(exception, kind))


class EnvelopeRenderer(BaseRenderer):
    """A renderer of JSON in UTF-8 that ignores the site's ``REST_FRAMEWORK``.

    A lone surrogate, which UTF-8 cannot encode, becomes a question mark.
    """

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else json.dumps(data, ensure_ascii=False, allow_nan=False).encode(errors="replace")


class NoNegotiation(BaseContentNegotiation):
    """Selects the parser by the body's content type, and always the same renderer: the ``Accept`` header is ignored."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return next((parser for parser in parsers if parser.media_type == request._request.content_type), None)

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type
