"""JSON Schemas of the objects that ``ossn_messaging.api.serializers`` and the envelope return."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.plumbing import append_meta

from ossn_messaging.conf import conf
from ossn_messaging.exceptions import BlankMessage

Shape = dict[str, Any]

PREFIX = "Ossn"
"""The prefix of the names of all shapes, to keep them apart from the names of the site's own components."""


def ref(name: str) -> Shape:
    return {"$ref": f"#/components/schemas/{PREFIX}{name}"}


def an_object(required: Shape, optional: Shape | None = None) -> Shape:
    """Return the shape of an object that has no other keys."""
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


def text(example: str, **others: Any) -> Shape:
    return {"type": "string", "example": example, **others}


def url(example: str) -> Shape:
    return text(f"https://example.com/{example}", format="uri")


def number(example: int, **others: Any) -> Shape:
    return {"type": "integer", "example": example, **others}


def one_of(kind: str, *values: object, **others: Any) -> Shape:
    return {"type": kind, "enum": list(values), **others}


TIME = number(1714841244, description=_("seconds since 1970"))
DATA: Shape = {"type": "object", "additionalProperties": False, "example": {}}
ICON = url("avatar/arsalanshah/small/c0e15d54735a596d4e16bf1aaa999758.jpeg")
PLAIN_TEXT = _("plain text, not HTML: escape it before you put it into a page")
HTML = _("HTML: special characters are escaped, and `<br />` stands before each line break")
FILE = {
    "attachment_guid": text("175"),
    "attachment_name": text("dummy.pdf", description=PLAIN_TEXT),
    "type_of_attachment": ref("FileType"),
    "attachment_url": url("messages/attachment/175/dummy.pdf"),
}
STORED = {"file:attachment": text("attachment/0fe4d28b98fcdd503f5650560e06e025.pdf")}


def _user(*sizes: str, **others: Shape) -> Shape:
    icons = an_object(dict.fromkeys(("small", *sizes), ICON))
    return an_object(
        {
            "guid": number(1),
            "fullname": text("Arsalan Shah", description=PLAIN_TEXT),
            "username": text("arsalanshah", description=PLAIN_TEXT),
            "icon": icons,
            **others,
        }
    )


def _message(user: Shape) -> Shape:
    return {
        "id": number(4),
        "message_from": user,
        "message_to": user,
        "message": text("Test", description=PLAIN_TEXT if conf.MESSAGE_FORMAT == "text" else HTML),
        "viewed": ref("Viewed"),
        "time": TIME,
        "is_deleted_from": ref("Deleted"),
        "is_deleted_to": ref("Deleted"),
    }


def _page(item: Shape) -> Shape:
    items = {"type": "array", "items": item, "minItems": 1, "maxItems": conf.PAGE_SIZE}
    return {"oneOf": [items, ref("False")]}


def _or_null(shape: Shape) -> Shape:
    return dict(append_meta(shape, {"nullable": True}))


def _answer(payload: str, code: str, message: str) -> Shape:
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


PAYLOADS = ("Sent", "Added", "List", "ListV1", "New", "NewV1", "Recent", "RecentV1", "Unread", "True")


def shapes() -> dict[str, Shape]:
    """Return every shape by name, for the current settings.

    Enumerations have names too: otherwise drf-spectacular chooses them, and warns if the site has an equal enumeration.
    """
    number_only, whole = number(1), ref("User")
    data, is_deleted = {"data": DATA}, {"is_deleted": ref("DeletedForBoth")}
    file_or_none = {
        "type_of_attachment": {"oneOf": [ref("FileType"), ref("False")]},
        "attachment_name": _or_null(FILE["attachment_name"]),
        "attachment_url": _or_null(FILE["attachment_url"]),
    }
    item, item_v1 = _message(number_only), data | _message(whole)
    answered = {"answered": ref("Answered")}
    list_offset = {"oneOf": [text("1", description=_("as it was given")), ref("False")]}
    recent_offset = {"oneOf": [text("1", description=_("as it was given")), ref("FirstPage")]}

    def listed(user: str, item: str) -> Shape:
        return an_object({"list": _page(ref(item)), "withuser": ref(user), "count": number(1), "offset": list_offset})

    def recent(item: str) -> Shape:
        return an_object({"list": _page(ref(item)), "offset": recent_offset, "count": number(1)})

    named = {
        "True": one_of("boolean", True),
        "False": one_of("boolean", False),
        "FirstPage": one_of("integer", 1),
        "Viewed": one_of("string", "0", "1"),
        "Answered": one_of("integer", 0, 1, description=_("1 where the other side has written since")),
        "Deleted": one_of("string", "", "1", description=_("whether this side has deleted it")),
        "DeletedForBoth": one_of("string", "1", description=_("its sender has deleted it")),
        "FileType": one_of("string", "file", "image"),
        "SuccessCode": one_of("string", "100"),
        "FailureCode": one_of("string", "101", "103", "106", "200", "201"),
        "User": _user(),
        "UserOnline": _user(is_online={"type": "boolean", "example": False}),
        "UserWithIcons": _user("smaller", is_online={"type": "boolean", "example": False}),
        "Sent": an_object(data | _message(whole), STORED | FILE),
        "Added": an_object(
            {name: shape for name, shape in _message(whole).items() if not name.startswith("is_deleted")}
        ),
        "Item": an_object(item, is_deleted | FILE),
        "ItemV1": an_object(item_v1, is_deleted | FILE),
        "RecentItem": an_object(item | answered, is_deleted | FILE),
        "RecentItemV1": an_object(item_v1 | answered, is_deleted | FILE),
        "NewItem": an_object(data | item | file_or_none, is_deleted),
        "NewItemV1": an_object(item_v1 | file_or_none, is_deleted),
        "List": listed("UserWithIcons", "Item"),
        "ListV1": listed("User", "ItemV1"),
        "New": an_object({"list": _page(ref("NewItem")), "withuser": ref("UserOnline")}),
        "NewV1": an_object({"list": _page(ref("NewItemV1")), "withuser": ref("User")}),
        "Recent": recent("RecentItem"),
        "RecentV1": recent("RecentItemV1"),
        "Unread": an_object({"count": number(3), "conversations": number(2)}),
        "Failure": _answer("False", "FailureCode", BlankMessage.text),
    }
    done = "Request successfully executed"
    return named | {f"{payload}Answer": _answer(payload, "SuccessCode", done) for payload in PAYLOADS}


def example(shape: Shape, named: dict[str, Shape]) -> Any:
    """Return an example of a shape with all its keys, also the optional ones."""
    if "$ref" in shape:
        return example(named[shape["$ref"].rpartition(f"/{PREFIX}")[2]], named)
    if "oneOf" in shape:
        return example(shape["oneOf"][0], named)
    if "properties" in shape:
        return {name: example(part, named) for name, part in shape["properties"].items()}
    if shape["type"] == "array":
        return [example(shape["items"], named)]
    return shape["example"] if "example" in shape else shape["enum"][0]
