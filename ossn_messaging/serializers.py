"""The objects of the protocol's answers, key by key in the order of the contract."""

import html
import json
import re
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest

from ossn_messaging.conf import conf
from ossn_messaging.links import attachment_url, icon_url, signed
from ossn_messaging.models import Attachment, Message

LINE_BREAK = re.compile(r"\r\n|\n\r|\n|\r")


def user_object(request: HttpRequest, user: AbstractBaseUser) -> dict[str, Any]:
    """Return a user as the protocol shows one (contract, "Users")."""
    username = str(user.get_username())
    get_full_name = getattr(user, "get_full_name", None)
    return {
        "guid": user.pk,
        "fullname": str((get_full_name and get_full_name()) or username),
        "username": username,
        "icon": {"small": icon_url(request, user, "small")},
    }


def formatted(text: str) -> str:
    """Return a message's text in the format that ``MESSAGE_FORMAT`` names (contract, "Text")."""
    if conf.MESSAGE_FORMAT == "text":
        return text
    return LINE_BREAK.sub(r"<br />\g<0>", html.escape(text))


def sent_object(
    request: HttpRequest, message: Message, message_from: dict[str, Any], message_to: dict[str, Any]
) -> dict[str, Any]:
    """Return the payload of a message just sent, between two users already shown (contract, "Success payload")."""
    attachment: Attachment | None = getattr(message, "attachment", None)
    payload = {
        "data": {},
        "id": message.pk,
        "message_from": message_from,
        "message_to": message_to,
        "message": formatted(message.text),
        "viewed": "0",
        "time": int(message.created_at.timestamp()),
    }
    if attachment:
        payload["file:attachment"] = attachment.file.name
    payload |= {
        "is_deleted_from": "1" if message.deleted_by_sender else "",
        "is_deleted_to": "1" if message.deleted_by_recipient else "",
    }
    if attachment:
        payload |= {
            "attachment_guid": str(attachment.pk),
            "attachment_name": attachment.name,
            "type_of_attachment": "image" if attachment.kind.is_image else "file",
            "attachment_url": attachment_url(request, attachment),
        }
    return payload


def kept_answer(payload: dict[str, Any]) -> str:
    """Return what to keep of a message's payload for a repetition: neither its text nor a signature."""
    kept = {**payload, "message": ""}
    if "attachment_url" in kept:
        kept["attachment_url"] = kept["attachment_url"].partition("?")[0]
    return json.dumps(kept)


def repeated_object(message: Message) -> dict[str, Any]:
    """Return the payload that a message had when it was sent, its attachment's URL signed anew."""
    payload: dict[str, Any] = json.loads(message.repeats.answer) if message.repeats else {}
    payload["message"] = formatted(message.text)
    attachment: Attachment | None = getattr(message, "attachment", None)
    if attachment:
        payload["attachment_url"] = signed(payload["attachment_url"], attachment)
    return payload
