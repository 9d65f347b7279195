"""The endpoints of the API, and the views of the attachments and avatars that its responses link to."""

import re
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.files.base import File
from django.db import Error as DatabaseAPIError
from django.db import router
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions as drf
from rest_framework.request import Request
from rest_framework.response import Response

from ossn_messaging.api import avatars, signing
from ossn_messaging.api.downloads import serve_attachment
from ossn_messaging.api.endpoints import Endpoint, EnvelopeView
from ossn_messaging.api.envelope import success
from ossn_messaging.api.serializers import (
    added_object,
    deleted_object,
    is_online,
    listed_object,
    new_object,
    new_object_v1,
    read_object,
    sent_object,
    user_object,
)
from ossn_messaging.attachments.rules import Reason
from ossn_messaging.authentication import BodylessAPIKeyAuthentication
from ossn_messaging.exceptions import (
    AttachmentRefused,
    BadIdempotencyKey,
    BlankParameter,
    InvalidMethod,
    InvalidParameter,
    MessageNotFound,
    MessagingError,
    ReaderNotFound,
    ReadFailed,
    UserNotFound,
)
from ossn_messaging.models import Attachment, Block, Conversation, Message, Update
from ossn_messaging.models.blocks import MAX_BLOCKED_USERS
from ossn_messaging.models.messages import clean_text
from ossn_messaging.models.users import (
    check_reader,
    default_manager_is_unfiltered,
    get_sender_and_recipient,
    is_blank,
    parse_id,
)
from ossn_messaging.throttling import KeyThrottle

NUMBER_1 = re.compile(r"0*1(\.0*)?")
MAX_PAGE = 10**9
"""No user has so many pages, and every database accepts the offset of this page."""


class MessageSend(Endpoint):
    """The endpoint ``message/send``, which sends a message."""

    failed = "Message send failed"
    user_parameter = "from"
    scope = "send"

    def post(self, request: Request) -> Response:
        text = clean_text(self.parameter("message"))
        sender, recipient, is_blocked = get_sender_and_recipient(self.parameter("from"), self.parameter("to"))
        # Build the user objects first: the site's USER_AVATAR may raise, and nothing may fail after the commit.
        users = {user.pk: user_object(request, user) for user in (sender, recipient)}
        message = Message.objects.send(
            sender=sender,
            recipient=recipient,
            text=text,
            upload=self.get_upload(request),
            api_key=self.api_key,
            idempotency_key=self.get_idempotency_key(request),
            is_blocked=is_blocked,
        )
        response = success(request, self.get_payload(request, message, users))
        if message.replayed_from:
            response["Idempotent-Replayed"] = "true"
        return response

    get = post

    def get_payload(self, request: Request, message: Message, users: dict[int, Any]) -> dict[str, Any]:
        return sent_object(request, message, users)

    def get_idempotency_key(self, request: Request) -> str | None:
        """Return the header ``Idempotency-Key`` or, if it is empty, the parameter ``idempotency_key``.

        Double quotes around the key are removed, because the IETF draft of the header requires them. Raises
        ``BadIdempotencyKey`` if the header is not UTF-8.
        """
        header = request.headers.get("Idempotency-Key", "")
        try:
            given = header.encode("latin-1").decode().strip() or self.parameter("idempotency_key").strip()
        except UnicodeError as error:
            raise BadIdempotencyKey from error
        if len(given) > 1 and given.startswith('"') and given.endswith('"'):
            given = given[1:-1]
        return given or None

    def get_upload(self, request: Request) -> "File[Any] | None":
        """Return the file in the part ``attachment``, or ``None`` if the request has no file.

        Raises ``AttachmentRefused`` if the part has several files or text, or if another part has a file: that file
        would be ignored without notice.
        """
        texts = [value for value in self.params.getlist("attachment") if isinstance(value, str)]
        files = request.FILES.getlist("attachment")
        elsewhere = set(request.FILES) - {"attachment"}
        if elsewhere or len(files) > 1 or "".join(texts).strip():
            raise AttachmentRefused(Reason.NOT_ONE_FILE)
        return files[0] if files else None


class MessageAdd(MessageSend):
    """The endpoint ``message_add`` of version 1.0, which sends a message. Its payload has fewer keys than in 2.0."""

    version = 1

    def get_payload(self, request: Request, message: Message, users: dict[int, Any]) -> dict[str, Any]:
        return added_object(message, users)


class ReadEndpoint(Endpoint):
    """Base of the endpoints that read messages. In version 1.0, messages have user objects; in 2.0, user ids."""

    failed = "Message list failed"
    avatar_sizes: Sequence[str] = ()

    @property
    def page_number(self) -> int:
        """The page number in ``offset``. If it is not a number above 0, it is 1."""
        return min(parse_id(self.parameter("offset")) or 1, MAX_PAGE)

    @property
    def offset(self) -> str | None:
        """The parameter ``offset`` as the response repeats it, or ``None`` if it is not a number above 0."""
        offset = self.parameter("offset")
        return offset if parse_id(offset) else None

    @property
    def marks_read(self) -> bool:
        """Whether ``markallread`` is the number 1."""
        return bool(NUMBER_1.fullmatch(self.parameter("markallread").strip()))

    @property
    def changes_data(self) -> bool:
        return self.marks_read

    def find_conversation(self, other: str) -> Conversation:
        """Return the reader's ``Conversation`` with the user of the parameter ``other``.

        If it exists, one query finds it. Otherwise this raises the exceptions of ``find_users()``, or returns an
        unsaved ``Conversation``. If the key may not read for the reader, only the users are looked up: the time of
        another query would reveal who writes to whom.
        """
        reader_id, other_id = parse_id(self.parameter(self.user_parameter)), parse_id(self.parameter(other))
        if reader_id and other_id and default_manager_is_unfiltered() and self.may_read_for(reader_id):
            conversation = Conversation.objects.between_ids(reader_id, other_id)
            if conversation:
                check_reader(conversation.user)
                return conversation
        return Conversation.objects.between(*self.find_users(other))

    def shown(self, request: Request, *users: AbstractBaseUser) -> dict[int, Any]:
        """Return the value of ``message_from`` or ``message_to`` for the id of each user."""
        return {user.pk: user_object(request, user) if self.version == 1 else user.pk for user in users}

    def withuser_object(self, request: Request, other: AbstractBaseUser) -> dict[str, Any]:
        if self.version == 1:
            return user_object(request, other)
        return user_object(request, other, *self.avatar_sizes) | {"is_online": is_online(other)}

    def listed(self, request: Request, message: Message, reader_id: int, users: dict[int, Any]) -> dict[str, Any]:
        item = listed_object(request, message, reader_id, users)
        return {"data": {}} | item if self.version == 1 else item


class MessageList(ReadEndpoint):
    """The endpoint ``message/list``, which returns a page of a conversation, oldest message first."""

    avatar_sizes = ("smaller",)

    def post(self, request: Request) -> Response:
        conversation = self.find_conversation("to")
        reader, other = conversation.user, conversation.other_user
        users = self.shown(request, reader, other)
        before, after = (
            self.id_parameter(name) if self.parameter(name).strip() else None for name in ("before", "after")
        )
        if before and after:
            raise InvalidParameter("after", str(after), _("absent if there is `before`"))
        page = conversation.page(self.page_number, before=before, after=after)
        payload = {
            "list": [self.listed(request, message, reader.pk, users) for message in reversed(page)] or False,
            "withuser": self.withuser_object(request, other),
            "count": conversation.message_count,
            "offset": self.offset or False,
        }
        if self.marks_read:
            conversation.mark_read()
        return success(request, payload)

    get = post


class MessageNew(ReadEndpoint):
    """The endpoint ``message/new``, which returns the unread messages from one user, newest first, without pages."""

    user_parameter = "to"

    def post(self, request: Request) -> Response:
        conversation = self.find_conversation("from")
        reader, other = conversation.user, conversation.other_user
        users = self.shown(request, reader, other)
        messages = conversation.unread_messages()
        to_object = new_object_v1 if self.version == 1 else new_object
        payload = {
            "list": [to_object(request, message, reader.pk, users) for message in messages] or False,
            "withuser": self.withuser_object(request, other),
        }
        if self.marks_read and messages:
            conversation.mark_read(messages[0])
        return success(request, payload)

    get = post


class MessageRecent(ReadEndpoint):
    """The endpoint ``message/recent``, which returns the newest message of each conversation, newest first."""

    def post(self, request: Request) -> Response:
        reader, page = self.find_page()
        to_object = new_object_v1 if self.version == 1 else listed_object
        if self.version == 1:
            users = self.shown(request, reader, *(conversation.other_user for conversation in page))
        else:
            users = {
                user_id: user_id
                for conversation in page
                for user_id in (conversation.user_id, conversation.other_user_id)
            }
        payload = {
            "list": [
                to_object(request, conversation.newest_message, reader.pk, users)
                | {"answered": int(conversation.is_answered)}
                for conversation in page
                if conversation.newest_message
            ]
            or False,
            "offset": self.offset or 1,
            "count": (page and page[0].total_count) or Conversation.objects.count_for_user(reader),
        }
        if self.version == 1:
            payload["count"] = payload["count"] or False
        return success(request, payload)

    get = post

    def find_page(self) -> tuple[AbstractBaseUser, list[Conversation]]:
        """Return the reader and a page of their conversations.

        If there are conversations, their query finds the reader too. Raises the exceptions of ``find_users()``.
        """
        page, reader_id = [], parse_id(self.parameter(self.user_parameter))
        if reader_id and default_manager_is_unfiltered() and self.may_read_for(reader_id):
            with_others = self.version == 1
            page = Conversation.objects.recent_for_id(reader_id, self.page_number, with_others=with_others)
        if page:
            check_reader(page[0].user)
            return page[0].user, page
        (reader,) = self.find_users()
        return reader, [] if default_manager_is_unfiltered() else Conversation.objects.recent(reader, self.page_number)


class MessageUnread(ReadEndpoint):
    """The endpoint ``message/unread``, which counts the unread messages and the conversations that have some."""

    def post(self, request: Request) -> Response:
        unread = Conversation.objects.unread(*self.find_users())
        return success(request, {"count": unread.messages, "conversations": unread.conversations})

    get = post


class MessageUpdates(ReadEndpoint):
    """The endpoint ``message/updates``, which returns what happened to a user's messages since the last answer."""

    def post(self, request: Request) -> Response:
        (reader,) = self.find_users()
        updates = Update.objects.poll(reader, self.parameter("after").strip())
        users = {
            user_id: user_id for message in updates.messages for user_id in (message.sender_id, message.recipient_id)
        }
        payload = {
            "list": [self.listed(request, message, reader.pk, users) for message in updates.messages] or False,
            "read": [read_object(update) for update in updates.read] or False,
            "deleted": [deleted_object(update) for update in updates.deleted] or False,
            "after": updates.after,
            "more": updates.has_more,
        }
        return success(request, payload)

    get = post


class MessageDelete(Endpoint):
    """The endpoint ``message/delete``, which deletes a message for both users (only the sender may) or for one."""

    failed = "Message delete failed"
    scope = "send"

    def post(self, request: Request) -> Response:
        (user,) = self.find_users()
        message_id = self.id_parameter("id")
        messages = Message.objects.filter(pk=message_id)
        whose = self.parameter("for").strip() or "all"
        if whose not in ("all", "me"):
            raise InvalidParameter("for", whose, _("`all` or `me`"))
        if not (messages.filter(sender=user.pk).delete_for_both() if whose == "all" else messages.delete_for(user)):
            raise MessageNotFound(message_id)
        return success(request, True)

    get = post


class BlockEndpoint(Endpoint):
    """Base of the endpoints of blocks. Unlike reading, they have their own codes for a missing and an unknown user."""

    def find_users(self, *others: str) -> list[AbstractBaseUser]:
        """Return what ``Endpoint.find_users()`` returns.

        Raises ``BlankParameter`` if a user is missing, and ``UserNotFound`` in place of ``ReaderNotFound``.
        """
        names = (self.user_parameter, *others)
        if any(is_blank(self.parameter(name)) for name in names):
            raise BlankParameter(*names)
        try:
            return super().find_users(*others)
        except ReaderNotFound as error:
            raise UserNotFound from error


class UserBlock(BlockEndpoint):
    """The endpoint ``user/block``, which blocks a user."""

    failed = "User block failed"
    scope = "send"

    def post(self, request: Request) -> Response:
        Block.objects.block(*self.find_users("to_block_guid"))
        return success(request, {"success": True})

    get = post


class UserUnblock(BlockEndpoint):
    """The endpoint ``user/unblock``, which removes a block."""

    failed = "User unblock failed"
    scope = "send"

    def post(self, request: Request) -> Response:
        Block.objects.unblock(*self.find_users("to_unblock_guid"))
        return success(request, {"success": True})

    get = post


class UserBlocklist(BlockEndpoint):
    """The endpoint ``user/blocklist``, which returns the users that a user has blocked, newest block first."""

    failed = "User blocklist failed"

    def post(self, request: Request) -> Response:
        blocked = Block.objects.blocked_by(*self.find_users())[:MAX_BLOCKED_USERS]
        return success(request, {"list": [user_object(request, user) for user in blocked] or False})

    get = post


class UnknownEndpoint(EnvelopeView):
    """The view of the paths in the API's namespace that are no endpoints. It does not look at the API key."""

    schema = None
    http_method_names = ["get", "post", "options"]
    error: type[MessagingError] = InvalidMethod
    is_rest = Endpoint.is_rest

    def post(self, request: Request, **kwargs: str) -> Response:
        raise self.error

    get = post


class AttachmentFile(EnvelopeView):
    """The view of attachments. If the client may not read an attachment, it answers 404, as if there were none."""

    failed = "Attachment read failed"
    http_method_names = ["get", "head", "options"]

    def perform_authentication(self, request: Request) -> None:
        """Keep the user of the site's session in ``request._request``, which DRF would replace."""

    def get(self, request: Request, guid: str, name: str) -> HttpResponseBase:
        try:
            attachment = self.find(request, guid, name)
            try:
                return serve_attachment(request._request, attachment)
            except MessagingError:
                raise
            except Exception as error:  # each storage raises its own exceptions
                if self.attachments.filter(pk=attachment.pk).exists():
                    raise ReadFailed from error
                raise Http404 from error  # it was deleted after it was found
        except DatabaseAPIError as error:
            raise ReadFailed from error

    @property
    def attachments(self) -> QuerySet[Attachment]:
        """All attachments in the database for writes: a replica may still have an attachment that was deleted."""
        return Attachment.objects.using(router.db_for_write(Attachment))

    def find(self, request: Request, guid: str, name: str) -> Attachment:
        """Return the attachment if the request has a valid signature, or a user or API key that may read it.

        Raises ``Http404`` otherwise, ``Throttled`` if the limit of the key or of wrong keys is reached, and
        ``ServiceUnavailable`` if the cache of the limits fails.

        The whole request is read before the attachment is looked up, so errors in the request do not reveal whether the
        attachment exists. The session is read first too: after that, Django adds ``Vary: Cookie`` to the response in
        both cases.
        """
        signature = request.query_params.get(signing.SIGNATURE, "")
        user = getattr(request._request, "user", None)
        visitor = user if user is not None and user.is_authenticated else None
        try:
            _holder, api_key = BodylessAPIKeyAuthentication().authenticate(request) or (None, None)
        except drf.AuthenticationFailed:
            api_key = None
        if api_key:
            request.auth = api_key
            KeyThrottle().check(request, self)
        attachments = self.attachments.select_related("message__sender", "message__recipient")
        attachment = attachments.filter(pk=parse_id(guid) or 0).first()
        if attachment is None or attachment.name != name:
            raise Http404
        if (
            signing.verify_signature(signature, attachment)
            or (visitor is not None and attachment.is_open_to(visitor))
            or (api_key is not None and attachment.message.is_open_to_key(api_key))
        ):
            return attachment
        raise Http404


class Avatar(EnvelopeView):
    """The view of default avatars. Its responses do not reveal whether a user exists."""

    http_method_names = ["get", "head", "options"]

    def get(self, request: Request, username: str, size: str, digest: str) -> HttpResponse:
        if size not in avatars.SIZES or digest != avatars.avatar_hash(username, size):
            raise Http404
        response = HttpResponse(avatars.default_avatar(digest, size), content_type="image/jpeg")
        response["Cache-Control"] = "public, max-age=86400"
        return response
