"""The endpoints of blocks, and what the one who is blocked learns."""

from itertools import permutations
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from ossn_messaging.api import views
from ossn_messaging.models import APIKey, Block, Message
from tests.support.api import API, upload

BLOCK, UNBLOCK, BLOCKLIST = "v2.0/user/block", "v2.0/user/unblock", "v2.0/user/blocklist"
WHOM = {BLOCK: "to_block_guid", UNBLOCK: "to_unblock_guid"}
REFUSED = "Message send failed: this sender may not write to this recipient"


def block(api: API, user: User, other: User) -> None:
    assert api.told(BLOCK, guid=user.pk, to_block_guid=other.pk) == {"success": True}


def unblock(api: API, user: User, other: User) -> None:
    assert api.told(UNBLOCK, guid=user.pk, to_unblock_guid=other.pk) == {"success": True}


def blocklist(api: API, user: User) -> Any:
    payload = api.told(BLOCKLIST, guid=user.pk)
    assert list(payload) == ["list"]
    return payload["list"]


def fails(api: API, path: str, **parameters: Any) -> tuple[str, str]:
    answer = api.ask(path, **parameters)
    return answer["code"], answer["message"]


def test_a_member_blocks_and_unblocks(api: API, stranger: User) -> None:
    user, other = api.recipient, api.sender
    assert blocklist(api, user) is False
    for _ in range(2):
        block(api, user, other)
        api.fails("200")
    block(api, user, stranger)
    listed = blocklist(api, user)
    assert [one["guid"] for one in listed] == [stranger.pk, other.pk]
    assert listed[1] == {
        "guid": other.pk,
        "fullname": "Arsalan Shah",
        "username": "arsalanshah",
        "icon": {"small": "http://testserver/avatar/arsalanshah/small/c0e15d54735a596d4e16bf1aaa999758.jpeg"},
    }
    assert blocklist(api, other) is False
    for _ in range(2):
        unblock(api, user, other)
        api.ok()


@pytest.mark.parametrize("path", ["v2.0/message/send", "v1.0/message_add"])
@pytest.mark.parametrize("by_recipient", [True, False])
def test_neither_can_send_and_both_are_told_the_same(api: API, path: str, by_recipient: bool) -> None:
    pair = (api.recipient, api.sender) if by_recipient else (api.sender, api.recipient)
    block(api, *pair)
    for sender, recipient in permutations(pair):
        parameters = {"from": sender.pk, "to": recipient.pk, "message": "Test"}
        for more in ({}, {"attachment": upload("dummy.pdf")}, {"idempotency_key": "once"}):
            assert fails(api, path, **parameters, **more) == ("200", REFUSED)
    assert not Message.objects.exists()


def test_the_refusal_is_that_of_the_sites_own_rule(api: API, stranger: User, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"HTTP_STATUS": "rest", "CAN_SEND": "tests.site.only_to_recipients_named_s"}
    by_the_site = api.send(to=stranger.pk, status=403)["message"]
    settings.OSSN_MESSAGING = {"HTTP_STATUS": "rest"}
    Block.objects.block(stranger, api.sender)
    assert api.send(to=stranger.pk, status=403)["message"] == by_the_site


def test_the_order_of_checks(api: API, stranger: User, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"MAX_MESSAGE_LENGTH": 7}
    Block.objects.block(api.recipient, api.sender)
    bound = API(Client(), APIKey.objects.create_key("bound", users=[stranger])[1], api.sender, api.recipient)
    assert "act as" in bound.fails("200")
    assert "idempotency" in api.fails("200", idempotency_key="x" * 256)
    api.fails("106", message=" ")
    assert api.fails("200", message="too long") == REFUSED
    assert api.fails("200", attachment=upload("dummy.pdf", b"MZ")) == REFUSED


def test_a_repeat_is_answered_though_there_is_a_block_since(api: API) -> None:
    payload = api.ok(idempotency_key="once", attachment=upload("dummy.pdf"))
    block(api, api.recipient, api.sender)
    assert api.ok(idempotency_key="once", attachment=upload("dummy.pdf"))["id"] == payload["id"]
    assert api.fails("200", idempotency_key="twice") == REFUSED


@pytest.mark.parametrize("parts", [{}, {"attachment": "dummy.pdf"}, {"idempotency_key": "once"}])
def test_a_send_asks_nothing_of_its_own_about_blocks(api: API, parts: dict[str, Any]) -> None:
    if "attachment" in parts:
        parts = {"attachment": upload(parts["attachment"])}
    with CaptureQueriesContext(connection) as context:
        api.ok(**parts)
    asked = [query["sql"].lstrip() for query in context if "ossn_messaging_block" in query["sql"]]
    assert len(asked) == 2
    assert "auth_user" in asked[0]
    assert asked[1].startswith("INSERT INTO")


def test_a_refusal_asks_as_much_whoever_has_blocked(api: API) -> None:
    api.ok()
    costs = []
    for pair in permutations((api.sender, api.recipient)):
        Block.objects.block(*pair)
        with CaptureQueriesContext(connection) as context:
            assert api.fails("200", attachment=upload("dummy.pdf")) == REFUSED
        costs.append(len(context))
        Block.objects.unblock(*pair)
    assert costs[0] == costs[1]


def test_the_list_costs_the_same_however_many_are_blocked(api: API) -> None:
    api.ok()
    costs = []
    for number in range(4):
        with CaptureQueriesContext(connection) as context:
            blocklist(api, api.sender)
        costs.append(len(context))
        block(api, api.sender, User.objects.create_user(f"user {number}"))
    assert len(set(costs)) == 1


def test_a_long_list_ends_with_the_last_ones(api: API, stranger: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MAX_BLOCKED_USERS", 1)
    for other in (api.recipient, stranger):
        block(api, api.sender, other)
    assert [one["guid"] for one in blocklist(api, api.sender)] == [stranger.pk]


@pytest.mark.parametrize("blank", [{}, {"value": ""}, {"value": " "}, {"value": "0"}])
def test_a_number_that_is_missing(api: API, blank: dict[str, str]) -> None:
    def missing(**parameters: Any) -> dict[str, Any]:
        (name,) = (name for name, value in parameters.items() if value is None)
        return parameters | ({name: blank["value"]} if blank else {})

    def ask(path: str, **parameters: Any) -> tuple[str, str]:
        given = {name: value for name, value in missing(**parameters).items() if value is not None}
        return fails(api, path, **given)

    for path, whom in WHOM.items():
        blank_text = f"Either `{whom}` or `guid` is blank"
        assert ask(path, guid=api.sender.pk, **{whom: None}) == ("106", blank_text)
        assert ask(path, guid=None, **{whom: api.sender.pk}) == ("106", blank_text)
    assert ask(BLOCKLIST, guid=None) == ("106", "`guid` is blank")


@pytest.mark.parametrize("number", ["999999", "-1", "1.0", "abc", f"{2**64}"])
def test_a_user_who_is_unknown(api: API, number: str) -> None:
    unknown = ("103", "Either user not found")
    for path, whom in WHOM.items():
        assert fails(api, path, guid=api.sender.pk, **{whom: number}) == unknown
        assert fails(api, path, guid=number, **{whom: api.sender.pk}) == unknown
    assert fails(api, BLOCKLIST, guid=number) == unknown


def test_a_user_who_is_not_active(api: API) -> None:
    """They can be blocked, and do nothing themselves."""
    User.objects.filter(pk=api.recipient.pk).update(is_active=False)
    block(api, api.sender, api.recipient)
    assert [one["guid"] for one in blocklist(api, api.sender)] == [api.recipient.pk]
    unblock(api, api.sender, api.recipient)
    for path, whom in WHOM.items():
        assert fails(api, path, guid=api.recipient.pk, **{whom: api.sender.pk})[0] == "103"
    assert fails(api, BLOCKLIST, guid=api.recipient.pk)[0] == "103"


def test_nobody_blocks_themselves(api: API) -> None:
    parameters = {"guid": api.sender.pk, "to_block_guid": f" 0{api.sender.pk} "}
    assert fails(api, BLOCK, **parameters) == ("200", "User block failed: nobody can block themselves")
    unblock(api, api.sender, api.sender)
    assert not Block.objects.exists()


def test_what_a_key_may_do(api: API, stranger: User) -> None:
    def with_key(**options: Any) -> API:
        return API(Client(), APIKey.objects.create_key("narrow", **options)[1], api.sender, api.recipient)

    reader, writer, bound = with_key(scopes=["read"]), with_key(scopes=["send"]), with_key(users=[stranger])
    assert blocklist(reader, api.sender) is False
    for path, whom in WHOM.items():
        parameters: dict[str, Any] = {"guid": api.sender.pk, whom: api.recipient.pk}
        name = path.rpartition("/")[2]
        code, text = fails(reader, path, **parameters)
        assert (code, text) == ("200", f"User {name} failed: the API key does not have the scope `send`")
        assert writer.told(path, **parameters) == {"success": True}
        assert "act as" in fails(bound, path, **parameters)[1]
        assert bound.told(path, **{"guid": stranger.pk, whom: api.sender.pk}) == {"success": True}
    assert "scope `read`" in fails(writer, BLOCKLIST, guid=api.sender.pk)[1]
    assert "act as" in fails(bound, BLOCKLIST, guid=api.sender.pk)[1]
    assert fails(api, BLOCKLIST, api_key_token="wrong", guid=api.sender.pk)[0] == "106"


def test_the_doors_are_those_of_the_other_endpoints(api: API, settings: Settings) -> None:
    parameters = {"guid": api.sender.pk, "to_block_guid": api.recipient.pk, "to_unblock_guid": api.recipient.pk}
    for path in (BLOCK, UNBLOCK, BLOCKLIST):
        for end in ("", "/"):
            assert api.told(f"{path}{end}", get=True, **parameters)
        for method in ("put", "head"):
            assert getattr(api.client, method)(f"/api/{path}").status_code == 405
    assert not Block.objects.exists()
    query = urlencode({"api_key_token": api.key, **parameters})
    assert api.client.options(f"/api/{BLOCK}?{query}").content == b""
    assert not Block.objects.exists()
    settings.OSSN_MESSAGING = {"ALLOW_GET": False, "THROTTLE_RATES": {"sender": "1/day"}}
    assert api.ask(BLOCK, get=True, status=405, **parameters)["code"] == "101"
    block(api, api.sender, api.recipient)
    assert api.ask(BLOCKLIST, status=429, **parameters)["code"] == "200"
    settings.OSSN_MESSAGING = {"ENABLED": False}
    assert fails(api, BLOCKLIST, **parameters)[0] == "201"


@pytest.mark.parametrize(
    "path", ["v2.0/user", "v2.0/user/", "v2.0/user/details", "v2.0/user/block/x", "v1.0/user_block", "v1.0/user/block"]
)
def test_nothing_else_of_users_is_the_apps(api: API, path: str) -> None:
    assert api.client.get(f"/api/{path}").status_code == 404
