"""The JSON objects of the protocol's responses, with their keys in the protocol's order (docs/reference/api.md)."""

import html
import re
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest

from ossn_messaging.api.avatars import avatar_url
from ossn_messaging.api.display import display_names
from ossn_messaging.api.signing import attachment_url
from ossn_messaging.conf import conf
from ossn_messaging.models import Attachment, Message, Update

LINE_BREAK = re.compile(r"\r\n|\n\r|\n|\r")


def user_object(request: HttpRequest, user: AbstractBaseUser, *sizes: str) -> dict[str, Any]:
    """Return the protocol's object for a user, with URLs of the small avatar and of the avatars in ``sizes``."""
    username, full_name = display_names(user)
    return {
        "guid": user.pk,
        "fullname": full_name,
        "username": username,
        "icon": {size: avatar_url(request, user, username, size) for size in ("small", *sizes)},
    }


def is_online(user: AbstractBaseUser) -> bool:
    """Return what the site's ``IS_ONLINE`` returns for a user, or ``False`` if it is not set."""
    return bool(conf.IS_ONLINE and conf.IS_ONLINE(user))


def formatted(text: str) -> str:
    """Return a message's text as HTML or plain text, as ``MESSAGE_FORMAT`` says."""
    if conf.MESSAGE_FORMAT == "text":
        return text
    escaped = html.escape(text).replace("&#x27;", "&#039;")  # as PHP does
    return LINE_BREAK.sub(r"<br />\g<0>", escaped)


def sent_object(request: HttpRequest, message: Message, users: Mapping[int, Any]) -> dict[str, Any]:
    """Return the payload for a message that was sent, now or earlier with the same idempotency key.

    ``users`` has the value of ``message_from`` or ``message_to`` for the id of each user.
    """
    attachment = _attachment(message)
    payload = {"data": {}} | _text(message, users)
    if attachment:
        payload["file:attachment"] = attachment.file.name
    payload |= {"is_deleted_from": "", "is_deleted_to": ""}
    return payload | _file(request, attachment, message.sender_id) if attachment else payload


def added_object(message: Message, users: Mapping[int, Any]) -> dict[str, Any]:
    """Return the payload of ``message_add`` in version 1.0: the same six keys with or without an attachment."""
    return _text(message, users)


def listed_object(request: HttpRequest, message: Message, reader_id: int, users: Mapping[int, Any]) -> dict[str, Any]:
    """Return a message as ``list`` and ``recent`` show it to its sender or recipient ``reader_id``."""
    attachment = _attachment(message)
    item = _text(message, users) | _deletions(message)
    return item | _file(request, attachment, reader_id) if attachment else item


def new_object(request: HttpRequest, message: Message, reader_id: int, users: Mapping[int, Any]) -> dict[str, Any]:
    """Return a message as ``new`` shows it. Without an attachment, three keys of an attachment have empty values."""
    attachment = _attachment(message)
    absent = {"type_of_attachment": False, "attachment_name": None, "attachment_url": None}
    file = _file(request, attachment, reader_id) if attachment else absent
    return {"data": {}} | _text(message, users) | _deletions(message) | file


def new_object_v1(request: HttpRequest, message: Message, reader_id: int, users: Mapping[int, Any]) -> dict[str, Any]:
    """Return a message as ``message_new`` and ``message_recent`` of version 1.0 show it: no URL of its attachment."""
    attachment = _attachment(message)
    item = {"data": {}} | _text(message, users)
    if attachment is None:
        return item | _deletions(message)
    kind = "image" if attachment.file_type.is_image else "file"
    item["file:attachment"] = attachment.file.name
    file = {"attachment_guid": str(attachment.pk), "attachment_name": f"{kind}:{attachment.name}"}
    return item | _deletions(message) | file


def read_object(update: Update) -> dict[str, Any]:
    """Return a user who has read the messages to them up to an id."""
    return {"guid": update.other_id, "id": update.read_message_id}


def deleted_object(update: Update) -> dict[str, Any]:
    """Return a deletion: of a message, of its attachment, or, if ``id`` is ``False``, of all messages with a user."""
    return {"guid": update.other_id, "id": update.message_id or False, "for": update.kind}


def _attachment(message: Message) -> Attachment | None:
    return getattr(message, "attachment", None)


def _text(message: Message, users: Mapping[int, Any]) -> dict[str, Any]:
    return {
        "id": message.pk,
        "message_from": users[message.sender_id],
        "message_to": users[message.recipient_id],
        "message": formatted(message.text),
        "viewed": "1" if message.is_read else "0",
        "time": int(message.created_at.timestamp()),
    }


def _deletions(message: Message) -> dict[str, Any]:
    deletions = {
        "is_deleted_from": "1" if message.deleted_by_sender else "",
        "is_deleted_to": "1" if message.deleted_by_recipient else "",
    }
    return deletions | {"is_deleted": "1"} if message.is_deleted else deletions


def _file(request: HttpRequest, attachment: Attachment, user_id: int) -> dict[str, Any]:
    return {
        "attachment_guid": str(attachment.pk),
        "attachment_name": attachment.name,
        "type_of_attachment": "image" if attachment.file_type.is_image else "file",
        "attachment_url": attachment_url(request, attachment, user_id),
    }
