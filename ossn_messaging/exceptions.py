"""What a request or a send can fail with, and what the protocol answers to it.

Each class stands for one row of the tables in the API document and its contract: the ``code`` of the envelope, and
the HTTP status, which is 200 wherever the protocol has a code of its own, unless ``HTTP_STATUS`` is ``"rest"``.
"""

import math
from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from ossn_messaging.attachments.rules import Reason

# The protocol's own texts are not translated: they are its words as much as the codes are.


class MessagingError(Exception):
    """Base of all that this app refuses. ``str(error)`` is a text that may be shown to the caller."""

    code: str = "200"
    """The protocol's code."""
    ossn_status: int = 200
    """The HTTP status with ``HTTP_STATUS = "ossn"``."""
    rest_status: int = 400
    """The HTTP status with ``HTTP_STATUS = "rest"``."""
    text: str | Promise
    headers: Mapping[str, str] = {}
    """What HTTP wants beside the status."""

    def __str__(self) -> str:
        return str(self.text)

    def describe(self, failed: str) -> str:
        """Return the text for the caller of an endpoint that says of itself that it has ``failed``."""
        return str(self)


class InvalidKey(MessagingError):
    """The API key is missing, unknown, revoked or expired."""

    code = "106"
    rest_status = 401
    text = "The API key is missing or not valid"


class MessagingDisabled(MessagingError):
    """The setting ``ENABLED`` is off."""

    code = "201"
    rest_status = 503
    text = "OssnMessages component not found"


class BlankMessage(MessagingError):
    """The text is missing or only white space."""

    code = "106"
    text = "Message text cannot be blank"


class BlankUser(MessagingError):
    """``from`` or ``to`` is missing, only white space or 0."""

    code = "106"
    text = "Either `to` or `from` is blank"


class UserNotFound(MessagingError):
    """The sender or the recipient is not an active user."""

    code = "103"
    rest_status = 404
    text = "Either user not found"


class ReaderNotFound(UserNotFound):
    """The same where messages are read ("Reading messages")."""

    code = "200"


class Failed(MessagingError):
    """Base of the failures of code 200: ``detail`` follows the protocol's "Message send failed", or what else did."""

    rest_status = 422
    text = "Message send failed"
    detail: str | Promise

    def __str__(self) -> str:
        return self.describe(str(self.text))

    def describe(self, failed: str) -> str:
        return f"{failed}: {self.detail}"


class SelfMessage(Failed):
    """The sender is the recipient."""

    detail = _("nobody can send a message to themselves")


class NotAllowed(Failed):
    """The site's own rule, the setting ``CAN_SEND``, forbids it."""

    rest_status = 403
    detail = _("this sender may not write to this recipient")


class ScopeMissing(Failed):
    """The API key's scopes do not include this one."""

    rest_status = 403

    def __init__(self, scope: str) -> None:
        super().__init__(scope)
        self.detail = format_lazy(_("the API key has not the scope `{scope}`"), scope=scope)


class UserNotPermitted(Failed):
    """The API key has a list of users, and this one is not in it."""

    rest_status = 403
    detail = _("the API key may not act as this user")


class IdempotencyConflict(Failed):
    """The idempotency key was used for another message, or for one that has been deleted since.

    One text for both does not tell what a member of the site has deleted.
    """

    detail = _("this idempotency key was used for a message that is different or deleted")


class BadIdempotencyKey(Failed):
    """An idempotency key is a text of at most 255 printable characters."""

    rest_status = 400
    detail = _("the idempotency key is too long or not printable")


class TextTooLong(Failed):
    """The text has more characters than ``MAX_MESSAGE_LENGTH``."""

    rest_status = 413
    detail = _("the text is too long")


class TextNotUnicode(Failed):
    """The text holds a lone surrogate, which no encoding can store."""

    detail = _("the text is not valid Unicode")


REASON_TEXTS: Mapping[Reason, Any] = {
    Reason.EXTENSION: _("the attachment's file name has none of the extensions that are allowed"),
    Reason.NAME_TOO_LONG: _("the attachment's file name is too long"),
    Reason.WRONG_TYPE: _("the attachment is not a {expected}"),
    Reason.DAMAGED: _("the attachment is damaged"),
    Reason.TOO_MANY_PIXELS: _("the attachment has too many pixels"),
    Reason.PASSWORD_PROTECTED: _("the attachment is protected by a password"),
    Reason.MACROS: _("the attachment contains macros"),
    Reason.ACTIVE_CONTENT: _("the attachment contains active content"),
    Reason.TOO_LARGE: _("the attachment is too large"),
    Reason.TAKES_TOO_MUCH: _("the attachment takes too much to check"),
    Reason.NOT_ONE_FILE: _("the part `attachment` takes one file, and no other part takes any"),
    Reason.VALIDATOR: "{found}",
}


class AttachmentRefused(Failed):
    """The attachment breaks a rule. ``reason`` says which, and is meant for programs.

    ``found`` is the type that the content has, or the text of the site's own validator.
    """

    def __init__(self, reason: Reason, *, found: str = "", expected: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        text = REASON_TEXTS[reason]
        if reason is Reason.WRONG_TYPE and found:
            text = _("the attachment is a {found} and not a {expected}")
        self.detail = format_lazy(text, found=found, expected=expected)


class AttachmentTooLarge(AttachmentRefused):
    """The attachment, or what would be stored of it, has more bytes than ``ATTACHMENT_MAX_SIZE``."""

    rest_status = 413

    def __init__(self) -> None:
        super().__init__(Reason.TOO_LARGE)


class StoreFailed(Failed):
    """The storage or the database failed; nothing was changed. The cause is in ``__cause__`` and in the log."""

    ossn_status = rest_status = 503
    detail = _("the server can't do it now, try again later")


class MessageNotFound(Failed):
    """There is no such message that this user sent, or sees."""

    rest_status = 404
    detail = _("this user has no such message")


class UnknownDeletion(Failed):
    """``for`` is neither ``all`` nor ``me``."""

    rest_status = 400
    detail = _("`for` is `all` or `me`")


class MalformedRequest(Failed):
    """The request's body or query could not be read whole."""

    rest_status = 400
    detail = _("the request could not be read")


class RequestTooLarge(Failed):
    """The request is over Django's ``DATA_UPLOAD_MAX_MEMORY_SIZE``."""

    ossn_status = rest_status = 413
    detail = _("the request is too large")


class LengthRequired(Failed):
    """The request's body came in chunks, and the server does not tell where it ends (RFC 9110, 15.5.12)."""

    ossn_status = rest_status = 411
    detail = _("the request's Content-Length is missing")


class TooManyRequests(Failed):
    """A limit of ``THROTTLE_RATES`` is reached. ``wait`` is in seconds, as far as it is known."""

    ossn_status = rest_status = 429
    detail = _("there were too many requests, try again later")

    def __init__(self, wait: float | None) -> None:
        super().__init__(wait)
        self.headers = {"Retry-After": str(max(1, math.ceil(wait or 0)))}


class UnsupportedContentType(Failed):
    """The body is of a content type or character set that the API does not read."""

    ossn_status = rest_status = 415
    detail = _("the request's content type is not supported")


class MethodNotAllowed(MessagingError):
    """The HTTP method is none of those that the ``Allow`` header of the answer lists."""

    code = "101"
    ossn_status = rest_status = 405
    text = "The method is not allowed"


class NotFound(MessagingError):
    """There is nothing here that the caller may see."""

    ossn_status = rest_status = 404
    text = _("Not found")


class ReadFailed(StoreFailed):
    """The storage could not give a file out. The cause is in ``__cause__`` and in the log."""


class PreconditionFailed(MessagingError):
    """The file is not the one that the request's ``If-Match`` or ``If-Unmodified-Since`` names."""

    ossn_status = rest_status = 412
    text = _("The attachment is not the one that the request names")


class RangeNotSatisfiable(MessagingError):
    """The file has none of the bytes that the request asks for (RFC 9110, 15.5.17). ``size`` is in bytes."""

    ossn_status = rest_status = 416
    text = _("The attachment has no such bytes")

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.headers = {"Content-Range": f"bytes */{size}"}


class ServerError(Failed):
    """A defect; the log has it."""

    ossn_status = rest_status = 500
    detail = _("the server made an error")
