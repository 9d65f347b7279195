"""The parameters, payload and errors of each view of the app."""

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ossn_messaging import exceptions as errors
from ossn_messaging.api import avatars, signing, views
from ossn_messaging.api.endpoints import EnvelopeView
from ossn_messaging.api.openapi.parameters import (
    AFTER,
    BEFORE,
    CURSOR,
    MARK_READ,
    PAGE,
    Parameter,
    conditions,
    send_parameters,
    user,
)
from ossn_messaging.api.openapi.schemas import number, one_of, text
from ossn_messaging.attachments.rules import Reason
from ossn_messaging.exceptions import MessagingError
from ossn_messaging.models.updates import bad_cursor

ErrorFactory = Callable[[], MessagingError]
"""An error class, or a function that creates an error if its class requires arguments."""
MULTIPART, FORM, JSON = "multipart/form-data", "application/x-www-form-urlencoded", "application/json"


@dataclass(frozen=True)
class Description:
    """The parts of an operation that its view does not tell."""

    operation_id: str
    """The id of the operation by POST, in version 2.0 of the API. See ``OperationSchema.get_operation_id()``."""
    summary: str | Promise
    parameters: Callable[[], tuple[Parameter, ...]]
    """A function, because some parameters depend on the settings in force when a schema is generated."""
    errors: tuple[ErrorFactory, ...]
    payload: str = ""
    """The name of the payload's schema in version 2.0, or empty if the response is a file."""
    body_types: tuple[str, ...] = (JSON,)
    """The content types of the body of a POST.

    Every endpoint accepts all three. But generators of clients fail at several types, or create a class for each.
    """
    optional_key: bool = False
    """Whether the API key is optional and gives access to more files."""

    def created_errors(self) -> list[MessagingError]:
        return [create() for create in self.errors]

    def payload_of(self, view: EnvelopeView) -> str:
        return f"{self.payload}V1" if isinstance(view, views.ReadEndpoint) and view.version == 1 else self.payload


EVERYWHERE: tuple[ErrorFactory, ...] = (
    errors.MethodNotAllowed,
    errors.MalformedRequest,
    errors.RequestTooLarge,
    errors.UnsupportedContentType,
    lambda: errors.TooManyRequests(30),
    errors.ServerError,
    errors.ServiceUnavailable,
)
ENDPOINT: tuple[ErrorFactory, ...] = (
    errors.InvalidKey,
    errors.MessagingDisabled,
    errors.LengthRequired,
    errors.UserNotPermitted,
    *EVERYWHERE,
)
READ: tuple[ErrorFactory, ...] = (errors.ReaderNotFound, lambda: errors.ScopeMissing("read"), *ENDPOINT)
DELETE: tuple[ErrorFactory, ...] = (
    errors.ReaderNotFound,
    lambda: errors.MessageNotFound(5),
    lambda: errors.InvalidParameter("for", "both", _("`all` or `me`")),
    lambda: errors.ScopeMissing("send"),
    *ENDPOINT,
)
BLOCKLIST: tuple[ErrorFactory, ...] = (
    lambda: errors.BlankParameter("guid"),
    errors.UserNotFound,
    lambda: errors.ScopeMissing("read"),
    *ENDPOINT,
)
SEND: tuple[ErrorFactory, ...] = (
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


def blocking(parameter: str) -> tuple[ErrorFactory, ...]:
    return (
        lambda: errors.BlankParameter("guid", parameter),
        errors.UserNotFound,
        lambda: errors.ScopeMissing("send"),
        *ENDPOINT,
    )


READER = user("guid", _("the user who reads"))
BLOCKER = user("guid", _("the user who blocks"))
DESCRIPTIONS: dict[type[EnvelopeView], Description] = {
    views.MessageSend: Description(
        "sendMessage",
        _("Send a message, with a file or without"),
        send_parameters,
        SEND,
        "Sent",
        body_types=(MULTIPART, FORM, JSON),
    ),
    views.MessageAdd: Description(
        "sendMessage",
        _("Send a message, with a file or without"),
        send_parameters,
        SEND,
        "Added",
        body_types=(MULTIPART,),
    ),
    views.MessageList: Description(
        "listMessages",
        _("List a page of a conversation. The first page is the newest. Each page begins with its oldest message"),
        lambda: (READER, user("to", _("the other user"), 2), PAGE, BEFORE, AFTER, MARK_READ),
        READ,
        "List",
    ),
    views.MessageNew: Description(
        "listNewMessages",
        _("List all unread messages from one user, newest first"),
        lambda: (user("to", _("the user who reads"), 2), user("from", _("the other user")), MARK_READ),
        READ,
        "New",
    ),
    views.MessageRecent: Description(
        "listRecentMessages",
        _("List the newest message of each conversation of a user, newest first"),
        lambda: (READER, PAGE),
        READ,
        "Recent",
    ),
    views.MessageUnread: Description(
        "countUnreadMessages",
        _("Count the unread messages of a user, and the conversations that have some"),
        lambda: (READER,),
        READ,
        "Unread",
    ),
    views.MessageUpdates: Description(
        "listUpdates",
        _("List what happened to the messages of a user since the last answer"),
        lambda: (READER, CURSOR),
        (*READ, lambda: bad_cursor("0")),
        "Updates",
    ),
    views.MessageDelete: Description(
        "deleteMessage",
        _("Delete a message"),
        lambda: (
            Parameter("id", number(4, minimum=1), _("the message")),
            user("guid", _("the user who deletes it")),
            Parameter(
                "for",
                one_of("string", "all", "me", default="all"),
                _("`all` deletes it for both users, which only its sender may do; `me` for this user"),
                required=False,
            ),
        ),
        DELETE,
        "True",
    ),
    views.UserBlock: Description(
        "blockUser",
        _("Block a user: neither can send a message to the other"),
        lambda: (BLOCKER, user("to_block_guid", _("the user to block"), 2)),
        (*blocking("to_block_guid"), errors.SelfBlock),
        "Success",
    ),
    views.UserUnblock: Description(
        "unblockUser",
        _("Remove a block"),
        lambda: (BLOCKER, user("to_unblock_guid", _("the blocked user"), 2)),
        blocking("to_unblock_guid"),
        "Success",
    ),
    views.UserBlocklist: Description(
        "listBlockedUsers",
        _("List the users that a user has blocked, newest block first"),
        lambda: (BLOCKER,),
        BLOCKLIST,
        "Blocklist",
    ),
    views.AttachmentFile: Description(
        "getAttachment",
        _("Get the file of an attachment"),
        lambda: (
            Parameter("guid", number(175, minimum=0), _("the number of the attachment"), location="path"),
            Parameter("name", text("dummy.pdf", minLength=1), _("its name"), location="path"),
            Parameter(
                signing.SIGNATURE,
                {"type": "string"},
                _("the signature in `attachment_url`, which needs no API key and expires"),
                required=False,
            ),
            *conditions(),
        ),
        (
            errors.NotFound,
            errors.PreconditionFailed,
            lambda: errors.RangeNotSatisfiable(1024),
            *EVERYWHERE,
        ),
        optional_key=True,
    ),
    views.Avatar: Description(
        "getAvatar",
        _("Get the default avatar of a user"),
        lambda: (
            Parameter("username", text("arsalanshah"), _("the username"), location="path"),
            Parameter("size", one_of("string", *avatars.SIZES), _("its size"), location="path"),
            Parameter(
                "digest",
                text(avatars.avatar_hash("arsalanshah", "small"), pattern="^[0-9a-f]{32}$"),
                _("the MD5 digest of the username followed by the size"),
                location="path",
            ),
        ),
        (errors.NotFound, errors.MethodNotAllowed, errors.UnsupportedContentType, errors.ServerError),
    ),
}
