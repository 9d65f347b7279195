"""The parameters of the endpoints: in the query of a GET, or in one of three content types of a POST."""

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ossn_messaging.api.openapi.shapes import Shape, number, one_of, text
from ossn_messaging.attachments import file_types
from ossn_messaging.authentication import APIKeyAuthentication
from ossn_messaging.conf import conf

MULTIPART = "multipart/form-data"
FORMS = (MULTIPART, "application/x-www-form-urlencoded", "application/json")


@dataclass(frozen=True)
class Parameter:
    name: str
    shape: Shape
    description: str | Promise
    required: bool = True
    place: str = "query"
    """``query``, ``path`` or ``header``, the place in a GET; or ``file``, which only a multipart body has."""

    def described(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "in": self.place,
            "required": self.required,
            "description": self.description,
            "schema": self.shape,
        }


def user(name: str, description: str | Promise, example: int = 1) -> Parameter:
    return Parameter(name, number(example, minimum=1), description)


def flag(name: str, description: str | Promise) -> Parameter:
    return Parameter(name, one_of("integer", 0, 1), description, required=False)


KEY = Parameter(
    APIKeyAuthentication.parameter,
    text(""),
    _("the API key, where neither the header nor the query has it"),
    required=False,
)
"""The API key in the body; in the header or query it is a security scheme.

The example is empty, like those of other rare parameters, so that Swagger UI does not fill the field.
"""
IDEMPOTENCY_KEY = {"type": "string", "minLength": 1, "maxLength": 255}
ONCE = (
    Parameter("idempotency_key", text("", maxLength=255), _("the same, where the header is absent"), required=False),
    Parameter(
        "Idempotency-Key",
        IDEMPOTENCY_KEY,
        _("a text of the client's own: what one sender asks for under one key is done once"),
        required=False,
        place="header",
    ),
)
PAGE = Parameter("offset", number(1, minimum=1), _("the number of the page, from 1"), required=False)
MARK = flag("markallread", _("1 marks what is unread in this conversation as viewed"))


def to_send() -> tuple[Parameter, ...]:
    """Return the parameters of ``message/send``."""
    return (
        user("from", _("the user who sends")),
        user("to", _("the user who receives"), 2),
        Parameter("message", text("Test", minLength=1, maxLength=conf.MAX_MESSAGE_LENGTH), _("the text")),
        *ONCE,
        _attachment(),
    )


def _attachment() -> Parameter:
    taken = [extension for extension in file_types.BY_EXTENSION if extension in conf.ATTACHMENT_EXTENSIONS]
    description = _("one file: %(extensions)s") % {"extensions": ", ".join(taken)}
    return Parameter("attachment", {"type": "string", "format": "binary"}, description, required=False, place="file")


def conditions() -> tuple[Parameter, ...]:
    """Return the headers of range requests and conditional requests (RFC 9110, sections 13 and 14)."""
    etag = f'"{"0" * 64}"'
    examples = {
        "Range": "bytes=0-1023",
        "If-Range": etag,
        "If-Match": etag,
        "If-None-Match": etag,
        "If-Modified-Since": "Sat, 04 May 2024 17:20:44 GMT",
        "If-Unmodified-Since": "Sat, 04 May 2024 17:20:44 GMT",
    }
    return tuple(
        Parameter(name, text(example), _("as RFC 9110 has it"), required=False, place="header")
        for name, example in examples.items()
    )
