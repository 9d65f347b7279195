"""The messages between two users, as a moderator sees them."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from ossn_messaging.models import Conversation, Message
from tests.admin.test_messages import link, send
from tests.support.api import API, page, staff, upload


def shown(text: str) -> list[int]:
    """Return the ids of the messages on a page, in its order."""
    return [int(found) for found in re.findall(r'<li id="message-(\d+)"', text)]


def path(one: User, other: User, query: str = "") -> str:
    return f"message/conversation/{one.pk}/{other.pk}/?{query}"


@pytest.fixture
def pages_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ossn_messaging.admin.conversation_view.SIZE", 4)
    monkeypatch.setattr("ossn_messaging.admin.conversation_view.AFTER", 2)


@pytest.fixture
def conversation(api: API, stranger: User) -> list[int]:
    """The ids of ten messages, oldest first, among others."""
    ids = []
    for number in range(10):
        sender, recipient = (api.recipient, api.sender) if number % 3 == 0 else (api.sender, api.recipient)
        ids.append(send(sender, recipient, f"number {number}").pk)
        send(stranger, sender)
    return ids


def test_the_newest_messages_are_at_the_bottom(
    api: API, conversation: list[int], moderator: Client, pages_of_four: None
) -> None:
    text = page(moderator, path(api.sender, api.recipient))
    assert "<title>arsalanshah and testuser" in text
    pages = [shown(text)]
    assert not link(text, "Newer")
    while older := link(text, "Older"):
        text = page(moderator, path(api.sender, api.recipient, older))
        pages.append(shown(text))
    assert pages == [conversation[6:], conversation[2:6], conversation[:2]]
    pages = [shown(text)]
    while newer := link(text, "Newer"):
        text = page(moderator, path(api.recipient, api.sender, newer))
        pages.append(shown(text))
        assert link(text, "Older")
    assert pages == [conversation[:2], conversation[2:6], conversation[6:]]


@pytest.mark.parametrize(
    ("query", "label", "expected"), [("before=1", "Newer", slice(4)), ("after=99", "Older", slice(6, 10))]
)
def test_a_page_beyond_the_end_leads_back(
    api: API,
    conversation: list[int],
    moderator: Client,
    pages_of_four: None,
    query: str,
    label: str,
    expected: slice,
) -> None:
    text = page(moderator, path(api.sender, api.recipient, query))
    assert "There are no messages here." in text
    (found,) = [link(text, name) for name in ("Newer", "Older") if link(text, name)]
    assert found == link(text, label)
    assert shown(page(moderator, path(api.sender, api.recipient, found))) == conversation[expected]


def test_the_first_page_leads_to_nothing_older(
    api: API, conversation: list[int], moderator: Client, pages_of_four: None
) -> None:
    text = page(moderator, path(api.sender, api.recipient, "after=0"))
    assert shown(text) == conversation[:4]
    assert not link(text, "Older")
    assert link(text, "Newer")


def test_every_message_leads_to_the_page_that_it_is_on(
    api: API, conversation: list[int], moderator: Client, pages_of_four: None
) -> None:
    for number, expected in ((0, conversation[:3]), (5, conversation[4:8]), (9, conversation[6:])):
        message = conversation[number]
        for start in (f"message/?q={message}", f"message/{message}/change/"):
            found = re.search(
                r'href="(/admin/ossn_messaging/(message/conversation/[^"]*)#message-(\d+))"', page(moderator, start)
            )
            assert found
            assert int(found[3]) == message
            assert shown(page(moderator, found[2])) == expected


def test_what_one_side_has_deleted_is_there_and_marked(api: API, conversation: list[int], moderator: Client) -> None:
    everything = Message.objects.filter(pk__in=conversation)
    everything.delete_for(api.sender)
    everything.filter(pk=conversation[1]).delete_for_both()
    text = page(moderator, path(api.sender, api.recipient))
    assert shown(text) == conversation
    assert text.count("deleted by its sender") == 6 - 1
    assert text.count("deleted by its recipient") == 4
    assert text.count("deleted for both users") == 1
    assert "number 2" in text
    assert "number 1<" not in text
    Message.objects.filter(pk=conversation[9]).delete_for(api.recipient)
    assert shown(page(moderator, path(api.sender, api.recipient))) == conversation[:9]


def test_pictures_are_shown_and_files_are_links(api: API, moderator: Client) -> None:
    send(api.sender, api.recipient, "<script>", upload=upload("photo.png"))
    send(api.sender, api.recipient, upload=upload("dummy.pdf"))
    Conversation.objects.between(api.recipient, api.sender).mark_read()
    send(api.sender, api.recipient)
    text = page(moderator, path(api.sender, api.recipient))
    assert 'alt="photo.png"' in text
    assert re.search(r'<a href="/messages/attachment/\d+/dummy.pdf">', text)
    assert "&lt;script&gt;" in text
    assert len(re.findall(">read<", text)) == 2
    assert len(re.findall(">not read<", text)) == 1


def test_a_page_costs_the_same_for_every_length(
    api: API, conversation: list[int], pages_of_four: None, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    clerk = staff("clerk", "view_message", "read_message")
    for query in ("", "before=7", "after=3"):
        with django_assert_max_num_queries(12):
            page(clerk, path(api.sender, api.recipient, query))


def test_users_without_messages_and_no_users(api: API, moderator: Client, stranger: User) -> None:
    for query in ("", "before=1", "after=1"):
        text = page(moderator, path(api.sender, stranger, query))
        assert "There are no messages here." in text
        assert not link(text, "Newer")
        assert not link(text, "Older")
    for one, other in ((stranger.pk, stranger.pk), (stranger.pk, 10**12), (10**30, stranger.pk)):
        assert moderator.get(f"/admin/ossn_messaging/message/conversation/{one}/{other}/").status_code == 404


def test_who_may_not_view_messages_sees_no_conversation(api: API) -> None:
    for permission in ("view_apikey", "read_message"):
        response = staff(permission, permission).get(f"/admin/ossn_messaging/{path(api.sender, api.recipient)}")
        assert response.status_code == 403


def test_who_may_not_view_users_is_told_no_names_by_their_ids(api: API, stranger: User) -> None:
    Message.objects.filter(pk=api.ok()["id"]).delete_for_both()
    for permission, status in (("read_message", 404), ("view_user", 200)):
        clerk = staff(permission, "view_message", permission)
        assert clerk.get(f"/admin/ossn_messaging/{path(api.sender, stranger)}").status_code == status
        assert "arsalanshah" in page(clerk, path(api.sender, api.recipient))
