"""The endpoints of the protocol, and the views behind the URLs that its answers hold."""

from collections.abc import Sequence
from typing import Any, cast

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.files.base import File
from django.db import Error as DatabaseAPIError
from django.db import router
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase
from rest_framework import exceptions as drf
from rest_framework.request import Request
from rest_framework.response import Response

from ossn_messaging.api import avatars, signing
from ossn_messaging.api.downloads import give_out
from ossn_messaging.api.endpoints import Endpoint, EnvelopeView
from ossn_messaging.api.envelope import success
from ossn_messaging.api.serializers import (
    added_object,
    is_online,
    listed_object,
    new_object,
    sent_object,
    user_object,
)
from ossn_messaging.attachments.rules import Reason
from ossn_messaging.authentication import BodylessAPIKeyAuthentication
from ossn_messaging.exceptions import (
    AttachmentRefused,
    BadIdempotencyKey,
    MessageNotFound,
    MessagingError,
    ReadFailed,
    UnknownDeletion,
)
from ossn_messaging.models import APIKey, Attachment, Conversation, Message
from ossn_messaging.models.messages import clean_text
from ossn_messaging.models.users import all_are_found, as_number, check_reader, find_pair
from ossn_messaging.throttling import KeyThrottle

MAX_PAGE = 10**9
"""No user has so many, and every database can count to where it is."""


class MessageSend(Endpoint):
    """``message/send`` of the API document."""

    failed = "Message send failed"
    user_parameter = "from"

    def post(self, request: Request) -> Response:
        text = clean_text(self.parameter("message"))
        sender, recipient = find_pair(self.parameter("from"), self.parameter("to"))
        # Shown before it is sent: after the commit nothing may fail any more, least of all the site's own USER_ICON.
        users = {user.pk: user_object(request, user) for user in (sender, recipient)}
        message = Message.objects.send(
            sender=sender,
            recipient=recipient,
            text=text,
            upload=self.get_upload(request),
            api_key=cast(APIKey, request.auth),
            idempotency_key=self.get_idempotency_key(request),
        )
        response = success(request, self.get_payload(request, message, users))
        if message.replayed_from:
            response["Idempotent-Replayed"] = "true"
        return response

    get = post

    def get_payload(self, request: Request, message: Message, users: dict[int, Any]) -> dict[str, Any]:
        return sent_object(request, message, users)

    def get_idempotency_key(self, request: Request) -> str | None:
        """Return the header ``Idempotency-Key``, bare or in quotes as the draft of its RFC has it, or the parameter.

        Raises ``BadIdempotencyKey`` where the header is not UTF-8.
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
        """Return the one file that the part ``attachment`` may have (contract, "Attachment").

        A file in any other part is refused as well: it would be lost without a word.
        """
        texts = [value for value in self.given.getlist("attachment") if isinstance(value, str)]
        files = request.FILES.getlist("attachment")
        elsewhere = set(request.FILES) - {"attachment"}
        if elsewhere or len(files) > 1 or "".join(texts).strip():
            raise AttachmentRefused(Reason.NOT_ONE_FILE)
        return files[0] if files else None


class MessageAdd(MessageSend):
    """``message_add`` of version 1.0, which answers less."""

    def get_payload(self, request: Request, message: Message, users: dict[int, Any]) -> dict[str, Any]:
        return added_object(message, users)


class Reading(Endpoint):
    """Base of what reads messages, in two versions: 1.0 shows users where 2.0 has their numbers."""

    failed = "Message list failed"
    version = 2
    icons: Sequence[str] = ()

    @property
    def page_number(self) -> int:
        """The page that ``offset`` asks for; a bad one is the first ("Reading messages")."""
        return min(as_number(self.parameter("offset")) or 1, MAX_PAGE)

    @property
    def marks_read(self) -> bool:
        return self.parameter("markallread").strip().lower() in ("1", "true")

    def find_side(self, other: str) -> Conversation:
        """Return the reader's side of what there is between them and whom the parameter ``other`` names.

        In one query where there is anything; else it raises as ``find_users`` does. Of a key that may not read this,
        nothing is looked up but the users: how long that takes would tell who writes to whom.
        """
        reader_id, other_id = as_number(self.parameter(self.user_parameter)), as_number(self.parameter(other))
        if reader_id and other_id and all_are_found() and self.may_read_for(reader_id):
            side = Conversation.objects.between_ids(reader_id, other_id)
            if side:
                check_reader(side.user)
                return side
        return Conversation.objects.between(*self.find_users(other))

    def shown(self, request: Request, *users: AbstractBaseUser) -> dict[int, Any]:
        """Return what stands for each of these users in a message."""
        return {user.pk: user_object(request, user) if self.version == 1 else user.pk for user in users}

    def with_user(self, request: Request, other: AbstractBaseUser) -> dict[str, Any]:
        if self.version == 1:
            return user_object(request, other)
        return user_object(request, other, *self.icons) | {"is_online": is_online(other)}

    def listed(self, request: Request, message: Message, reader_id: int, users: dict[int, Any]) -> dict[str, Any]:
        item = listed_object(request, message, reader_id, users)
        return {"data": {}} | item if self.version == 1 else item


class MessageList(Reading):
    """A page of a conversation, oldest first."""

    icons = ("smaller",)

    def post(self, request: Request) -> Response:
        side = self.find_side("to")
        reader, other = side.user, side.other
        users = self.shown(request, reader, other)
        page = side.page(self.page_number, before=as_number(self.parameter("before")))
        payload = {
            "list": [self.listed(request, message, reader.pk, users) for message in reversed(page)] or False,
            "withuser": self.with_user(request, other),
            "count": side.messages,
            "offset": self.parameter("offset") or False,
        }
        if self.marks_read:
            side.mark_read()
        return success(request, payload)

    get = post


class MessageNew(Reading):
    """The newest of the messages that the user has not viewed."""

    user_parameter = "to"

    def post(self, request: Request) -> Response:
        side = self.find_side("from")
        reader, other = side.user, side.other
        users = self.shown(request, reader, other)
        page = side.unread_page(self.page_number)
        payload = {
            "list": [new_object(request, message, reader.pk, users) for message in page] or False,
            "withuser": self.with_user(request, other),
        }
        if self.marks_read:
            side.mark_read()
        return success(request, payload)

    get = post


class MessageRecent(Reading):
    """The newest message of each of the user's conversations."""

    def post(self, request: Request) -> Response:
        reader, page = self.find_page()
        if self.version == 1:
            users = self.shown(request, reader, *(side.other for side in page))
        else:
            users = {user_id: user_id for side in page for user_id in (side.user_id, side.other_id)}
        payload = {
            "list": [
                self.listed(request, message, reader.pk, users) | {"answered": int(message.recipient_id == reader.pk)}
                for message in (side.newest_message for side in page)
                if message
            ]
            or False,
            "offset": self.parameter("offset") or 1,
            "count": (page and page[0].of_all) or Conversation.objects.count_of(reader),
        }
        return success(request, payload)

    get = post

    def find_page(self) -> tuple[AbstractBaseUser, list[Conversation]]:
        """Return the reader and the page of their conversations, in one query where there are any."""
        page, reader_id = [], as_number(self.parameter(self.user_parameter))
        if reader_id and all_are_found() and self.may_read_for(reader_id):
            with_others = self.version == 1
            page = Conversation.objects.recent_of_id(reader_id, self.page_number, with_others=with_others)
        if page:
            check_reader(page[0].user)
            return page[0].user, page
        (reader,) = self.find_users()
        return reader, [] if all_are_found() else Conversation.objects.recent(reader, self.page_number)


class MessageUnread(Reading):
    """How many messages the user has not viewed, and in how many conversations."""

    def post(self, request: Request) -> Response:
        unread = Conversation.objects.unread(*self.find_users())
        return success(request, {"count": unread.messages, "conversations": unread.conversations})

    get = post


class MessageDelete(Endpoint):
    """Delete a message: for both, as its sender, or for oneself alone."""

    failed = "Message delete failed"
    scope = "send"

    def post(self, request: Request) -> Response:
        (user,) = self.find_users()
        messages = Message.objects.filter(pk=as_number(self.parameter("id")) or 0)
        whose = self.parameter("for").strip() or "all"
        if whose not in ("all", "me"):
            raise UnknownDeletion
        if not (messages.filter(sender=user.pk).delete_for_both() if whose == "all" else messages.delete_for(user)):
            raise MessageNotFound
        return success(request, True)

    get = post


class AttachmentFile(EnvelopeView):
    """The file of an attachment, for those who may have it; for all others it does not exist."""

    failed = "Attachment read failed"
    http_method_names = ["get", "head", "options"]

    def perform_authentication(self, request: Request) -> None:
        """Leave the user of the site's session in place, which DRF would replace."""

    def get(self, request: Request, guid: str, name: str) -> HttpResponseBase:
        try:
            attachment = self.find(request, guid, name)
            try:
                return give_out(request._request, attachment)
            except MessagingError:
                raise
            except Exception as error:  # each storage raises its own
                if self.attachments.filter(pk=attachment.pk).exists():
                    raise ReadFailed from error
                raise Http404 from error  # deleted since it was found
        except DatabaseAPIError as error:
            raise ReadFailed from error

    @property
    def attachments(self) -> QuerySet[Attachment]:
        """All attachments, where they are written: a copy of the database might not know yet that one was deleted."""
        return Attachment.objects.using(router.db_for_write(Attachment))

    def find(self, request: Request, guid: str, name: str) -> Attachment:
        """Return the attachment if the request has a valid signature, a user who may read it, or an API key.

        All that the request says is read before the attachment is looked for: what is wrong with it must not tell
        whether there is one. So is the session: of an answer for which Django has looked into it, the headers say so.
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
        attachment = attachments.filter(pk=as_number(guid) or 0).first()
        if attachment is None or attachment.name != name:
            raise Http404
        if (
            signing.opens(signature, attachment)
            or (visitor is not None and attachment.is_open_to(visitor))
            or (api_key is not None and attachment.message.is_open_to_key(api_key))
        ):
            return attachment
        raise Http404


class Avatar(EnvelopeView):
    """The icon of a user for whom the site has none. Whether there is such a user, it does not tell."""

    http_method_names = ["get", "head", "options"]

    def get(self, request: Request, username: str, size: str, digest: str) -> HttpResponse:
        if size not in avatars.SIZES or digest != signing.icon_hash(username, size):
            raise Http404
        response = HttpResponse(avatars.default_icon(digest, size), content_type="image/jpeg")
        response["Cache-Control"] = "public, max-age=86400"
        return response
