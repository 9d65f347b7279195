"""The exceptions of the app, with the code and HTTP status of the API's response (docs/reference/exceptions.md).

If the protocol has a code for a failure, its HTTP status is 200, unless ``HTTP_STATUS`` is ``"rest"``.
"""

import math
from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.text import Truncator, format_lazy
from django.utils.translation import gettext_lazy as _

from ossn_messaging.attachments.rules import Reason

SHOWN_VALUE_LENGTH = 50
"""In characters. A longer value of a parameter is cut off in the text of an error."""

# The protocol's own texts are not translated, because they are part of the protocol, like the codes.


class MessagingError(Exception):
    """Base class of the app's exceptions. ``str(error)`` is a text that you may show to the caller."""

    code: str = "200"
    """The ``code`` of the envelope."""
    ossn_status: int = 200
    """The HTTP status with ``HTTP_STATUS = "ossn"``."""
    rest_status: int = 400
    """The HTTP status with ``HTTP_STATUS = "rest"``."""
    text: str | Promise
    headers: Mapping[str, str] = {}
    """The HTTP headers that the response needs in addition to the status."""

    def __str__(self) -> str:
        return str(self.text)

    def describe(self, failed: str) -> str:
        """Return the ``message`` of the envelope. ``failed`` is the endpoint's text, such as "Message list failed"."""
        return str(self)


class InvalidKey(MessagingError):
    """The API key is missing, unknown, revoked or expired."""

    code = "106"
    rest_status = 401
    text = "The API key is missing or not valid"


class InvalidMethod(MessagingError):
    """The API has no such endpoint."""

    code = "101"
    rest_status = 404
    text = "Invalid Method"


class InvalidVersion(InvalidMethod):
    """The path names a version that the API does not have."""

    code = "107"
    text = "Invalid API version"


class MessagingDisabled(MessagingError):
    """The setting ``ENABLED`` is ``False``."""

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


class BlankParameter(BlankUser):
    """A parameter with the id of a user is missing, only white space or 0. ``names`` are all that are required."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        first, *others = (f"`{name}`" for name in names)
        self.text = f"Either {' or '.join(others)} or {first} is blank" if others else f"{first} is blank"


class UserNotFound(MessagingError):
    """The sender or the recipient is not an active user."""

    code = "103"
    rest_status = 404
    text = "Either user not found"


class ReaderNotFound(UserNotFound):
    """A user is missing or unknown, or the user who reads or deletes is not active. Sending raises ``UserNotFound``."""

    code = "200"


class Failed(MessagingError):
    """Base class of failures whose text is the endpoint's, such as "Message send failed", followed by ``detail``."""

    rest_status = 422
    text = "Message send failed"
    detail: str | Promise

    def __str__(self) -> str:
        return self.describe(str(self.text))

    def describe(self, failed: str) -> str:
        return f"{failed}: {self.detail}"


class SelfMessage(Failed):
    """The sender is the recipient."""

    detail = _("the sender and the recipient are the same user")


class NotAllowed(Failed):
    """The site's ``CAN_SEND`` does not allow this sender to write to this recipient, or one has blocked the other.

    Both have the same text, so that it does not reveal a block.
    """

    rest_status = 403
    detail = _("this sender may not write to this recipient")


class SelfBlock(Failed):
    """The user who blocks is the user to block."""

    text = "User block failed"
    detail = _("nobody can block themselves")


class ScopeMissing(Failed):
    """The API key does not have the scope ``scope``."""

    rest_status = 403

    def __init__(self, scope: str) -> None:
        super().__init__(scope)
        self.detail = format_lazy(_("the API key does not have the scope `{scope}`"), scope=scope)


class UserNotPermitted(Failed):
    """The API key has a list of users, and this one is not in it."""

    rest_status = 403
    detail = _("the API key may not act as this user")


class SessionUserMismatch(UserNotPermitted):
    """The request is made by a member's session, and names another user as the acting user."""

    detail = _("a session may act only as its own user")


class CSRFFailed(Failed):
    """The request is made by a member's session, and its CSRF token or its origin is wrong. ``__cause__`` says more."""

    ossn_status = rest_status = 403
    detail = _("the CSRF token is missing or wrong, or the request comes from another origin")


class IdempotencyConflict(Failed):
    """The idempotency key was used for a different message, or for a message that its sender has deleted since.

    Both have the same text, so that it does not reveal what a user has deleted.
    """

    detail = _("this idempotency key was used for a message that is different or deleted")


class BadIdempotencyKey(Failed):
    """The idempotency key is empty, not printable, not valid UTF-8, or longer than 255 characters."""

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
    Reason.EXTENSION: _("the extension of the attachment's file name is not allowed"),
    Reason.NAME_TOO_LONG: _("the attachment's file name is too long"),
    Reason.WRONG_TYPE: _("the attachment is not a {expected}"),
    Reason.DAMAGED: _("the attachment is damaged"),
    Reason.TOO_MANY_PIXELS: _("the attachment has too many pixels"),
    Reason.PASSWORD_PROTECTED: _("the attachment is protected by a password"),
    Reason.MACROS: _("the attachment contains macros"),
    Reason.ACTIVE_CONTENT: _("the attachment contains active content"),
    Reason.TOO_LARGE: _("the attachment is too large"),
    Reason.TAKES_TOO_MUCH: _("the attachment takes too much time or memory to check"),
    Reason.NOT_ONE_FILE: _("only one file is allowed, in the part `attachment`"),
    Reason.VALIDATOR: "{found}",
}


class AttachmentRefused(Failed):
    """The attachment breaks a rule. A program can read the rule from ``reason``.

    ``found`` is the type of the content, or the text of the site's validator. ``expected`` is the type of the file
    name's extension.
    """

    def __init__(self, reason: Reason, *, found: str = "", expected: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        text = REASON_TEXTS[reason]
        if reason is Reason.WRONG_TYPE and found:
            text = _("the attachment is a {found} and not a {expected}")
        self.detail = format_lazy(text, found=found, expected=expected)


class AttachmentTooLarge(AttachmentRefused):
    """The attachment has more than ``ATTACHMENT_MAX_SIZE`` bytes, before or after the app processed it."""

    rest_status = 413

    def __init__(self) -> None:
        super().__init__(Reason.TOO_LARGE)


class ServiceUnavailable(Failed):
    """The database, storage, cache or inspection failed, and nothing was changed.

    The cause is in ``__cause__`` and in the log.
    """

    ossn_status = rest_status = 503
    detail = _("the server cannot do this now, try again later")


class MessageNotFound(Failed):
    """The message does not exist, or this user did not send it (``for=all``) or does not see it (``for=me``)."""

    rest_status = 404

    def __init__(self, message_id: int) -> None:
        super().__init__(message_id)
        self.detail = format_lazy(_("this user has no message with the `id` `{id}`"), id=message_id)


class InvalidParameter(Failed):
    """The parameter ``name`` has a value that the API does not know. ``expected`` says which values it knows."""

    rest_status = 400

    def __init__(self, name: str, value: str, expected: str | Promise) -> None:
        super().__init__(name)
        self.detail = format_lazy(
            _("`{name}` must be {expected}, and not `{value}`"),
            name=name,
            expected=expected,
            value=Truncator(value).chars(SHOWN_VALUE_LENGTH),
        )


class MalformedRequest(Failed):
    """The body or query of the request could not be read completely. ``reason`` says why, if it is known."""

    rest_status = 400
    detail = _("the request could not be read")

    def __init__(self, reason: str | Promise = "") -> None:
        super().__init__(reason)
        if reason:
            self.detail = format_lazy("{detail}: {reason}", detail=self.detail, reason=reason)


class RequestTooLarge(Failed):
    """The body is larger than Django's ``DATA_UPLOAD_MAX_MEMORY_SIZE``, or than the size that the app reads."""

    ossn_status = rest_status = 413
    detail = _("the request is too large")


class LengthRequired(Failed):
    """The body was sent in chunks, and the web server does not mark its end (RFC 9110, section 15.5.12)."""

    ossn_status = rest_status = 411
    detail = _("the request's Content-Length is missing")


class TooManyRequests(Failed):
    """A limit of ``THROTTLE_RATES`` is reached. ``wait`` is in seconds, or ``None`` if it is not known."""

    ossn_status = rest_status = 429
    detail = _("too many requests, try again later")

    def __init__(self, wait: float | None) -> None:
        super().__init__(wait)
        self.headers = {"Retry-After": str(max(1, math.ceil(wait or 0)))}


class UnsupportedContentType(Failed):
    """The API does not support the content type or character set of the body."""

    ossn_status = rest_status = 415
    detail = _("the request's content type is not supported")


class MethodNotAllowed(MessagingError):
    """The HTTP method is not allowed. The ``Allow`` header of the response lists the allowed methods."""

    code = "101"
    ossn_status = rest_status = 405
    text = "The method is not allowed"


class NotFound(MessagingError):
    """The attachment or avatar does not exist, or the caller may not read it."""

    ossn_status = rest_status = 404
    text = _("Not found")


class ReadFailed(ServiceUnavailable):
    """The storage or database failed while an attachment was read. The cause is in ``__cause__`` and in the log."""


class PreconditionFailed(MessagingError):
    """The attachment does not match the request's ``If-Match`` or ``If-Unmodified-Since``."""

    ossn_status = rest_status = 412
    text = _("The attachment does not match the conditions of the request")


class RangeNotSatisfiable(MessagingError):
    """The attachment has none of the requested bytes (RFC 9110, section 15.5.17). ``size`` is its size in bytes."""

    ossn_status = rest_status = 416
    text = _("The attachment does not have the requested range")

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.headers = {"Content-Range": f"bytes */{size}"}


class ServerError(Failed):
    """An unexpected exception was raised. Its traceback is in the log."""

    ossn_status = rest_status = 500
    detail = _("an internal error occurred")
