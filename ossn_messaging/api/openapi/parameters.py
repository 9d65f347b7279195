"""The parameters of the endpoints: in the query of a GET, or in the body of a POST."""

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ossn_messaging.api.openapi.schemas import Schema, number, one_of, text
from ossn_messaging.attachments import file_types
from ossn_messaging.authentication import APIKeyAuthentication
from ossn_messaging.conf import conf


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operation.

    Swagger UI fills a field with its example. So an optional parameter has no example, or an empty one if it is in a
    form, where Swagger UI would make up a text.
    """

    name: str
    schema: Schema
    description: str | Promise
    required: bool = True
    location: str = "query"
    """``query``, ``path`` or ``header`` of a GET, or ``file``, which only a multipart body has."""

    def parameter_object(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "in": self.location,
            "required": self.required,
            "description": self.description,
            "schema": self.schema,
        }


POSITIVE: Schema = {"type": "integer", "minimum": 1}


def user(name: str, description: str | Promise, example: int = 1) -> Parameter:
    return Parameter(name, number(example, minimum=1), description)


def flag(name: str, description: str | Promise) -> Parameter:
    return Parameter(name, one_of("integer", 0, 1), description, required=False)


KEY = Parameter(
    APIKeyAuthentication.parameter,
    text(""),
    _("the API key, if neither the header nor the query has it"),
    required=False,
)
"""The API key in the body. In the header or the query, it is a security scheme."""
IDEMPOTENCY_KEY = {"type": "string", "minLength": 1, "maxLength": 255}
IDEMPOTENCY = (
    Parameter(
        "idempotency_key", text("", maxLength=255), _("the idempotency key, if the header is absent"), required=False
    ),
    Parameter(
        "Idempotency-Key",
        IDEMPOTENCY_KEY,
        _("a text that the client chooses: requests of one sender with the same key send one message"),
        required=False,
        location="header",
    ),
)
PAGE = Parameter("offset", POSITIVE, _("the number of the page, from 1"), required=False)
BEFORE = Parameter(
    "before", POSITIVE, _("the id of a message: returns older messages, instead of a page"), required=False
)
AFTER = Parameter(
    "after", POSITIVE, _("the id of a message: returns newer messages, instead of a page"), required=False
)
CURSOR = Parameter(
    "after", {"type": "string"}, _("`after` of the last answer; without it, only `after` is returned"), required=False
)
MARK_READ = flag("markallread", _("1 marks the unread messages of this conversation as read"))


def send_parameters() -> tuple[Parameter, ...]:
    """Return the parameters of ``message/send``."""
    return (
        user("from", _("the user who sends")),
        user("to", _("the user who receives"), 2),
        Parameter("message", text("Test", minLength=1, maxLength=conf.MAX_MESSAGE_LENGTH), _("the text")),
        *IDEMPOTENCY,
        _attachment(),
    )


def _attachment() -> Parameter:
    allowed = [extension for extension in file_types.BY_EXTENSION if extension in conf.ATTACHMENT_EXTENSIONS]
    description = _("one file: %(extensions)s") % {"extensions": ", ".join(allowed)}
    return Parameter("attachment", {"type": "string", "format": "binary"}, description, required=False, location="file")


def conditions() -> tuple[Parameter, ...]:
    """Return the headers of range requests and conditional requests (RFC 9110, sections 13 and 14)."""
    headers = ("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
    return tuple(
        Parameter(name, {"type": "string"}, _("see RFC 9110"), required=False, location="header") for name in headers
    )
