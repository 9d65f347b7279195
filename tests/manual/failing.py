"""A site whose own code fails, with the text of the message and the key in all that it has at hand."""

import logging
import os
from typing import Any

from django.db import IntegrityError
from django.urls import include, path
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from tests.site import WhoAmI

DETAIL = "new row violates a constraint\nDETAIL:  Failing row contains (1, %s)."
"""What PostgreSQL says."""
logger = logging.getLogger("a site")


class Failing(WhoAmI):
    """A view of the site's own that fails, and says so with the URL, headers and key of the request."""

    parser_classes = (FormParser, JSONParser, MultiPartParser)  # type: ignore[assignment]

    def post(self, request: Request) -> Response:
        given: Any = {**request.query_params.dict(), **dict(request.data)}
        logger.warning("it will fail for %s", request.get_full_path())
        try:
            raise IntegrityError(DETAIL % os.environ["TEXT"])
        except IntegrityError as error:
            key = {name: value for name, value in given.items() if name == "api_key_token"}
            raise ValueError(f"no luck with {key}, {request.get_full_path()} and {request.headers}") from error

    get = post


def can_send(sender: Any, recipient: Any, api_key: Any) -> bool:
    """Return whether the site lets the API send, and fail for one recipient."""
    if recipient.username == "broken":
        raise IntegrityError(DETAIL % os.environ["TEXT"])
    return True


urlpatterns = [path("failing", Failing.as_view()), path("", include("ossn_messaging.urls"))]
