"""JSON Schemas of the objects that ``ossn_messaging.api.serializers`` and the envelope return."""

from collections.abc import Container
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.plumbing import append_meta

from ossn_messaging.api.avatars import avatar_hash
from ossn_messaging.api.signing import FROM, SIGNATURE, TO
from ossn_messaging.conf import conf
from ossn_messaging.exceptions import BlankMessage
from ossn_messaging.models.blocks import MAX_BLOCKED_USERS
from ossn_messaging.models.conversations import MAX_UNREAD_MESSAGES

Schema = dict[str, Any]

PREFIX = "Ossn"
"""The prefix of the names of all components, to keep them apart from the names of the site's own components."""


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{PREFIX}{name}"}


def an_object(properties: Schema, optional: Container[str] = ()) -> Schema:
    """Return the schema of an object that has no other keys."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def text(example: str, **keywords: Any) -> Schema:
    return {"type": "string", "example": example, **keywords}


def url(example: str) -> Schema:
    return text(f"https://example.com/{example}", format="uri")


def number(example: int, **keywords: Any) -> Schema:
    return {"type": "integer", "example": example, **keywords}


def one_of(kind: str, *values: object, **keywords: Any) -> Schema:
    return {"type": kind, "enum": list(values), **keywords}


Person = tuple[int, str, str]
SENDER: Person = (1, "Arsalan Shah", "arsalanshah")
RECIPIENT: Person = (2, "Some Name", "testuser")
"""The id, the full name and the username of the users in every example."""
TIME = number(1714841244, description=_("seconds since 1970"))
DATA: Schema = {"data": {"type": "object", "additionalProperties": False, "example": {}}}
PLAIN_TEXT = _("plain text, not HTML: escape it before you put it into a page")
HTML = _("HTML: special characters are escaped, and `<br />` stands before each line break")
STORED = {"file:attachment": text("attachment/0fe4d28b98fcdd503f5650560e06e025.pdf")}
DELETIONS = {"is_deleted_from": ref("Deleted"), "is_deleted_to": ref("Deleted")}
DELETED = {"is_deleted": ref("DeletedForBoth")}


def _file(role: str) -> Schema:
    """Return the schemas of the keys that describe an attachment to the sender (``FROM``) or the recipient (``TO``)."""
    signature = f"{role}:1s3IXk:hpyPDPJPUO1tXFJM5dUxvp5mQ8U5-7WMRMt7WDXHOGg"
    query = "" if conf.ATTACHMENT_URL_MAX_AGE is None else f"?{SIGNATURE}={signature}"
    return {
        "attachment_guid": text("175"),
        "attachment_name": text("dummy.pdf", description=PLAIN_TEXT),
        "type_of_attachment": ref("FileType"),
        "attachment_url": url(f"messages/attachment/175/dummy.pdf{query}"),
    }


def _user(person: Person, *sizes: str, **others: Schema) -> Schema:
    guid, fullname, username = person
    icons = {size: url(f"avatar/{username}/{size}/{avatar_hash(username, size)}.jpeg") for size in ("small", *sizes)}
    return an_object(
        {
            "guid": number(guid),
            "fullname": text(fullname, description=PLAIN_TEXT),
            "username": text(username, description=PLAIN_TEXT),
            "icon": an_object(icons),
            **others,
        }
    )


def _message(sender: Schema, recipient: Schema) -> Schema:
    return {
        "id": number(4),
        "message_from": sender,
        "message_to": recipient,
        "message": text("Test", description=PLAIN_TEXT if conf.MESSAGE_FORMAT == "text" else HTML),
        "viewed": ref("Viewed"),
        "time": TIME,
    }


def _list(item: Schema, max_items: int) -> Schema:
    items = {"type": "array", "items": item, "minItems": 1, "maxItems": max_items}
    return {"oneOf": [items, ref("False")]}


def _or_null(schema: Schema) -> Schema:
    return dict(append_meta(schema, {"nullable": True}))


def _envelope(payload: str, code: str, message: str) -> Schema:
    return an_object(
        {
            "merchant": text("OSSN"),
            "url": url(""),
            "time_token": TIME,
            "payload": ref(payload),
            "code": ref(code),
            "message": text(message),
        }
    )


PAYLOADS = (
    "Sent",
    "Added",
    "List",
    "ListV1",
    "New",
    "NewV1",
    "Recent",
    "RecentV1",
    "Unread",
    "Updates",
    "True",
    "Success",
    "Blocklist",
)


def schemas() -> dict[str, Schema]:
    """Return the schema of every component by name, for the current settings.

    Enumerations have names too: otherwise drf-spectacular chooses them, and warns if the site has an equal enumeration.
    """
    online: Schema = {"is_online": {"type": "boolean", "example": False}}
    recipient = dict(append_meta(ref("User"), {"example": example(_user(RECIPIENT), {})}))
    message, message_v1 = _message(number(1), number(2)), DATA | _message(ref("User"), recipient)
    file, new_file = _file(FROM), _file(TO)
    file_or_none = {
        "attachment_guid": new_file["attachment_guid"],
        "attachment_name": _or_null(new_file["attachment_name"]),
        "type_of_attachment": {"oneOf": [ref("FileType"), ref("False")]},
        "attachment_url": _or_null(new_file["attachment_url"]),
    }
    file_v1 = {
        "attachment_guid": file["attachment_guid"],
        "attachment_name": text("file:dummy.pdf", description=_("`image:` or `file:`, followed by the name")),
    }
    optional = {*file, *STORED, *DELETED}
    answered = {"answered": ref("Answered")}
    new_item = DATA | message | DELETIONS | DELETED | file_or_none
    list_offset = {"oneOf": [text("1", description=_("as it was given")), ref("False")]}
    recent_offset = {"oneOf": [text("1", description=_("as it was given")), ref("FirstPage")]}

    def item(message: Schema, file: Schema, **others: Schema) -> Schema:
        return an_object(message | DELETIONS | DELETED | file | others, optional)

    def listed(user: Schema, item: str) -> Schema:
        page = _list(ref(item), conf.PAGE_SIZE)
        return an_object({"list": page, "withuser": user, "count": number(1), "offset": list_offset})

    def new(user: Schema, item: str) -> Schema:
        return an_object({"list": _list(ref(item), MAX_UNREAD_MESSAGES), "withuser": user})

    def recent(item: str, count: Schema) -> Schema:
        return an_object({"list": _list(ref(item), conf.PAGE_SIZE), "offset": recent_offset, "count": count})

    named = {
        "True": one_of("boolean", True),
        "False": one_of("boolean", False),
        "FirstPage": one_of("integer", 1),
        "Viewed": one_of("string", "0", "1"),
        "Answered": one_of("integer", 0, 1, description=_("1 if the user has deleted a later reply to this message")),
        "Deleted": one_of("string", "", "1", description=_("1 if this user has deleted the message")),
        "DeletedForBoth": one_of("string", "1", description=_("1 if the message is deleted for both users")),
        "DeletedFor": one_of("string", "all", "me", "attachment"),
        "FileType": one_of("string", "file", "image"),
        "SuccessCode": one_of("string", "100"),
        "FailureCode": one_of("string", "101", "103", "106", "200", "201"),
        "User": _user(SENDER),
        "UserOnline": _user(SENDER, **online),
        "UserWithIcons": _user(RECIPIENT, "smaller", **online),
        "Sent": an_object(message_v1 | STORED | DELETIONS | file, optional),
        "Added": an_object(_message(ref("User"), recipient)),
        "Item": item(message, file),
        "ItemV1": item(message_v1, file),
        "RecentItem": item(message, file, **answered),
        "RecentItemV1": item(message_v1 | STORED, file_v1, **answered),
        "NewItem": an_object(new_item, {"attachment_guid", *DELETED}),
        "NewItemV1": item(message_v1 | STORED, file_v1),
        "List": listed(ref("UserWithIcons"), "Item"),
        "ListV1": listed(recipient, "ItemV1"),
        "New": new(ref("UserOnline"), "NewItem"),
        "NewV1": new(ref("User"), "NewItemV1"),
        "Recent": recent("RecentItem", number(1)),
        "RecentV1": recent("RecentItemV1", {"oneOf": [number(1), ref("False")]}),
        "ReadUpTo": an_object({"guid": number(2), "id": number(4)}),
        "Deletion": an_object(
            {
                "guid": number(2, description=_("the other user")),
                "id": {"oneOf": [number(4), ref("False")], "description": _("`false`: all messages with this user")},
                "for": ref("DeletedFor"),
            }
        ),
        "Updates": an_object(
            {
                "list": _list(ref("Item"), conf.PAGE_SIZE),
                "read": _list(ref("ReadUpTo"), conf.PAGE_SIZE),
                "deleted": _list(ref("Deletion"), conf.PAGE_SIZE),
                "after": text("1-1-7-0-1714841244", description=_("to pass to the next request")),
                "more": {"type": "boolean", "example": False, "description": _("whether to ask again at once")},
            }
        ),
        "Unread": an_object({"count": number(3), "conversations": number(2)}),
        "Success": an_object({"success": ref("True")}),
        "Blocklist": an_object({"list": _list(recipient, MAX_BLOCKED_USERS)}),
        "Failure": _envelope("False", "FailureCode", BlankMessage.text),
    }
    done = "Request successfully executed"
    return named | {f"{payload}Envelope": _envelope(payload, "SuccessCode", done) for payload in PAYLOADS}


def example(schema: Schema, named: dict[str, Schema]) -> Any:
    """Return an example of a schema: an object has all keys except that of a deleted message."""
    if "example" in schema:
        return schema["example"]
    if "$ref" in schema:
        return example(named[schema["$ref"].rpartition(f"/{PREFIX}")[2]], named)
    if "oneOf" in schema:
        return example(schema["oneOf"][0], named)
    if "properties" in schema:
        return {name: example(part, named) for name, part in schema["properties"].items() if name not in DELETED}
    return [example(schema["items"], named)] if schema["type"] == "array" else schema["enum"][0]
