"""Deleting for oneself and for both: what goes for whom, through the API and from the site's own code."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import PROTECT, RESTRICT, ProtectedError
from django.db.models.signals import post_init
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from ossn_messaging.models import APIKey, Attachment, Conversation, IdempotencyRecord, Message
from ossn_messaging.signals import message_deleted, message_read
from tests.api.test_reading import ITEM, LIST, LIST_1, NEW, NEW_1, NEW_FILE, RECENT, UNREAD, asked
from tests.models.test_messages import full_counts, kept_counts, send
from tests.support.api import API, fetch, noted, upload
from tests.support.storage import everywhere, files_in

DELETE, DELETE_1 = "v2.0/message/delete", "v1.0/message_delete"


def delete(api: API, message: Any, user: User, **parameters: Any) -> dict[str, Any]:
    return api.ask(parameters.pop("path", DELETE), id=message, guid=user.pk, **parameters)


def seen(api: API, user: User, other: User) -> dict[str, Any]:
    """Return all that ``user`` is told of what there is between them and the other."""
    answers = {path: api.told(path, **asked(path, user, other)) for path in (LIST, LIST_1, NEW, NEW_1, RECENT, UNREAD)}
    return {path: {name: answer[name] for name in answer if name != "withuser"} for path, answer in answers.items()}


def numbers(api: API, user: User, other: User, path: str = LIST) -> list[int]:
    return [item["id"] for item in api.told(path, **asked(path, user, other))["list"] or []]


def status(client: Client, url: str, **extra: Any) -> int:
    return int(fetch(client, url, **extra)[0].status_code)


@pytest.fixture
def deleted(transactional_db: None) -> Iterator[list[dict[str, Any]]]:
    """What ``message_deleted`` was sent with."""
    with noted(message_deleted) as calls:
        yield calls


@pytest.fixture
def viewed(transactional_db: None) -> Iterator[list[dict[str, Any]]]:
    """What ``message_read`` was sent with."""
    with noted(message_read) as calls:
        yield calls


@everywhere
@pytest.mark.parametrize(("path", "parameters"), [(DELETE_1, {}), (DELETE, {}), (DELETE, {"for_": "all"})])
def test_deleted_for_both(api: API, attachments_folder: Path, path: str, parameters: dict[str, str]) -> None:
    sent = api.ok(attachment=upload("dummy.pdf"))
    kept = api.ok(message="kept")
    urls = [
        api.told(LIST, guid=user.pk, to=other.pk)["list"][0]["attachment_url"]
        for user, other in ((api.sender, api.recipient), (api.recipient, api.sender))
    ]
    answer = delete(api, sent["id"], api.sender, path=path, **parameters)
    assert (answer["code"], answer["payload"]) == ("100", True)
    assert files_in(attachments_folder) == []
    for url in [*urls, sent["attachment_url"]]:
        assert status(Client(), url) == 404
    for user, other in ((api.sender, api.recipient), (api.recipient, api.sender)):
        for version in (LIST, LIST_1):
            payload = api.told(version, guid=user.pk, to=other.pk)
            gone, left = payload["list"]
            assert list(gone)[-len(ITEM) - 1 :] == [*ITEM, "is_deleted"]
            assert (gone["id"], gone["message"], gone["is_deleted"]) == (sent["id"], "", "1")
            assert (gone["is_deleted_from"], gone["is_deleted_to"]) == ("", "")
            assert (left["id"], left["message"], "is_deleted" in left) == (kept["id"], "kept", False)
            assert payload["count"] == 2
    (_left, gone) = api.told(NEW, to=api.recipient.pk, from_=api.sender.pk)["list"]
    assert [gone[name] for name in NEW_FILE] == [False, None, None]
    assert (gone["message"], gone["is_deleted"]) == ("", "1")
    assert kept_counts() == full_counts(api.sender, api.recipient)


def test_the_text_is_gone_from_the_database(api: API) -> None:
    number = api.ok(message="the secret")["id"]
    delete(api, number, api.sender)
    message = Message.objects.get()
    assert (message.text, message.is_deleted) == ("", True)
    assert not Attachment.objects.exists()


@everywhere
def test_deleted_for_oneself(api: API, attachments_folder: Path) -> None:
    """It is as if it had never been, for this side; the other sees no difference but in ``is_deleted_to``."""
    api.ok(message="kept")
    number = api.ok(attachment=upload("photo.png"))["id"]
    before = seen(api, api.sender, api.recipient)
    assert delete(api, number, api.recipient, for_="me")["payload"] is True
    for path, answer in seen(api, api.recipient, api.sender).items():
        assert str(number) not in [str(item["id"]) for item in answer.get("list") or []], path
    assert api.told(UNREAD, guid=api.recipient.pk) == {"count": 1, "conversations": 1}
    assert api.told(LIST, guid=api.recipient.pk, to=api.sender.pk)["count"] == 1
    assert [item["message"] for item in api.told(RECENT, guid=api.recipient.pk)["list"]] == ["kept"]
    for path, answer in seen(api, api.sender, api.recipient).items():
        for item, then in zip(answer.get("list") or [], before[path].get("list") or [], strict=True):
            flag = "1" if item["id"] == number else ""
            same = {name for name in item if name != "attachment_url"}
            assert {name: item[name] for name in same} == {**{n: then[n] for n in same}, "is_deleted_to": flag}
        assert answer.get("count") == before[path].get("count")
    assert len(files_in(attachments_folder)) == 1


def test_for_whom_a_message_is_deleted_in_words(sender: User, recipient: User) -> None:
    by_sender, by_recipient, for_both, kept = (Message.objects.filter(pk=send(sender, recipient).pk) for _ in range(4))
    by_sender.delete_for(sender)
    by_recipient.delete_for(recipient)
    for_both.delete_for(recipient)
    for_both.delete_for_both()
    assert [message.get().deletion for message in (by_sender, by_recipient, for_both, kept)] == [
        "by its sender",
        "by its recipient",
        "for both users",
        "",
    ]


@everywhere
def test_deleted_by_both_it_goes_with_its_file(api: API, attachments_folder: Path) -> None:
    sent = api.ok(attachment=upload("dummy.pdf"))
    for user in (api.sender, api.recipient):
        delete(api, sent["id"], user, for_="me")
    assert not Message.objects.exists()
    assert not Attachment.objects.exists()
    assert files_in(attachments_folder) == []
    assert status(Client(), sent["attachment_url"]) == 404
    assert set(kept_counts().values()) == {(0, 0)}
    assert set(Conversation.objects.values_list("last_sequence", "last_message_at")) == {(None, None)}
    for user, other in ((api.sender, api.recipient), (api.recipient, api.sender)):
        answers = seen(api, user, other)
        assert [answers[path]["list"] for path in (LIST, NEW, RECENT)] == [False, False, False]
        assert answers[RECENT]["count"] == answers[LIST]["count"] == 0


@everywhere
@pytest.mark.parametrize("side", ["sender", "recipient"])
def test_every_url_of_a_file_is_one_sides(api: API, side: str) -> None:
    """Those that the one was given close when they delete the message, and those of the other do not."""
    sent = api.ok(attachment=upload("dummy.pdf"))
    users = {"sender": api.sender, "recipient": api.recipient}
    (other,) = set(users) - {side}
    urls: dict[str, list[str]] = {"sender": [sent["attachment_url"]], "recipient": []}
    for name, paths in {
        "sender": (LIST, LIST_1, RECENT),
        "recipient": (LIST, LIST_1, NEW, RECENT),
    }.items():
        rest = api.recipient if name == "sender" else api.sender
        urls[name] += [api.told(path, **asked(path, users[name], rest))["list"][0]["attachment_url"] for path in paths]
    for url in urls["sender"] + urls["recipient"]:
        assert status(Client(), url) == 200
    bare = urlsplit(sent["attachment_url"]).path
    clients = {name: Client() for name in users}
    keys = {name: APIKey.objects.create_key(name, users=[user])[1] for name, user in users.items()}
    for name, client in clients.items():
        client.force_login(users[name])

    delete(api, sent["id"], users[side], for_="me")
    assert {status(Client(), url) for url in urls[side]} == {404}
    assert {status(Client(), url) for url in urls[other]} == {200}
    swapped = urls[side][0].replace("=from:", "=to:") if side == "sender" else urls[side][0].replace("=to:", "=from:")
    assert swapped != urls[side][0]
    assert status(Client(), swapped) == 404, "a signature is not turned into the other's"
    for name, expected in ((side, 404), (other, 200)):
        assert status(clients[name], bare) == expected
        assert status(Client(), bare, headers={"Authorization": f"Api-Key {keys[name]}"}) == expected


def test_what_is_not_ones_own_is_not_deleted(api: API, stranger: User) -> None:
    number = api.ok(attachment=upload("dummy.pdf"))["id"]
    before = seen(api, api.sender, api.recipient)
    refused = [
        delete(api, number, api.recipient, path=DELETE_1),
        delete(api, number, api.recipient, for_="all"),
        delete(api, number, stranger, for_="all"),
        delete(api, number, stranger, for_="me"),
    ]
    expected = f"Message delete failed: this user has no message with the `id` `{number}`"
    for answer in refused:
        assert (answer["code"], answer["message"]) == ("200", expected)
    assert delete(api, "999999999", api.sender)["message"] == expected.replace(f"`{number}`", "`999999999`")
    for wrong in ("", "abc", "-1", "0", "9" * 30):
        expected = f"Message delete failed: `id` must be a whole number above 0, and not `{wrong}`"
        assert delete(api, wrong, api.sender)["message"] == expected
    after = seen(api, api.sender, api.recipient)
    assert [item["message"] for item in after[LIST]["list"]] == ["Test"]
    assert after[UNREAD] == before[UNREAD]


def test_what_was_deleted_already(api: API) -> None:
    for_both, for_me = api.ok()["id"], api.ok()["id"]
    for _ in range(2):
        assert delete(api, for_both, api.sender)["payload"] is True
    assert delete(api, for_me, api.sender, for_="me")["payload"] is True
    assert delete(api, for_me, api.sender, for_="me")["code"] == "200"
    assert delete(api, for_me, api.sender)["payload"] is True, "a sender may still take it from the other"
    assert numbers(api, api.sender, api.recipient) == [for_both]
    assert numbers(api, api.recipient, api.sender) == [for_both, for_me]
    for user in (api.sender, api.recipient):
        delete(api, for_both, user, for_="me")
    assert numbers(api, api.sender, api.recipient) == []


def test_bad_requests(api: API, stranger: User, settings: Settings) -> None:
    number = api.ok()["id"]
    expected = "Message delete failed: `for` must be `all` or `me`, and not `us`"
    assert delete(api, number, api.sender, for_="us")["message"] == expected
    assert api.ask(DELETE, id=number, guid="999999999")["message"] == "Either user not found"
    assert api.ask(DELETE, id=number)["code"] == "200"
    assert api.ask(DELETE, id=number, guid=api.sender.pk, api_key_token="wrong")["code"] == "106"
    for options in ({"scopes": ["read"]}, {"users": [api.recipient, stranger]}):
        key = APIKey.objects.create_key("narrow", **options)[1]
        answer = delete(api, number, api.sender, api_key_token=key)
        assert (answer["code"], answer["message"][:35]) == ("200", "Message delete failed: the API key ")
    settings.OSSN_MESSAGING = {"HTTP_STATUS": "rest"}
    delete(api, "999999999", api.sender, status=404)
    delete(api, number, api.sender, for_="us", status=400)
    settings.OSSN_MESSAGING = {"ENABLED": False}
    assert delete(api, number, api.sender)["code"] == "201"
    assert Message.objects.get().text == "Test"


def test_unread_messages_that_are_deleted(api: API) -> None:
    sent = [api.ok(message=str(number))["id"] for number in range(4)]
    api.told(NEW, to=api.recipient.pk, from_=api.sender.pk, markallread=1)
    sent += [api.ok(message=str(number))["id"] for number in range(4, 8)]
    for number in (sent[1], sent[5], sent[7]):
        delete(api, number, api.recipient, for_="me")
    assert api.told(UNREAD, guid=api.recipient.pk) == {"count": 2, "conversations": 1}
    assert numbers(api, api.recipient, api.sender, NEW) == [sent[6], sent[4]]
    assert kept_counts() == full_counts(api.sender, api.recipient)


def test_a_repetition_brings_nothing_back(api: API) -> None:
    """Neither what the sender deleted for itself nor what it deleted for both."""
    headers = {"Idempotency-Key": "one"}
    number = api.send(headers=headers)["payload"]["id"]
    delete(api, number, api.recipient, for_="me")
    assert api.send(headers=headers)["payload"]["id"] == number
    delete(api, number, api.sender, for_="me")
    assert api.send(headers=headers)["code"] == "200"
    other = {"Idempotency-Key": "two"}
    delete(api, api.send(headers=other, attachment=upload("dummy.pdf"))["payload"]["id"], api.sender)
    assert "deleted" in api.send(headers=other, attachment=upload("dummy.pdf"))["message"]
    assert Message.objects.count() == 1


# From the site's own code


def test_the_verbs_in_python(sender: User, recipient: User, stranger: User, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"PAGE_SIZE": 3}
    for number in range(5):
        send(*((sender, recipient) if number % 2 else (recipient, sender)), str(number))
    send(stranger, sender, "last")
    first, second = Conversation.objects.for_user(sender)
    assert [first.other_user, second.other_user] == [stranger, recipient]
    assert [
        (side.other_user, side.newest_message and side.newest_message.text)
        for side in Conversation.objects.recent(sender)
    ] == [
        (stranger, "last"),
        (recipient, "4"),
    ]
    for page, expected in ((1, [stranger]), (2, [recipient]), (3, [])):
        assert [side.other_user for side in Conversation.objects.recent(sender, page, size=1)] == expected
    side = Conversation.objects.between(sender, recipient)
    assert (side.message_count, side.unread_count) == (5, 3)
    assert [message.text for message in side.page()] == ["4", "3", "2"]
    assert [message.text for message in side.page(2)] == ["1", "0"]
    assert [message.text for message in side.page(before=side.page()[-1].pk)] == ["1", "0"]
    assert [message.text for message in side.page(size=1)] == ["4"]
    assert [message.text for message in side.unread_messages()] == ["4", "2", "0"]
    assert Conversation.objects.unread(sender) == (4, 2)
    assert side.mark_read() == 3
    assert side.mark_read() == 0, "the object knows"
    assert [message.is_read for message in side.page()] == [True, False, True]
    assert Conversation.objects.between(sender, recipient).unread_count == 0
    assert Conversation.objects.unread(sender) == (1, 1)
    assert Message.objects.filter(text__in=["0", "1", "last"]).delete_for(sender) == 3
    assert [message.text for message in Conversation.objects.between(sender, recipient).page()] == ["4", "3", "2"]
    assert [message.text for message in Conversation.objects.between(recipient, sender).page(2)] == ["1", "0"]
    assert [side.other_user for side in Conversation.objects.for_user(sender)] == [recipient]
    assert Message.objects.filter(sender=sender).delete_for_both() == 2
    theirs = Conversation.objects.between(recipient, sender).page(size=5)
    assert [message.text for message in theirs] == ["4", "", "2", "", "0"]
    assert Message.objects.none().delete_for(sender) == Message.objects.none().delete_for_both() == 0
    assert kept_counts() == full_counts(sender, recipient, stranger)


def test_a_conversation_that_never_was_has_nothing(sender: User, stranger: User) -> None:
    side = Conversation.objects.between(sender, stranger)
    assert (side.page(), side.unread_messages(), side.mark_read(), side.message_count, side.other_user) == (
        [],
        [],
        0,
        0,
        stranger,
    )
    assert not Conversation.objects.exists()


def test_the_signals_follow_the_commit(api: API, deleted: list[dict[str, Any]], viewed: list[dict[str, Any]]) -> None:
    first, second = api.ok(attachment=upload("dummy.pdf"))["id"], api.ok()["id"]
    with transaction.atomic():
        assert Conversation.objects.between(api.recipient, api.sender).mark_read() == 2
        Message.objects.filter(pk=second).delete_for(api.recipient)
        Message.objects.filter(pk=first).delete_for_both()
        assert deleted == viewed == []
    (call,) = viewed
    assert call["sender"] is Conversation
    assert (call["conversation"].user, call["conversation"].other_user) == (api.recipient, api.sender)
    assert [message.pk for message in call["messages"]] == [first]
    assert [(call["sender"], call["message"].pk, call["user"]) for call in deleted] == [
        (Message, second, api.recipient),
        (Message, first, None),
    ]
    gone = deleted[1]["message"]
    assert (gone.text, gone.is_deleted, hasattr(gone, "attachment")) == ("", True, False)


def test_what_receivers_are_told_of_has_its_users(
    api: API, deleted: list[dict[str, Any]], viewed: list[dict[str, Any]], django_assert_num_queries: Any
) -> None:
    first, second, third = (api.ok(attachment=upload("dummy.pdf"))["id"] for _ in range(3))
    side = Conversation.objects.between(api.recipient, api.sender)
    api.ok(message="came since")
    Message.objects.filter(pk=first).delete_for(api.recipient)
    assert side.mark_read() == 2
    later = Conversation.objects.between(api.recipient, api.sender)
    api.ok(message="came since that")
    assert later.mark_read() == 1
    assert [[message.pk for message in call["messages"]] for call in viewed] == [[second, third], [third + 1]]
    Message.objects.filter(pk=first).delete_for(api.sender)
    with django_assert_num_queries(0):
        for call in deleted:
            assert (call["message"].pk, call["message"].sender, call["message"].recipient) == (
                first,
                api.sender,
                api.recipient,
            )
        assert [hasattr(call["message"], "attachment") for call in deleted] == [True, False]
        assert (later.user, later.other_user) == (api.recipient, api.sender)


def test_marks_never_go_back(api: API, viewed: list[dict[str, Any]]) -> None:
    """Of two apps of one user, the one that has read less marks last."""
    api.ok()
    old = Conversation.objects.between(api.recipient, api.sender)
    api.ok()
    assert Conversation.objects.between(api.recipient, api.sender).mark_read() == 2
    assert old.mark_read() == 0
    assert api.told(UNREAD, guid=api.recipient.pk) == {"count": 0, "conversations": 0}
    assert {message.is_read for message in Conversation.objects.between(api.sender, api.recipient).page()} == {True}
    assert len(viewed) == 1


def test_a_conversation_that_goes_while_it_is_read(api: API) -> None:
    api.ok()
    side = Conversation.objects.between(api.recipient, api.sender)
    api.sender.delete()
    assert side.mark_read() == 0
    assert side.page() == side.unread_messages() == []


def test_whether_a_message_is_viewed_however_its_conversation_was_found(api: API) -> None:
    api.ok()
    api.told(LIST, guid=api.recipient.pk, to=api.sender.pk, markallread=1)
    for side in (Conversation.objects.for_user(api.sender)[0], Conversation.objects.get(user=api.sender)):
        assert [message.is_read for message in side.page()] == [True]


def test_pages_below_the_first_are_the_first(api: API) -> None:
    number = api.ok()["id"]
    side = Conversation.objects.between(api.recipient, api.sender)
    for page in (0, -1):
        assert [message.pk for message in side.page(page)] == [number]
        assert len(Conversation.objects.recent(api.sender, page)) == 1


def test_some_of_many(api: API) -> None:
    """Whatever queryset names them: cut off, sorted, or from many conversations."""
    numbers = [api.ok()["id"] for _ in range(4)]
    assert Message.objects.order_by("-pk")[:2].delete_for(api.sender) == 2
    assert Message.objects.order_by("pk")[:1].delete_for_both() == 1
    page = [message.pk for message in Conversation.objects.between(api.sender, api.recipient).page()]
    assert page == [numbers[1], numbers[0]]
    others = User.objects.bulk_create(User(username=f"user {number}") for number in range(1100))
    for user, other in ((api.sender, None), (None, api.sender)):
        Conversation.objects.bulk_create(
            Conversation(user=user or one, other_user=other or one, sequence=1, message_count=1, last_sequence=1)
            for one in others
        )
    Message.objects.bulk_create(Message(sender=api.sender, recipient=one, text=".", sequence=1) for one in others)
    assert Message.objects.filter(text=".").delete_for(api.sender) == 1100
    assert set(Conversation.objects.filter(other_user__in=others).values_list("message_count", flat=True)) == {0}
    assert set(Conversation.objects.filter(user__in=others).values_list("message_count", flat=True)) == {1}


def test_no_signal_of_what_did_not_happen(
    api: API, deleted: list[dict[str, Any]], viewed: list[dict[str, Any]]
) -> None:
    number = api.ok()["id"]
    with transaction.atomic():
        Message.objects.all().delete_for(api.sender)
        Conversation.objects.between(api.recipient, api.sender).mark_read()
        transaction.set_rollback(True)
    delete(api, number, api.recipient)
    api.told(LIST, guid=api.sender.pk, to=api.recipient.pk, markallread=1)
    assert deleted == viewed == []
    for _ in range(2):
        delete(api, number, api.sender)
        api.told(LIST, guid=api.recipient.pk, to=api.sender.pk, markallread=1)
    assert len(deleted) == len(viewed) == 1
    delete(api, number, api.sender, for_="me")
    delete(api, number, api.recipient, for_="me")
    assert [call["user"] for call in deleted[1:]] == [api.sender, api.recipient]
    assert deleted[-1]["message"].pk == number


def test_a_receiver_that_raises_changes_nothing(api: API) -> None:
    def fail(**kwargs: Any) -> None:
        raise ValueError("the site's own fault")

    number = api.ok()["id"]
    for signal in (message_deleted, message_read):
        signal.connect(fail)
    try:
        assert api.told(LIST, guid=api.recipient.pk, to=api.sender.pk, markallread=1)["count"] == 1
        assert delete(api, number, api.sender)["payload"] is True
    finally:
        for signal in (message_deleted, message_read):
            signal.disconnect(fail)
    assert Message.objects.get().is_deleted


@everywhere
def test_a_user_is_deleted_in_bounded_memory(
    sender: User, recipient: User, stranger: User, attachments_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many messages they have: of those no more are in memory than the chunk that is deleted."""
    monkeypatch.setattr("ossn_messaging.models.deletion.BATCH_SIZE", 3)
    for turn in range(4):
        send(sender, recipient, upload=upload("dummy.pdf") if turn % 2 else None)
        send(recipient, sender, upload=upload("dummy.pdf") if turn % 2 else None)
        send(stranger, recipient, upload=upload("dummy.pdf") if turn % 2 else None)
    alive, most = 0, 0

    def made(**kwargs: Any) -> None:
        nonlocal alive, most
        gc.collect()
        alive += 1
        most = max(most, alive)
        weakref.finalize(kwargs["instance"], gone)

    def gone() -> None:
        nonlocal alive
        alive -= 1

    post_init.connect(made, sender=Message)
    try:
        _count, deleted = sender.delete()
    finally:
        post_init.disconnect(made, sender=Message)
    assert deleted["ossn_messaging.Message"] == 8
    assert 3 <= most <= 6, "one chunk, and the one after it"
    assert Message.objects.count() == 4
    assert len(files_in(attachments_folder)) == 2


def test_a_users_files_stay_when_the_deletion_is_taken_back(
    sender: User, recipient: User, attachments_folder: Path
) -> None:
    send(sender, recipient, upload=upload("dummy.pdf"))
    with transaction.atomic():
        sender.delete()
        transaction.set_rollback(True)
    assert Message.objects.count() == len(files_in(attachments_folder)) == 1


def test_what_is_protected_is_asked_about_before_anything_is_deleted(
    sender: User, recipient: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site may then go on in its transaction, and does: what could not be deleted is at least not active."""
    monkeypatch.setattr(Attachment._meta.get_field("message").remote_field, "on_delete", PROTECT)
    send(sender, recipient, upload=upload("dummy.pdf"))
    with transaction.atomic():
        with pytest.raises(ProtectedError):
            sender.delete()
        User.objects.filter(pk=sender.pk).update(is_active=False)
    assert not User.objects.get(pk=sender.pk).is_active


def test_what_is_restricted_goes_with_a_user_who_takes_it_along(
    sender: User, recipient: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IdempotencyRecord._meta.get_field("message").remote_field, "on_delete", RESTRICT)
    Message.objects.send(sender=sender, recipient=recipient, text="Test", idempotency_key="once")
    sender.delete()
    assert not Message.objects.exists()
    assert not IdempotencyRecord.objects.exists()


def test_a_user_is_deleted_with_the_conversations_held(sender: User, recipient: User, stranger: User) -> None:
    """Whoever deletes or sends a message holds its conversation first: the other way round would be a deadlock."""
    for pair in ((sender, recipient), (stranger, sender)):
        send(*pair)
    with CaptureQueriesContext(connection) as context:
        sender.delete()
    asked = [query["sql"].replace("`", '"') for query in context]
    held = [turn for turn, sql in enumerate(asked) if sql.startswith("SELECT") and 'FROM "ossn_messaging_conv' in sql]
    gone = [turn for turn, sql in enumerate(asked) if sql.startswith("DELETE")]
    assert len(held) == 4
    assert max(held) < min(gone)
