"""What is read through the API: every statement of its table, shapes key by key and in order."""

import hashlib
import json
from typing import Any

import pytest
from django.contrib.auth.models import User, UserManager
from django.db import OperationalError, connection
from django.db.models import QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from ossn_messaging.models import APIKey, Conversation, Message, conversations
from ossn_messaging.models.conversations import ConversationQuerySet
from ossn_messaging.models.querysets import MessageQuerySet
from tests.site import Behind
from tests.support.api import API, fetch, upload
from tests.support.files import PDF

LIST, NEW, RECENT, UNREAD = (f"v2.0/message/{name}" for name in ("list", "new", "recent", "unread"))
LIST_1, NEW_1, RECENT_1 = (f"v1.0/message_{name}" for name in ("list", "new", "recent"))

ITEM = ["id", "message_from", "message_to", "message", "viewed", "time", "is_deleted_from", "is_deleted_to"]
FILE = ["attachment_guid", "attachment_name", "type_of_attachment", "attachment_url"]
ITEM_WITH_FILE_1 = [*ITEM[:6], "file:attachment", *ITEM[6:], *FILE[:2]]
NEW_FILE = ["type_of_attachment", "attachment_name", "attachment_url"]
USER = ["guid", "fullname", "username", "icon"]


@pytest.fixture
def send(api: API) -> Any:
    """Send a text from one user to another and return the message's number."""

    def send(sender: User, recipient: User, text: str = "Test", **changes: Any) -> int:
        number: int = api.ok(from_=sender.pk, to=recipient.pk, message=text, **changes)["id"]
        return number

    return send


def listed(api: API, reader: User, other: User, path: str = LIST, **parameters: Any) -> dict[str, Any]:
    names = ("to", "from_") if path in (NEW, NEW_1) else ("guid", "to")
    payload: dict[str, Any] = api.told(path, **dict(zip(names, (reader.pk, other.pk), strict=True)), **parameters)
    return payload


def texts(payload: dict[str, Any]) -> list[str]:
    return [item["message"] for item in payload["list"] or []]


def asked(path: str, user: User, other: User) -> dict[str, int]:
    """Return the parameters with which ``user`` reads at ``path``."""
    if path in (NEW, NEW_1):
        return {"to": user.pk, "from_": other.pk}
    return {"guid": user.pk} if path in (RECENT, RECENT_1, UNREAD) else {"guid": user.pk, "to": other.pk}


# Shapes


def test_the_shape_of_a_conversation(api: API, sender: User, recipient: User) -> None:
    plain = api.ok(message="<1>\n2")
    with_file = api.ok(from_=recipient.pk, to=sender.pk, attachment=upload("photo.png"))
    payload = listed(api, sender, recipient)
    assert list(payload) == ["list", "withuser", "count", "offset"]
    assert (payload["count"], payload["offset"]) == (2, False)
    first, second = payload["list"]
    assert list(first) == ITEM
    assert first == {
        **{name: plain[name] for name in ITEM},
        "message_from": sender.pk,
        "message_to": recipient.pk,
        "message": "&lt;1&gt;<br />\n2",
    }
    assert list(second) == ITEM + FILE
    assert (second["attachment_guid"], second["attachment_name"]) == (with_file["attachment_guid"], "photo.png")
    assert second["type_of_attachment"] == "image"
    assert fetch(Client(), second["attachment_url"])[0].status_code == 200
    assert list(payload["withuser"]) == [*USER, "is_online"]
    assert payload["withuser"]["guid"] == recipient.pk
    assert payload["withuser"]["is_online"] is False
    icons = payload["withuser"]["icon"]
    assert list(icons) == ["small", "smaller"]
    for url in icons.values():
        response, _body = fetch(Client(), url)
        assert (response.status_code, response["Content-Type"]) == (200, "image/jpeg")
    digest = hashlib.md5(b"testusersmaller").hexdigest()
    assert icons["smaller"] == f"http://testserver/avatar/testuser/smaller/{digest}.jpeg"


def test_the_shape_of_a_conversation_in_version_1(api: API, sender: User, recipient: User) -> None:
    sent = [api.ok(), api.ok(attachment=upload("dummy.pdf"))]
    payload = listed(api, recipient, sender, LIST_1)
    assert list(payload) == ["list", "withuser", "count", "offset"]
    assert list(payload["withuser"]) == USER
    assert list(payload["withuser"]["icon"]) == ["small"]
    assert [list(item) for item in payload["list"]] == [["data", *ITEM], ["data", *ITEM, *FILE]]
    for item, before in zip(payload["list"], sent, strict=True):
        assert item["data"] == {}
        assert (item["message_from"], item["message_to"]) == (before["message_from"], before["message_to"])
        assert list(item["message_from"]) == USER


@pytest.mark.parametrize("path", [NEW, NEW_1])
def test_the_shape_of_what_is_new(api: API, sender: User, recipient: User, path: str) -> None:
    plain = api.ok()
    with_file = api.ok(attachment=upload("dummy.pdf"))
    payload = listed(api, recipient, sender, path)
    assert list(payload) == ["list", "withuser"]
    assert list(payload["withuser"]) == (USER if path == NEW_1 else [*USER, "is_online"])
    assert list(payload["withuser"]["icon"]) == ["small"]
    second, first = payload["list"]
    assert [item["id"] for item in (first, second)] == [plain["id"], with_file["id"]]
    for item in (first, second):
        assert item["data"] == {}
        assert (item["message_from"] == plain["message_from"]) == (path == NEW_1)
    if path == NEW_1:
        assert list(first) == ["data", *ITEM]
        assert list(second) == ["data", *ITEM_WITH_FILE_1]
        assert second["file:attachment"] == with_file["file:attachment"]
        assert (second["attachment_guid"], second["attachment_name"]) == (
            with_file["attachment_guid"],
            "file:dummy.pdf",
        )
    else:
        assert list(first) == ["data", *ITEM, *NEW_FILE]
        assert [first[name] for name in NEW_FILE] == [False, None, None]
        assert list(second) == ["data", *ITEM, *FILE]
        assert [second[name] for name in FILE[:3]] == [with_file["attachment_guid"], "dummy.pdf", "file"]
        assert fetch(Client(), second["attachment_url"])[1] == PDF


@pytest.mark.parametrize("path", [NEW_1, RECENT_1])
def test_a_picture_in_version_1(api: API, sender: User, recipient: User, path: str) -> None:
    api.ok(attachment=upload("photo.jpg"))
    (item,) = api.told(path, **asked(path, recipient, sender))["list"]
    assert item["attachment_name"] == "image:photo.jpg"


@pytest.mark.parametrize("path", [RECENT, RECENT_1])
def test_the_shape_of_what_is_recent(api: API, sender: User, recipient: User, stranger: User, path: str) -> None:
    api.ok(from_=stranger.pk, to=sender.pk, attachment=upload("dummy.pdf"))
    plain = api.ok()
    payload = api.told(path, guid=sender.pk)
    assert list(payload) == ["list", "offset", "count"]
    assert (payload["offset"], payload["count"]) == (1, 2)
    data = ["data"] if path == RECENT_1 else []
    first, second = payload["list"]
    assert list(first) == [*data, *ITEM, "answered"]
    assert list(second) == [*(["data", *ITEM_WITH_FILE_1] if path == RECENT_1 else [*ITEM, *FILE]), "answered"]
    assert (first["answered"], second["answered"]) == (0, 0)
    assert first["id"] == plain["id"]
    if path == RECENT_1:
        assert (first["message_from"], first["message_to"]) == (plain["message_from"], plain["message_to"])
        assert second["message_from"]["username"] == "stranger"
    else:
        assert (second["message_from"], second["message_to"]) == (stranger.pk, sender.pk)


@pytest.mark.parametrize("path", [LIST, LIST_1, NEW, NEW_1, RECENT, RECENT_1])
def test_nothing_is_false(api: API, sender: User, recipient: User, path: str) -> None:
    payload = api.told(path, **asked(path, sender, recipient))
    assert payload["list"] is False
    if "count" in payload:
        assert payload["count"] is (False if path == RECENT_1 else 0)


def test_both_methods_and_all_bodies(api: API, sender: User, recipient: User) -> None:
    api.ok()
    given = {"api_key_token": api.key, "guid": str(sender.pk), "to": recipient.pk}
    answers = [
        api.told(LIST, guid=sender.pk, to=recipient.pk),
        api.told(LIST, guid=f" 0{sender.pk} ", to=recipient.pk, get=True),
        api.read(api.client.post(f"/api/{LIST}", json.dumps(given), "application/json"))["payload"],
    ]
    assert [answer["count"] for answer in answers] == [1, 1, 1]
    for method in (api.client.head, api.client.put, api.client.delete):
        assert method(f"/api/{LIST}", given).status_code == 405
    assert api.client.options(f"/api/{LIST}").status_code == 200


def test_what_is_online_is_the_sites_to_say(api: API, sender: User, recipient: User, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"IS_ONLINE": "tests.site.only_named_s_is_online"}
    for path in (LIST, NEW):
        assert listed(api, sender, recipient, path)["withuser"]["is_online"] is True
        assert listed(api, recipient, sender, path)["withuser"]["is_online"] is False


# Pages


def test_pages_of_a_conversation(api: API, send: Any, sender: User, recipient: User) -> None:
    for number in range(25):
        send(*((sender, recipient) if number % 3 else (recipient, sender)), str(number))
    pages = {1: range(15, 25), 2: range(5, 15), 3: range(5), 4: range(0)}
    for number, expected in pages.items():
        payload = listed(api, sender, recipient, offset=number)
        assert texts(payload) == [str(text) for text in expected]
        assert (payload["count"], payload["offset"]) == (25, str(number))


@pytest.mark.parametrize("offset", ["0", "-1", "abc", "1.5", "", " ", "٣", "9" * 5000])
def test_a_bad_offset_is_the_first_page(api: API, send: Any, sender: User, recipient: User, offset: str) -> None:
    numbers = [send(sender, recipient) for _ in range(11)]
    payload = listed(api, sender, recipient, offset=offset)
    assert [item["id"] for item in payload["list"]] == numbers[1:]
    assert payload["offset"] is False
    payload = api.told(RECENT, guid=sender.pk, offset=offset)
    assert ([item["id"] for item in payload["list"]], payload["offset"]) == (numbers[-1:], 1)


@pytest.mark.parametrize("path", [NEW, NEW_1])
@pytest.mark.parametrize("offset", ["1", "2", "99", "abc"])
def test_new_has_no_pages(api: API, send: Any, sender: User, recipient: User, path: str, offset: str) -> None:
    numbers = [send(sender, recipient) for _ in range(27)]
    assert [item["id"] for item in listed(api, recipient, sender, path, offset=offset)["list"]] == numbers[::-1]


@pytest.mark.parametrize("deleted", [False, True])
def test_a_page_that_there_is_not(api: API, send: Any, sender: User, recipient: User, deleted: bool) -> None:
    numbers = [send(sender, recipient) for _ in range(3)]
    if deleted:
        api.told("v2.0/message/delete", id=numbers[0], guid=sender.pk, for_="me")
    for offset in ("2", "999999999999", str(2**63 - 1)):
        assert listed(api, sender, recipient, offset=offset)["list"] is False
        assert api.told(RECENT, guid=sender.pk, offset=offset)["list"] is False


def test_pages_where_something_was_deleted(api: API, send: Any, sender: User, recipient: User) -> None:
    """And the other side's pages, from which nothing is missing."""
    numbers = [send(*((sender, recipient) if number % 2 else (recipient, sender))) for number in range(30)]
    kept = [number for index, number in enumerate(numbers) if index % 4]
    for number in set(numbers) - set(kept):
        api.told("v2.0/message/delete", id=number, guid=sender.pk, for_="me")

    def pages(reader: User, other: User) -> list[list[int]]:
        found = [listed(api, reader, other, offset=page)["list"] or [] for page in (1, 2, 3, 4)]
        return [[item["id"] for item in page] for page in found]

    assert pages(sender, recipient) == [kept[-10:], kept[-20:-10], kept[:-20], []]
    assert pages(recipient, sender) == [numbers[-10:], numbers[-20:-10], numbers[:10], []]


def test_the_size_of_a_page(
    api: API, send: Any, sender: User, recipient: User, stranger: User, settings: Settings
) -> None:
    settings.OSSN_MESSAGING = {"PAGE_SIZE": 2}
    for other in (recipient, stranger, recipient, recipient, User.objects.create_user("fourth")):
        send(other, sender)
    assert len(listed(api, sender, recipient)["list"]) == 2
    assert len(listed(api, sender, recipient, offset=2)["list"]) == 1
    assert len(listed(api, sender, recipient, NEW)["list"]) == 3
    assert [len(api.told(RECENT, guid=sender.pk, offset=page)["list"]) for page in (1, 2)] == [2, 1]


def test_pages_before_a_message(api: API, send: Any, sender: User, recipient: User, stranger: User) -> None:
    numbers = [send(*((sender, recipient) if number % 3 else (recipient, sender))) for number in range(25)]
    elsewhere = send(sender, stranger)
    later = send(sender, recipient)

    def before(number: Any, **parameters: Any) -> list[int]:
        return [item["id"] for item in listed(api, sender, recipient, before=number, **parameters)["list"] or []]

    assert before(numbers[20]) == numbers[10:20]
    assert before(numbers[20], offset=3) == numbers[10:20], "and not by number"
    assert before(numbers[4]) == numbers[:4]
    assert before(numbers[0]) == []
    assert before(later) == numbers[15:]
    assert before(elsewhere) == numbers[15:], "a message of another conversation is a point in time as well"
    assert before(2**63 - 1) == [*numbers[16:], later]
    assert before("") == before(" ") == [*numbers[16:], later]


@pytest.mark.parametrize("before", ["abc", "-1", "0", "1.5", "9" * 30, "x" * 5000])
def test_a_bad_before(api: API, sender: User, recipient: User, before: str) -> None:
    """A client that took the first page for an older one would never come to the end."""
    answer = api.ask(LIST, guid=sender.pk, to=recipient.pk, before=before)
    shown = before if len(before) <= 50 else f"{before[:49]}…"
    expected = f"Message list failed: `before` must be a whole number above 0, and not `{shown}`"
    assert (answer["code"], answer["message"]) == ("200", expected)


def test_the_message_before_which_a_page_is_may_be_gone(api: API, send: Any, sender: User, recipient: User) -> None:
    """The client has seen it, and both have deleted it since."""
    numbers = [send(*((sender, recipient) if number % 2 else (recipient, sender))) for number in range(20)]
    for user in (sender, recipient):
        api.told("v2.0/message/delete", id=numbers[10], guid=user.pk, for_="me")
    payload = listed(api, sender, recipient, before=numbers[10])
    assert [item["id"] for item in payload["list"]] == numbers[:10]
    assert listed(api, sender, recipient, before=1)["list"] is False


def test_a_conversation_that_never_was(api: API, sender: User, stranger: User) -> None:
    assert listed(api, sender, stranger, before=1)["list"] is False
    assert listed(api, sender, sender)["list"] is False


# What is viewed


def test_viewed_is_what_the_recipient_has_marked(api: API, send: Any, sender: User, recipient: User) -> None:
    for text in ("1", "2"):
        send(sender, recipient, text)
    send(recipient, sender, "3")

    def viewed(reader: User, other: User, **parameters: Any) -> dict[str, str]:
        return {item["message"]: item["viewed"] for item in listed(api, reader, other, **parameters)["list"]}

    none = {"1": "0", "2": "0", "3": "0"}
    assert viewed(sender, recipient) == viewed(recipient, sender) == none
    for other in ("0", "no", "true", "True", "2", "10", "0.1", "1.5", "1e0", "\N{ARABIC-INDIC DIGIT ONE}"):
        assert viewed(recipient, sender, markallread=other) == none
    assert viewed(recipient, sender) == none
    assert viewed(recipient, sender, markallread="1") == none, "the answer shows the state before"
    marked = {"1": "1", "2": "1", "3": "0"}
    assert viewed(sender, recipient) == viewed(recipient, sender) == marked
    send(sender, recipient, "4")
    assert viewed(sender, recipient) == {**marked, "4": "0"}
    assert viewed(sender, recipient, markallread="1.0") == {**marked, "4": "0"}
    assert viewed(sender, recipient) == {**marked, "3": "1", "4": "0"}
    assert {item["viewed"] for item in api.told(RECENT, guid=sender.pk)["list"]} == {"0"}
    viewed(recipient, sender, markallread=" 01 ")
    assert {item["viewed"] for item in api.told(RECENT, guid=sender.pk)["list"]} == {"1"}


def test_viewed_is_what_this_recipient_has_marked(
    api: API, send: Any, sender: User, recipient: User, stranger: User
) -> None:
    """Whatever they have of others, and others of the same sender."""
    for pair in ((stranger, recipient), (sender, stranger), (sender, recipient)):
        send(*pair)
    listed(api, recipient, sender, markallread=1)
    for user, other, expected in ((sender, recipient, "1"), (sender, stranger, "0"), (stranger, recipient, "0")):
        assert [item["viewed"] for item in listed(api, user, other)["list"]] == [expected]
    assert [item["viewed"] for item in api.told(RECENT, guid=sender.pk)["list"]] == ["1", "0"]


def test_viewed_is_told_of_a_side_that_was_found_without_the_other(
    api: API, send: Any, sender: User, recipient: User, stranger: User, settings: Settings
) -> None:
    for pair in ((recipient, stranger), (sender, recipient), (sender, stranger)):
        send(*pair)
    Conversation.objects.between(stranger, sender).mark_read()
    settings.DATABASE_ROUTERS = [Behind()]
    viewed = {
        side.other_user: [message.is_read for message in side.page()] for side in Conversation.objects.for_user(sender)
    }
    assert viewed == {recipient: [False], stranger: [True]}


@pytest.mark.parametrize("path", [LIST, NEW, LIST_1, NEW_1])
def test_what_is_marked_is_new_no_more(
    api: API, send: Any, sender: User, recipient: User, stranger: User, path: str
) -> None:
    for pair in ((sender, recipient), (sender, recipient), (recipient, sender), (stranger, recipient)):
        send(*pair)
    assert api.told(UNREAD, guid=recipient.pk) == {"count": 3, "conversations": 2}
    assert len(listed(api, recipient, sender, path, markallread=1)["list"]) >= 2
    assert listed(api, recipient, sender, NEW)["list"] is False
    assert listed(api, sender, recipient, NEW)["list"] is not False, "never the other way round"
    assert api.told(UNREAD, guid=recipient.pk) == {"count": 1, "conversations": 1}
    listed(api, recipient, sender, path, markallread=1)
    assert api.told(UNREAD, guid=recipient.pk) == {"count": 1, "conversations": 1}


@pytest.mark.parametrize("path", [LIST, NEW])
def test_what_comes_while_it_is_marked_stays_new(
    api: API, send: Any, sender: User, recipient: User, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """It was not in the answer, so nobody has seen it."""
    send(sender, recipient, "shown")
    real = ConversationQuerySet.mark_read

    def mark_read(self: ConversationQuerySet, side: Conversation, last: Message | None = None) -> int:
        send(sender, recipient, "came meanwhile")
        return real(self, side, last)

    monkeypatch.setattr(ConversationQuerySet, "mark_read", mark_read)
    assert texts(listed(api, recipient, sender, path, markallread=1)) == ["shown"]
    monkeypatch.undo()
    assert texts(listed(api, recipient, sender, NEW)) == ["came meanwhile"]
    assert api.told(UNREAD, guid=recipient.pk) == {"count": 1, "conversations": 1}


@pytest.mark.parametrize("path", [NEW, NEW_1])
def test_more_new_messages_than_one_answer_has(
    api: API, send: Any, sender: User, recipient: User, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest come first, and what is marked is what was answered."""
    monkeypatch.setattr(conversations, "MAX_UNREAD_MESSAGES", 5)
    numbers = [send(sender, recipient) for _ in range(12)]
    send(recipient, sender)
    for expected in (numbers[4::-1], numbers[9:4:-1], numbers[:9:-1]):
        assert [item["id"] for item in listed(api, recipient, sender, path)["list"]] == expected
        marking = listed(api, recipient, sender, path, markallread=1)
        assert [item["id"] for item in marking["list"]] == expected
        assert {item["viewed"] for item in marking["list"]} == {"0"}, "the answer shows the state before"
    assert listed(api, recipient, sender, path, markallread=1)["list"] is False
    assert api.told(UNREAD, guid=recipient.pk) == {"count": 0, "conversations": 0}


def test_what_is_new_and_deleted_is_not_counted_as_answered(
    api: API, send: Any, sender: User, recipient: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "MAX_UNREAD_MESSAGES", 3)
    numbers = [send(sender, recipient) for _ in range(6)]
    for number in numbers[1:3]:
        api.told("v2.0/message/delete", id=number, guid=recipient.pk, for_="me")
    left = [numbers[0], *numbers[3:]]
    assert [item["id"] for item in listed(api, recipient, sender, NEW, markallread=1)["list"]] == left[2::-1]
    assert [item["id"] for item in listed(api, recipient, sender, NEW, markallread=1)["list"]] == left[3:]


# What is recent


def test_recent_is_one_message_of_each_conversation(
    api: API, send: Any, sender: User, recipient: User, stranger: User
) -> None:
    send(stranger, sender, "1")
    send(sender, recipient, "2")
    send(recipient, sender, "3")
    send(stranger, recipient, "4")

    def recent(user: User) -> list[tuple[str, int]]:
        return [(item["message"], item["answered"]) for item in api.told(RECENT, guid=user.pk)["list"]]

    assert recent(sender) == [("3", 0), ("1", 0)]
    assert recent(recipient) == [("4", 0), ("3", 0)]
    assert recent(stranger) == [("4", 0), ("1", 0)]
    send(sender, stranger, "5")
    assert recent(sender) == [("5", 0), ("3", 0)]
    assert api.told(RECENT, guid=sender.pk)["count"] == 2


@pytest.mark.parametrize("path", [RECENT, RECENT_1])
@pytest.mark.parametrize("role", ["sender", "recipient"])
@pytest.mark.parametrize(
    ("later", "answered"), [(["reply"], 1), (["reply", "again"], 1), (["again"], 0), (["withdrawn reply"], 0), ([], 0)]
)
def test_answered_by_messages_that_the_viewer_has_deleted(
    api: API, send: Any, stranger: User, path: str, role: str, later: list[str], answered: int
) -> None:
    sender, recipient = api.sender, api.recipient
    viewer: User = getattr(api, role)
    send(stranger, viewer), send(viewer, stranger)
    shown = send(sender, recipient)
    numbers = [send(*((sender, recipient) if text == "again" else (recipient, sender)), text) for text in later]
    if "withdrawn reply" in later:
        assert api.ask("v2.0/message/delete", id=numbers[0], guid=recipient.pk)["code"] == "100"
    found = {item["id"]: item["answered"] for item in api.told(path, guid=viewer.pk)["list"]}
    assert found[[shown, *numbers][-1]] == 0, "nothing is later than the newest message"
    for number in numbers:
        api.told("v2.0/message/delete", id=number, guid=viewer.pk, for_="me")
    found = {item["id"]: item["answered"] for item in api.told(path, guid=viewer.pk)["list"]}
    assert found.pop(shown) == answered
    assert set(found.values()) == {0}, "of the other conversation"


def test_pages_of_what_is_recent(api: API, send: Any, sender: User) -> None:
    others = [User.objects.create_user(f"user {number}") for number in range(13)]
    for other in others:
        send(other, sender, other.username)
    newest = [other.username for other in reversed(others)]
    for page, expected in ((1, newest[:10]), (2, newest[10:]), (3, [])):
        payload = api.told(RECENT, guid=sender.pk, offset=page)
        assert (texts(payload), payload["count"], payload["offset"]) == (expected, 13, str(page))


def test_what_is_deleted_while_it_is_read(
    api: API, send: Any, sender: User, recipient: User, stranger: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the newest messages are chosen, they may go before they are fetched."""
    send(stranger, sender, "all that there was")
    send(recipient, sender, "older")
    numbers = [send(recipient, sender, text) for text in ("deleted for one", "for good")]
    real = vars(MessageQuerySet)["with_ids"]

    def find(*arguments: Any) -> Any:
        monkeypatch.undo()
        Message.objects.filter(pk=numbers[1]).delete()
        Message.objects.filter(pk=numbers[0]).delete_for(sender)
        Message.objects.filter(text="all that there was").delete_for(sender)
        return real(*arguments)

    monkeypatch.setattr(MessageQuerySet, "with_ids", find)
    assert texts(api.told(RECENT, guid=sender.pk)) == ["older"]


def test_what_deletes_while_a_page_is_chosen_deletes_for_that_reader(
    api: API, send: Any, sender: User, recipient: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = send(recipient, sender)
    real = vars(MessageQuerySet)["with_ids"]

    def find(*arguments: Any) -> Any:
        monkeypatch.undo()
        Message.objects.filter(pk=number).delete_for(sender)
        return real(*arguments)

    monkeypatch.setattr(MessageQuerySet, "with_ids", find)
    assert api.told(RECENT, guid=sender.pk)["list"] is False


def test_the_order_is_not_that_of_the_user_model(
    api: API, send: Any, sender: User, recipient: User, stranger: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two conversations of one moment, each is on one page."""
    monkeypatch.setattr(User._meta, "ordering", ["username"])
    for other in (recipient, stranger):
        send(other, sender, other.username)
    Conversation.objects.update(last_message_at=timezone.now())
    with CaptureQueriesContext(connection) as context:
        assert texts(api.told(RECENT, guid=sender.pk)) == ["stranger", "testuser"]
    assert not any('username" DESC' in query["sql"].replace("`", '"') for query in context)


def test_an_offset_that_is_not_unicode(api: API, send: Any, sender: User, recipient: User) -> None:
    send(sender, recipient)
    for path, absent in ((LIST, False), (RECENT, 1)):
        given = {"api_key_token": api.key, "guid": sender.pk, "to": recipient.pk, "offset": "\ud800"}
        answer = api.read(api.client.post(f"/api/{path}", json.dumps(given), "application/json"))
        assert (answer["code"], answer["payload"]["offset"]) == ("100", absent)


# Who may read


@pytest.mark.parametrize("path", [LIST, LIST_1, NEW, NEW_1, RECENT, RECENT_1, UNREAD])
@pytest.mark.parametrize("wrong", ["", "0", "999999999", "abc", "-1", "1.0", "9" * 30, None])
def test_a_user_who_is_missing_or_unknown(
    api: API, sender: User, recipient: User, path: str, wrong: str | None
) -> None:
    good = asked(path, sender, recipient)
    for name in good:
        given = {key: value for key, value in {**good, name: wrong}.items() if value is not None}
        answer = api.ask(path, **given)
        assert (answer["code"], answer["message"], answer["payload"]) == ("200", "Either user not found", False)


def test_users_who_are_not_active(api: API, send: Any, sender: User, recipient: User) -> None:
    """Nobody reads as one of them; what they wrote can still be read."""
    send(recipient, sender)
    User.objects.filter(pk=recipient.pk).update(is_active=False)
    assert api.ask(LIST, guid=recipient.pk, to=sender.pk)["code"] == "200"
    assert len(listed(api, sender, recipient)["list"]) == 1
    assert len(api.told(RECENT, guid=sender.pk)["list"]) == 1


class Shown(UserManager[User]):
    """The manager of a site that hides some of its users."""

    def get_queryset(self) -> QuerySet[User]:
        return super().get_queryset().exclude(username="testuser")


@pytest.mark.parametrize("path", [LIST, LIST_1, NEW, NEW_1, RECENT, RECENT_1, UNREAD])
def test_whom_the_sites_manager_hides(
    api: API, send: Any, sender: User, recipient: User, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """They are not there, though there are messages of theirs."""
    send(sender, recipient)
    send(recipient, sender)
    manager = Shown()
    manager.model = User
    monkeypatch.setattr(User._meta, "default_manager", manager)
    answer = api.ask(path, **asked(path, recipient, sender))
    assert (answer["code"], answer["message"]) == ("200", "Either user not found")
    given = asked(path, sender, recipient)
    assert api.ask(path, **given)["code"] == ("200" if len(given) == 2 else "100")


@pytest.mark.parametrize("path", [LIST, LIST_1, NEW, NEW_1, RECENT, RECENT_1, UNREAD])
def test_the_order_of_checks(api: API, sender: User, recipient: User, settings: Settings, path: str) -> None:
    given = asked(path, sender, recipient)
    assert api.ask(path, **{**given, "api_key_token": "wrong"})["code"] == "106"
    settings.OSSN_MESSAGING = {"ENABLED": False}
    assert api.ask(path, guid="999999999")["code"] == "201"


@pytest.mark.parametrize("path", [LIST, LIST_1, NEW, NEW_1, RECENT, RECENT_1, UNREAD])
def test_keys_that_may_not_read(
    api: API, sender: User, recipient: User, stranger: User, settings: Settings, path: str
) -> None:
    keys = {
        "the API key does not have the scope `read`": APIKey.objects.create_key("sends", scopes=["send"])[1],
        "the API key may not act as this user": APIKey.objects.create_key("bound", users=[recipient, stranger])[1],
    }
    given = asked(path, sender, recipient)
    for reason, key in keys.items():
        answer = api.ask(path, **{**given, "api_key_token": key})
        assert (answer["code"], answer["message"]) == ("200", f"Message list failed: {reason}")
    mine = APIKey.objects.create_key("mine", scopes=["read"], users=[sender])[1]
    assert api.ask(path, **{**given, "api_key_token": mine})["code"] == "100"
    settings.OSSN_MESSAGING = {"HTTP_STATUS": "rest"}
    api.ask(path, status=403, **{**given, "api_key_token": key})
    api.ask(path, status=404, **{**given, "guid": "999999999", "to": "999999999"})


def test_a_database_that_fails(api: API, sender: User, recipient: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("the wire was cut")

    monkeypatch.setattr(ConversationQuerySet, "between", fail)
    answer = api.ask(LIST, status=503, guid=sender.pk, to=recipient.pk)
    assert (answer["code"], answer["message"]) == (
        "200",
        "Message list failed: the server cannot do this now, try again later",
    )


def test_reading_counts_for_the_limit_of_the_reader(
    api: API, sender: User, recipient: User, settings: Settings
) -> None:
    settings.OSSN_MESSAGING = {"THROTTLE_RATES": {"sender": "2/hour"}}
    api.told(LIST, guid=sender.pk, to=recipient.pk)
    api.told(NEW, to=sender.pk, from_=recipient.pk)
    answer = api.ask(RECENT, status=429, guid=f"0{sender.pk}")
    assert answer["message"] == "Message list failed: too many requests, try again later"
    api.told(LIST, guid=recipient.pk, to=sender.pk)


def test_by_post_alone(api: API, sender: User, recipient: User, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"ALLOW_GET": False}
    api.ask(LIST, status=405, get=True, guid=sender.pk, to=recipient.pk)
    api.told(LIST, guid=sender.pk, to=recipient.pk)


EVERY = [LIST, LIST_1, NEW, NEW_1, RECENT, RECENT_1, UNREAD, "v2.0/message/delete", "v1.0/message_delete"]


@pytest.mark.parametrize("path", [*EVERY, "v1.0/message_add"])
def test_get_does_what_post_does_and_head_and_options_nothing(
    api: API, sender: User, recipient: User, path: str
) -> None:
    given: dict[str, Any] = {"markallread": 1, "message": "Test", "id": api.ok(from_=recipient.pk, to=sender.pk)["id"]}
    if path in EVERY[:-2]:
        given |= {name.rstrip("_"): value for name, value in asked(path, sender, recipient).items()}
    else:
        given |= {"guid": recipient.pk, "from": sender.pk, "to": recipient.pk}

    def state() -> Any:
        sides = Conversation.objects.order_by("pk").values_list("message_count", "unread_count", "last_read_sequence")
        return list(sides), list(Message.objects.values_list("text", "deleted_at"))

    before = state()
    for method in (api.client.head, api.client.options):
        response = method(f"/api/{path}", query_params={**given, "api_key_token": api.key})
        assert response.content == b"" or response.status_code == 405
        assert response["Allow"] == "POST, GET, OPTIONS"
        assert state() == before
    assert api.ask(path, get=True, **given)["code"] == "100"
    assert (state() == before) == (path in (RECENT, RECENT_1, UNREAD))


def test_no_copy_of_the_database_is_asked(
    api: API, send: Any, sender: User, recipient: User, settings: Settings
) -> None:
    """There is no such database here, so whatever asks it fails."""
    settings.DATABASE_ROUTERS = [Behind()]
    bound = APIKey.objects.create_key("bound", users=[sender, recipient])[1]
    number = send(sender, recipient, attachment=upload("dummy.pdf"))
    for path in EVERY[:-2]:
        for key in (api.key, bound):
            given = {**asked(path, recipient, sender), "api_key_token": key}
            api.told(path, **given)
            api.told(path, **given, offset=2)
            api.told(path, **given, before=number, markallread=1)
    url = listed(api, recipient, sender)["list"][0]["attachment_url"]
    assert fetch(Client(), url)[1] == PDF
    for whose in ("me", "all"):
        api.told("v2.0/message/delete", id=number, guid=sender.pk, for_=whose, api_key_token=bound)
    assert fetch(Client(), url)[0].status_code == 404


# Sending in version 1.0


def test_message_add(api: API, sender: User, recipient: User) -> None:
    given = {"from_": sender.pk, "to": recipient.pk, "message": "Test"}
    payload = api.told("v1.0/message_add", **given)
    assert list(payload) == ["id", "message_from", "message_to", "message", "viewed", "time"]
    assert payload["message_from"]["guid"] == sender.pk
    assert texts(listed(api, recipient, sender)) == ["Test"]
    assert api.ask("v1.0/message_add", **{**given, "message": " "})["code"] == "106"
    assert api.ask("v1.0/message_add", **{**given, "to": "999"})["code"] == "103"
    with_file = api.told("v1.0/message_add", **given, attachment=upload("dummy.pdf"))
    assert list(with_file) == list(payload)
    assert Message.objects.get(pk=with_file["id"]).attachment.name == "dummy.pdf"
    assert Message.objects.count() == 2
