"""What reading and deleting cost the database, and that it is the same however much there is."""

from collections.abc import Callable, Iterable
from itertools import permutations
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from ossn_messaging.models import APIKey, Conversation, Message, UpdateFeed
from tests.models.test_messages import send
from tests.support.api import API, upload

Fill = Callable[[int], list[Message]]

KEY, USERS, SIDE, PAGE = 1, 1, 1, 1
"""The queries that look for the key, the user, the kept counts (with the users), and the messages with their files."""
BEGIN, HOLD, MARK = 1, 1, 2
"""Those that begin a transaction with its end, lock a row, and mark what is viewed."""
COSTS = {
    "v2.0/message/list": KEY + SIDE + PAGE,
    "v1.0/message_list": KEY + SIDE + PAGE,
    "v2.0/message/list, offset": KEY + SIDE + PAGE,
    "v2.0/message/list, before": KEY + SIDE + 1 + PAGE,
    "v2.0/message/list, after": KEY + SIDE + 1 + PAGE,
    "v2.0/message/list, markallread": KEY + SIDE + PAGE + BEGIN + HOLD + MARK,
    "v2.0/message/new": KEY + SIDE + PAGE,
    "v2.0/message/new, markallread": KEY + SIDE + PAGE + BEGIN + HOLD + MARK,
    "v2.0/message/recent": KEY + SIDE + PAGE,
    "v1.0/message_recent": KEY + SIDE + PAGE,
    "v2.0/message/unread": KEY + USERS + SIDE,
}


def queries(api: API, path: str, **parameters: Any) -> list[str]:
    with CaptureQueriesContext(connection) as context:
        api.told(path, **parameters)
    return [query["sql"] for query in context if query["sql"] != "COMMIT"]


@pytest.fixture
def fill(api: API, stranger: User) -> Fill:
    """Let everybody send to everybody, so many times; returns what the first two have sent each other."""
    everyone = [api.sender, api.recipient, stranger, User.objects.create_user("fourth")]

    def fill(times: int) -> list[Message]:
        sent = [
            send(user, other, upload=upload("dummy.pdf") if turn % 3 == 0 else None)
            for turn in range(times)
            for user, other in permutations(everyone, 2)
        ]
        return [message for message in sent if {message.sender, message.recipient} == set(everyone[:2])]

    return fill


@pytest.mark.parametrize("name", COSTS)
def test_reading_costs_the_same_however_much_there_is(api: API, fill: Fill, name: str) -> None:
    api.ok()
    path, _comma, option = name.partition(", ")
    users = {"to": api.sender.pk, "from_": api.recipient.pk}
    if "new" not in path:
        users = {"guid": api.sender.pk, "to": api.recipient.pk}
    for times in (8, 16):
        sent = fill(times)
        options = {"offset": 2, "before": sent[-1].pk, "after": sent[0].pk, "markallread": 1}
        asked = queries(api, path, **users, **({option: options[option]} if option else {}))
        assert len(asked) == COSTS[name], "\n".join(asked)
        assert not any("OFFSET" in sql for sql in asked)
        counting = [sql for sql in asked if "COUNT(" in sql and '_message"' in sql.replace("`", '"')]
        assert all("sequence" in sql for sql in counting), "only what came since is counted"


@pytest.mark.parametrize(
    ("find", "cost"),
    [
        (Conversation.objects.for_user, SIDE),
        (Conversation.objects.recent, SIDE + PAGE),
        (lambda user: Conversation.objects.recent(user, 2, size=1), 1 + SIDE + PAGE),
        (lambda user: Conversation.objects.recent(user, with_others=False), SIDE + PAGE + 3 * USERS),
    ],
    ids=["of", "recent", "recent, the second page", "recent, without the others"],
)
def test_the_others_come_with_their_conversations(
    fill: Fill,
    sender: User,
    find: Callable[[User], Iterable[Conversation]],
    cost: int,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    """Unless their ids are said to be enough."""
    fill(1)
    with django_assert_num_queries(cost):
        for side in find(sender):
            assert side.other_user != sender


@pytest.mark.parametrize(("whose", "cost"), [("me", 13), ("all", 12)])
def test_deleting_costs_the_same_however_much_there_is(api: API, fill: Fill, whose: str, cost: int) -> None:
    api.ok()
    for times in (4, 8):
        messages = [m for m in fill(times) if m.sender == api.sender and hasattr(m, "attachment")]
        for message in (messages[0], messages[-1]):
            asked = queries(api, "v2.0/message/delete", id=message.pk, guid=api.sender.pk, for_=whose)
            assert len(asked) == cost, "\n".join(asked)


PLANS: dict[str, tuple[Callable[[Conversation], object], set[str]]] = {
    "a page": (lambda side: side.page(2), {"ossn_message_sent", "ossn_message_received"}),
    "a page after a message": (
        lambda side: Message.objects.page_from(side.user_id, side.other_user_id, 2, size=10),
        {"ossn_message_sent", "ossn_message_received"},
    ),
    "updates": (
        lambda side: UpdateFeed.objects.state(side.user_id),
        {"ossn_conversation_new", "ossn_conversation_read"},
    ),
    "unread messages": (lambda side: side.unread_messages(), {"ossn_message_received"}),
    "recent conversations": (
        lambda side: Conversation.objects.recent(side.user),
        {"ossn_conversation_recent", "ossn_message_sent", "ossn_message_received"},
    ),
    "unread counts": (lambda side: Conversation.objects.unread(side.user), {"ossn_conversation_unread"}),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_page_is_one_range_of_an_index(fill: Fill, sender: User, recipient: User, name: str) -> None:
    """What makes it cost the same whatever the size of the table: no other row is looked at, and none is sorted."""
    read, indexes = PLANS[name]
    UpdateFeed.objects.create(user=sender)
    fill(20)
    side = Conversation.objects.select_related("user").get(user=sender, other_user=recipient)
    with CaptureQueriesContext(connection) as context:
        read(side)
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Of so small a table, the planner would rather read and sort all.
            for way in ("seqscan", "bitmapscan", "sort"):
                cursor.execute(f"SET LOCAL enable_{way} = off")
        cursor.execute(f"{connection.ops.explain_query_prefix()} {context[0]['sql']}")
        steps = [" ".join(map(str, row)) for row in cursor]
    plan = "\n".join(steps)
    assert {index for index in indexes if index in plan} == indexes, plan
    # MariaDB may sort so few rows, and cannot be told not to.
    assert not any(word in step for step in steps for word in ("Sort  (", "TEMP B-TREE")), plan


@pytest.mark.parametrize("narrow", [{"scopes": ["send"]}, {"users": ["stranger"]}])
@pytest.mark.parametrize("path", ["v2.0/message/list", "v2.0/message/new", "v2.0/message/recent"])
def test_a_refusal_costs_the_same_whether_they_write_to_each_other(
    api: API, stranger: User, path: str, narrow: dict[str, Any]
) -> None:
    """Whoever may not read what two others write can't tell by the time whether they do."""
    key = APIKey.objects.create_key("narrow", **({"users": [stranger]} if "users" in narrow else narrow))
    users = {"guid": api.sender.pk, "to": api.recipient.pk}
    if "new" in path:
        users = {"to": api.sender.pk, "from_": api.recipient.pk}
    asked = []
    for _ in range(3):  # the first notes the key's use, the last comes upon a conversation
        with CaptureQueriesContext(connection) as context:
            assert api.ask(path, **users, api_key_token=key[1])["code"] == "200"
        asked.append([query["sql"] for query in context])
        if len(asked) == 2:
            api.ok()
    assert len(asked[1]) == len(asked[2])
