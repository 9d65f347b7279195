"""A send that is safe to repeat."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, connections
from django.test import Client
from pytest_django import Settings

from ossn_messaging.exceptions import IdempotencyConflict
from ossn_messaging.models import Conversation, IdempotencyRecord, Message
from ossn_messaging.models.idempotency import IdempotencyRecordQuerySet
from tests.site import Behind
from tests.support.api import API, SEND, fetch, upload
from tests.support.files import PDF
from tests.support.storage import everywhere, files_in

CONFLICT = "Message send failed: this idempotency key was used for a message that is different or deleted"
FILE = {"file:attachment", "attachment_guid", "attachment_name", "type_of_attachment", "attachment_url"}
KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


def send(api: API, key: str | None = KEY, **changes: Any) -> tuple[bool, dict[str, Any]]:
    """Return whether the answer says that it is a repetition, and the answer."""
    headers = {} if key is None else {"Idempotency-Key": key}
    response = api.client.post(SEND, api.fields(**changes), headers=headers)
    return response.headers.get("Idempotent-Replayed") == "true", api.read(response, response.status_code)


def without_time(answer: dict[str, Any]) -> str:
    """Return the bytes of an answer that must not change."""
    kept = {**answer, "time_token": 0}
    if kept["payload"] and "attachment_url" in kept["payload"]:
        kept["payload"] = {**kept["payload"], "attachment_url": urlsplit(kept["payload"]["attachment_url"]).path}
    return json.dumps(kept)


@everywhere
def test_the_same_again(api: API, attachments_folder: Path, received: list[Any]) -> None:
    repeated, first = send(api, message="<1>\n2 ", attachment=upload("dummy.pdf"))
    assert (repeated, first["code"]) == (False, "100")
    Message.objects.update(deleted_by_recipient=True)
    Conversation.objects.between(api.recipient, api.sender).mark_read()
    for _ in range(2):
        repeated, again = send(api, message=" <1>\n2", attachment=upload("dummy.pdf"))
        assert repeated
        assert without_time(again) == without_time(first)
        assert fetch(Client(), again["payload"]["attachment_url"])[1] == PDF
    assert Message.objects.count() == len(files_in(attachments_folder)) == len(received) == 1
    assert Conversation.objects.get(user=api.sender).message_count == 1


@pytest.mark.parametrize("way", ["header", "quoted header", "form", "query", "JSON"])
def test_where_the_key_may_stand(api: API, way: str) -> None:
    for number in range(2):
        if way == "query":
            response = api.client.get(SEND, api.fields(idempotency_key=KEY))
        elif way == "JSON":
            response = api.client.post(SEND, json.dumps(api.fields(idempotency_key=7)), "application/json")
        elif way == "form":
            response = api.client.post(SEND, api.fields(idempotency_key=KEY))
        else:
            key = f'"{KEY}"' if way == "quoted header" else KEY
            response = api.client.post(SEND, api.fields(), headers={"Idempotency-Key": key})
        assert api.read(response)["code"] == "100"
        assert ("Idempotent-Replayed" in response.headers) == bool(number)
    assert Message.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"message": "another"},
        {"attachment": upload("dummy.pdf")},
        {"attachment": upload("photo.png")},
    ],
)
def test_something_else_under_the_same_key(api: API, change: dict[str, Any]) -> None:
    send(api, attachment=upload("photo.jpg"))
    repeated, answer = send(api, **{"attachment": upload("photo.jpg"), **change})
    assert (repeated, answer["code"]) == (False, "200")
    assert answer["message"] == CONFLICT
    assert Message.objects.count() == 1


def test_another_recipient_under_the_same_key(api: API, stranger: User) -> None:
    send(api)
    assert send(api, to=stranger.pk)[1]["message"] == CONFLICT
    assert Message.objects.count() == 1


def test_the_key_is_the_senders(api: API) -> None:
    send(api)
    assert not send(api, from_=api.recipient.pk, to=api.sender.pk)[0]
    assert Message.objects.count() == 2


@pytest.mark.sends
def test_without_a_key_nothing_is_remembered(api: API) -> None:
    for key in (None, "", '""'):
        assert not send(api, key)[0]
        assert not send(api, key)[0]
    assert Message.objects.count() == 6
    assert not IdempotencyRecord.objects.exists()


def test_keys_that_are_nearly_equal(api: API) -> None:
    """MariaDB takes these for the same text."""
    for key in ("abc", "ABC", "äbc", "abc."):
        assert not send(api, idempotency_key=key, key=None)[0]
    assert Message.objects.count() == 4


@pytest.mark.parametrize("named", ["x" * 256, "a\tb", "\x7f", "a\u200bb"])
def test_a_key_that_is_none(api: API, named: str) -> None:
    answer = api.send(idempotency_key=named)
    assert (answer["code"], answer["message"]) == (
        "200",
        "Message send failed: the idempotency key is too long or not printable",
    )
    assert not Message.objects.exists()


def test_the_longest_key(api: API) -> None:
    assert [send(api, "x" * 255)[0] for _ in range(2)] == [False, True]


def test_a_failed_send_is_not_remembered(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    assert send(api, attachment=upload("page.pdf", b"<html>"))[1]["code"] == "200"

    def commit() -> None:
        raise OperationalError("the wire was cut")

    with monkeypatch.context() as broken:
        broken.setattr(connection, "_commit", commit)
        assert send(api, attachment=upload("dummy.pdf"))[1]["code"] == "200"
    repeated, answer = send(api)
    assert (repeated, answer["code"]) == (False, "100")
    assert send(api)[0]


def test_a_repetition_is_answered_though_the_rules_have_changed(api: API, settings: Settings) -> None:
    """It is no new message."""
    send(api)
    settings.OSSN_MESSAGING = {"MAX_MESSAGE_LENGTH": 1, "CAN_SEND": "tests.site.broken"}
    assert send(api)[0]


def test_the_checks_before_hold_for_a_repetition_too(api: API, settings: Settings) -> None:
    send(api)
    assert send(api, api_key_token="wrong")[1]["code"] == "106"
    assert send(api, to="999")[1]["code"] == "103"
    settings.OSSN_MESSAGING = {"ENABLED": False}
    assert send(api)[1]["code"] == "201"


DELETIONS: dict[str, Callable[[API], object]] = {
    "row": lambda api: Message.objects.get().delete(),
    "sender": lambda api: Message.objects.all().delete_for(api.sender),
    "moderator": lambda api: Message.objects.all().delete_for_both(),
}


@pytest.mark.parametrize("way", DELETIONS)
def test_what_was_deleted_is_not_sent_again(api: API, settings: Settings, way: str) -> None:
    """In the words for another message under the same key: whether it was deleted is not told."""
    send(api, attachment=upload("dummy.pdf"))
    settings.OSSN_MESSAGING = {"HTTP_STATUS": "rest"}
    different = send(api)
    DELETIONS[way](api)
    repeated, answer = send(api, attachment=upload("dummy.pdf"))
    assert (repeated, answer["code"], answer["message"]) == (False, "200", CONFLICT)
    assert without_time(answer) == without_time(different[1])
    assert api.client.post(SEND, api.fields(idempotency_key=KEY)).status_code == 422


def test_what_is_stored_tells_nothing_of_the_text(api: API, settings: Settings) -> None:
    """Not even to one who guesses it: the digest is another on each site."""
    records = []
    for secret in ("one site", "another site"):
        settings.SECRET_KEY = secret
        send(api)
        records.append(str(IdempotencyRecord.objects.values("request_digest").get()))
        IdempotencyRecord.objects.all().delete()
    assert records[0] != records[1]
    send(api)
    stored = str(IdempotencyRecord.objects.values().get())
    assert not [part for part in ("Test", KEY, "testserver", "Arsalan") if part in stored]


def test_a_secret_key_that_was_changed(api: API, settings: Settings) -> None:
    """What was asked for before is known as long as the old one is among the fallbacks, and never sent twice."""
    settings.SECRET_KEY = "old"
    send(api)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", ["older", "old"]
    assert send(api)[0]
    assert send(api, message="another")[1]["message"] == CONFLICT
    settings.SECRET_KEY_FALLBACKS = []
    assert send(api)[1]["message"] == CONFLICT
    assert Message.objects.count() == 1


def test_the_same_again_by_another_name_of_the_site(api: API, settings: Settings) -> None:
    """A client gets no URL of a host that it does not know, and names as they are now."""
    settings.ALLOWED_HOSTS = ["inside", "outside.example.com"]
    api.client = Client(HTTP_HOST="inside")
    _repeated, first = send(api, attachment=upload("dummy.pdf"))
    assert "//inside/" in json.dumps(first)
    User.objects.update(first_name="Renamed", last_name="since")
    api.client = Client(HTTP_HOST="outside.example.com")
    repeated, again = send(api, attachment=upload("dummy.pdf"))
    assert repeated
    assert "//inside/" not in json.dumps(again)
    assert again["payload"]["message_from"]["icon"]["small"].startswith("http://outside.example.com/avatar/")
    assert again["payload"]["attachment_url"].startswith("http://outside.example.com/messages/")
    assert again["payload"]["message_from"]["fullname"] == "Renamed since"
    assert again["payload"]["id"] == first["payload"]["id"]


def test_a_user_who_is_deleted_takes_it_along(api: API) -> None:
    send(api)
    api.recipient.delete()
    assert not IdempotencyRecord.objects.exists()


def test_the_attachment_that_was_deleted_alone(api: API) -> None:
    _repeated, first = send(api, attachment=upload("dummy.pdf"))
    Message.objects.get().attachment.delete()
    repeated, again = send(api, attachment=upload("dummy.pdf"))
    assert repeated
    assert {name for name in first["payload"] if "attachment" in name} == FILE
    without_file = {name: value for name, value in first["payload"].items() if name not in FILE}
    assert without_time(again) == without_time({**first, "payload": without_file})


def test_what_the_sites_own_code_began(api: API) -> None:
    options: dict[str, Any] = {"sender": api.sender, "recipient": api.recipient, "idempotency_key": KEY}
    message = Message.objects.send(text="Test", **options)
    repeated, answer = send(api)
    assert repeated
    assert (answer["code"], answer["payload"]["id"], answer["payload"]["message"]) == ("100", message.pk, "Test")


@pytest.mark.sends
def test_a_header_beyond_ascii(api: API) -> None:
    """It is the parameter's text in UTF-8."""
    assert not send(api, "kà".encode().decode("latin-1"))[0]
    assert not send(api, "kÅ".encode().decode("latin-1"))[0]
    assert send(api, None, idempotency_key="kà")[0]
    assert "not printable" in send(api, "k\xe0")[1]["message"]


def test_from_the_sites_own_code(sender: User, recipient: User) -> None:
    options: dict[str, Any] = {"sender": sender, "recipient": recipient, "idempotency_key": KEY}
    first = Message.objects.send(text="x", **options)
    again = Message.objects.send(text="x", **options)
    assert first == again
    assert (first.replayed_from, again.replayed_from) == (None, IdempotencyRecord.objects.get())
    with pytest.raises(IdempotencyConflict):
        Message.objects.send(text="y", **options)


@everywhere
def test_two_at_once(api: API, attachments_folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither finds the other's when it looks, and the constraint lets one of them through.

    No copy of the database is asked for that, which might not know of it yet.
    """
    settings.DATABASE_ROUTERS = [Behind()]
    _repeated, first = send(api, attachment=upload("dummy.pdf"))
    real = IdempotencyRecordQuerySet.find_existing
    looks: list[IdempotencyRecord] = []

    def find_existing(self: IdempotencyRecordQuerySet, record: IdempotencyRecord) -> Message | None:
        looks.append(record)
        return None if len(looks) == 1 else real(self, record)

    monkeypatch.setattr(IdempotencyRecordQuerySet, "find_existing", find_existing)
    repeated, second = send(api, attachment=upload("dummy.pdf"))
    settings.DATABASE_ROUTERS = []
    assert repeated
    assert without_time(second) == without_time(first)
    assert Message.objects.count() == len(files_in(attachments_folder)) == 1
    assert Conversation.objects.get(user=api.sender).message_count == 1


@pytest.mark.django_db(transaction=True)
def test_fifty_clients_at_once(api: API, attachments_folder: Path) -> None:
    """One row and one file; each of the others gets the first's answer, or is told to try again."""
    if connection.vendor == "sqlite":
        pytest.skip("the database in memory has one connection; test_demo does the same with a file's")
    clients = 50
    start = Barrier(clients)

    def one(_number: int) -> tuple[bool, dict[str, Any]]:
        own = API(Client(), api.key, api.sender, api.recipient)
        start.wait()
        try:
            return send(own, attachment=upload("dummy.pdf"))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(one, range(clients)))
    sent = [answer for _repeated, answer in answers if answer["code"] == "100"]
    assert all("try again" in answer["message"] for _repeated, answer in answers if answer["code"] != "100")
    assert sum(not repeated for repeated, answer in answers if answer["code"] == "100") == 1
    assert len({without_time(answer) for answer in sent}) == 1
    assert Message.objects.count() == IdempotencyRecord.objects.count() == len(files_in(attachments_folder)) == 1
    assert Conversation.objects.get(user=api.sender).message_count == 1
    assert send(api, attachment=upload("dummy.pdf"))[0]
