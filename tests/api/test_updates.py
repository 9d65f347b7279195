"""``message/updates``, and the pages of ``message/list`` after a message."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from ossn_messaging.models import APIKey, Conversation, Message
from tests.support.api import API, fetch, upload

LIST, UPDATES = "v2.0/message/list", "v2.0/message/updates"
NOTHING = {"list": False, "read": False, "deleted": False}


def test_the_shape_of_updates(api: API, sender: User, recipient: User) -> None:
    api.ok()
    start = api.told(UPDATES, guid=recipient.pk)
    assert list(start) == ["list", "read", "deleted", "after", "more"]
    assert start == {**NOTHING, "after": start["after"], "more": False}
    assert api.told(UPDATES, guid=recipient.pk, after=f" {start['after']} ") == start
    api.ok(message="<1>", attachment=upload("photo.png"))
    answer = api.ok(from_=recipient.pk, to=sender.pk)["id"]
    told = api.told(UPDATES, guid=recipient.pk, after=start["after"])
    page = api.told(LIST, guid=recipient.pk, to=sender.pk)["list"]
    assert [list(item) for item in told["list"]] == [list(item) for item in page[1:]]
    with_file = told["list"][0]
    assert (with_file["message"], with_file["message_from"]) == ("&lt;1&gt;", sender.pk)
    assert fetch(Client(), with_file["attachment_url"])[0].status_code == 200
    api.told(LIST, guid=sender.pk, to=recipient.pk, markallread=1)
    api.told("v2.0/message/delete", guid=sender.pk, id=with_file["id"])
    later = api.told(UPDATES, guid=recipient.pk, after=told["after"])
    assert later == {
        "list": False,
        "read": [{"guid": sender.pk, "id": answer}],
        "deleted": [{"guid": sender.pk, "id": with_file["id"], "for": "all"}],
        "after": later["after"],
        "more": False,
    }
    sender.delete()
    last = api.told(UPDATES, guid=recipient.pk, after=later["after"])
    assert last["deleted"] == [{"guid": with_file["message_from"], "id": False, "for": "me"}]


def test_more_says_that_there_is_another_page(api: API, recipient: User, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"PAGE_SIZE": 2}
    after = api.told(UPDATES, guid=recipient.pk)["after"]
    sent = [api.ok()["id"] for _ in range(5)]
    found, more = list[int](), list[bool]()
    while not more or more[-1]:
        payload = api.told(UPDATES, guid=recipient.pk, after=after)
        after = payload["after"]
        found += [item["id"] for item in payload["list"]]
        more.append(payload["more"])
    assert (found, more) == (sent, [True, True, False])


@pytest.mark.parametrize("after", ["0", "x" * 1000, "2-1-0-0-1", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_a_bad_cursor_is_refused(api: API, recipient: User, settings: Settings, after: str) -> None:
    answer = api.ask(UPDATES, guid=recipient.pk, after=after)
    assert (answer["code"], answer["payload"]) == ("200", False)
    assert "`after` must be" in answer["message"]
    settings.OSSN_MESSAGING = {"HTTP_STATUS": "rest"}
    api.ask(UPDATES, guid=recipient.pk, after=after, status=400)


def test_a_key_polls_only_for_its_users(api: API, sender: User, recipient: User) -> None:
    of_recipient = API(api.client, APIKey.objects.create_key("narrow", users=[recipient])[1], sender, recipient)
    assert of_recipient.ask(UPDATES, guid=sender.pk)["code"] == "200"
    foreign = api.told(UPDATES, guid=sender.pk)["after"]
    assert of_recipient.ask(UPDATES, guid=recipient.pk, after=foreign)["code"] == "200"
    assert of_recipient.ask(UPDATES, guid=recipient.pk)["code"] == "100"
    sending = API(api.client, APIKey.objects.create_key("sends", scopes=["send"])[1], sender, recipient)
    assert sending.ask(UPDATES, guid=sender.pk)["code"] == "200"
    assert api.ask(UPDATES)["code"] == "200"


def texts(payload: dict[str, Any]) -> list[str]:
    return [item["message"] for item in payload["list"] or []]


@pytest.mark.parametrize("path", [LIST, "v1.0/message_list"])
def test_pages_after_a_message(api: API, sender: User, recipient: User, stranger: User, path: str) -> None:
    numbers = {}
    for number in range(14):
        pair = (sender, recipient) if number % 3 else (recipient, sender)
        numbers[number] = api.ok(from_=pair[0].pk, to=pair[1].pk, message=str(number))["id"]
        if number == 3:
            elsewhere = api.ok(to=stranger.pk)["id"]
    users = {"guid": sender.pk, "to": recipient.pk}
    everything = [str(number) for number in range(14)]
    assert texts(api.told(path, **users, after=numbers[0])) == everything[1:11]
    assert texts(api.told(path, **users, after=numbers[10], offset=3)) == everything[11:]
    assert api.told(path, **users, after=numbers[13])["list"] is False
    assert texts(api.told(path, **users, after=elsewhere)) == everything[4:], "a message of another conversation"
    assert api.told(path, **users, after=10**9)["list"] is False
    Message.objects.filter(pk=numbers[4]).delete()
    Message.objects.filter(pk=numbers[5]).delete_for(sender)
    for deleted in (4, 5):
        assert texts(api.told(path, **users, after=numbers[deleted])) == everything[6:]
    answer = api.ask(path, **users, after=numbers[0], before=numbers[3])
    assert (answer["code"], answer["payload"]) == ("200", False)
    assert api.ask(path, **users, after="x")["code"] == "200"


def test_the_page_after_a_message_in_python(api: API, sender: User, recipient: User) -> None:
    sent = [api.ok()["id"] for _ in range(4)]
    conversation = Conversation.objects.between(recipient, sender)
    assert [message.pk for message in conversation.page(after=sent[0], size=2)] == sent[1:3][::-1]
