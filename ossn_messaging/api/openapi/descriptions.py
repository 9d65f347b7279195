"""The parameters, payload and errors of each view of the app."""

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ossn_messaging import exceptions as errors
from ossn_messaging.api import avatars, signing, views
from ossn_messaging.api.endpoints import EnvelopeView
from ossn_messaging.api.openapi.parameters import (
    MARK,
    PAGE,
    Parameter,
    conditions,
    to_send,
    user,
)
from ossn_messaging.api.openapi.shapes import number, one_of, text
from ossn_messaging.attachments.rules import Reason
from ossn_messaging.exceptions import MessagingError

Made = Callable[[], MessagingError]
"""An error class, or a function that creates an error if its class requires arguments."""


@dataclass(frozen=True)
class Description:
    summary: str | Promise
    parameters: Callable[[], tuple[Parameter, ...]]
    """A function, because some parameters depend on the settings in force when a schema is generated."""
    errors: tuple[Made, ...]
    payload: str = ""
    """The name of the payload's shape in version 2.0, or empty if the response is a file."""
    for_some: bool = False
    """Whether an API key is optional and gives access to more files."""

    def made_errors(self) -> list[MessagingError]:
        return [make() for make in self.errors]

    def payload_of(self, view: EnvelopeView) -> str:
        return f"{self.payload}V1" if getattr(view, "version", 2) == 1 else self.payload


EVERYWHERE: tuple[Made, ...] = (
    errors.MethodNotAllowed,
    errors.MalformedRequest,
    errors.RequestTooLarge,
    errors.UnsupportedContentType,
    lambda: errors.TooManyRequests(30),
    errors.ServerError,
    errors.ServiceUnavailable,
)
ENDPOINT: tuple[Made, ...] = (
    errors.InvalidKey,
    errors.MessagingDisabled,
    errors.LengthRequired,
    errors.UserNotPermitted,
    *EVERYWHERE,
)
READING: tuple[Made, ...] = (errors.ReaderNotFound, lambda: errors.ScopeMissing("read"), *ENDPOINT)
DELETING: tuple[Made, ...] = (
    errors.ReaderNotFound,
    errors.MessageNotFound,
    errors.UnknownDeletion,
    lambda: errors.ScopeMissing("send"),
    *ENDPOINT,
)
SENDING: tuple[Made, ...] = (
    errors.BlankMessage,
    errors.BlankUser,
    errors.UserNotFound,
    errors.SelfMessage,
    errors.NotAllowed,
    errors.IdempotencyConflict,
    errors.BadIdempotencyKey,
    errors.TextTooLong,
    errors.TextNotUnicode,
    lambda: errors.AttachmentRefused(Reason.NOT_ONE_FILE),
    errors.AttachmentTooLarge,
    lambda: errors.ScopeMissing("send"),
    *ENDPOINT,
)

READER = user("guid", _("the user who reads"))

DESCRIPTIONS: dict[type[EnvelopeView], Description] = {
    views.MessageSend: Description(_("Send a message, with a file or without"), to_send, SENDING, "Sent"),
    views.MessageAdd: Description(_("Send a message, with a file or without"), to_send, SENDING, "Added"),
    views.MessageList: Description(
        _("A page of a conversation; the first is the newest, and each begins with its oldest message"),
        lambda: (
            READER,
            user("to", _("the other user"), 2),
            PAGE,
            Parameter(
                "before", number(5, minimum=1), _("the id of a message: what is older, in place of a page"), False
            ),
            MARK,
        ),
        READING,
        "List",
    ),
    views.MessageNew: Description(
        _("What a user has not viewed of another's messages, newest first"),
        lambda: (user("to", _("the user who reads"), 2), user("from", _("the other user")), PAGE, MARK),
        READING,
        "New",
    ),
    views.MessageRecent: Description(
        _("The newest message of each of a user's conversations, newest first"),
        lambda: (READER, PAGE),
        READING,
        "Recent",
    ),
    views.MessageUnread: Description(
        _("How many messages a user has not viewed, and in how many conversations"),
        lambda: (READER,),
        READING,
        "Unread",
    ),
    views.MessageDelete: Description(
        _("Delete a message"),
        lambda: (
            Parameter("id", number(4, minimum=1), _("the message")),
            user("guid", _("the user who deletes it")),
            Parameter(
                "for",
                one_of("string", "all", "me", default="all"),
                _("`all` deletes it for both, which its sender alone may do; `me` for this user"),
                required=False,
            ),
        ),
        DELETING,
        "True",
    ),
    views.AttachmentFile: Description(
        _("The file of an attachment, for those who may have it"),
        lambda: (
            Parameter("guid", number(175, minimum=0), _("the attachment's number"), place="path"),
            Parameter("name", text("dummy.pdf", minLength=1), _("its name"), place="path"),
            Parameter(signing.SIGNATURE, {"type": "string"}, _("opens it to anyone for a time"), required=False),
            *conditions(),
        ),
        (
            errors.NotFound,
            errors.PreconditionFailed,
            lambda: errors.RangeNotSatisfiable(1024),
            *EVERYWHERE,
        ),
        for_some=True,
    ),
    views.Avatar: Description(
        _("The icon of a user for whom the site has none"),
        lambda: (
            Parameter("username", text("arsalanshah"), _("the user's name"), place="path"),
            Parameter("size", one_of("string", *avatars.SIZES), _("its size"), place="path"),
            Parameter(
                "digest",
                text("c0e15d54735a596d4e16bf1aaa999758", pattern="^[0-9a-f]{32}$"),
                _("the MD5 of the name followed by the size"),
                place="path",
            ),
        ),
        (errors.NotFound, errors.MethodNotAllowed, errors.UnsupportedContentType, errors.ServerError),
    ),
}
