"""The search of messages in the admin: by e-mail address and for two users, and the way from a user to the messages."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from zeal import zeal_ignore

from ossn_messaging.admin.lists import USERS
from ossn_messaging.models import Message
from tests.admin.test_messages import LIST, link, listed, send
from tests.support.api import API, page, staff

PATH = "/admin/ossn_messaging/message/"


@pytest.fixture
def sent(api: API) -> Message:
    User.objects.filter(pk=api.sender.pk).update(email="Arsalan@example.com")
    User.objects.filter(pk=api.recipient.pk).update(email="test@example.com")
    return send(api.sender, api.recipient)


def conversation(one: User, other: User) -> str:
    return f"{PATH}conversation/{one.pk}/{other.pk}/"


@pytest.mark.parametrize("text", ["test@example.com", "Test@Example.com", "Arsalan@EXAMPLE.com", "Arsalan@example.com"])
def test_messages_are_found_by_the_email_address_of_a_user(sent: Message, moderator: Client, text: str) -> None:
    assert listed(moderator, f"q={text}") == [sent.pk]


def test_only_a_whole_email_address_is_searched(sent: Message, moderator: Client) -> None:
    for text in ("test@example", "@example.com", "example.com"):
        assert "There is no such user." in page(moderator, LIST, q=text)


def test_users_with_one_email_address_are_offered(sent: Message, moderator: Client, stranger: User) -> None:
    User.objects.filter(pk=stranger.pk).update(email="test@example.com")
    text = page(moderator, LIST, q="test@example.com")
    assert "Several users match:" in text
    assert listed(moderator, link(text, "testuser")) == [sent.pk]
    assert listed(moderator, link(text, "stranger")) == []


def test_two_users_lead_to_their_conversation(api: API, sent: Message, moderator: Client) -> None:
    for text in ("arsalanshah testuser", " arsalan  test ", "Arsalan@example.com test@example.com"):
        response = moderator.get(PATH, {"q": text})
        assert response["Location"] == conversation(api.sender, api.recipient), text
    response = moderator.get(PATH, {"q": "testuser arsalanshah"})
    assert response["Location"] == conversation(api.recipient, api.sender)


def test_several_pairs_of_users_are_offered(api: API, sent: Message, moderator: Client) -> None:
    namesake = User.objects.create_user("arsalan")
    text = page(moderator, LIST, q="arsala testuser")
    response = moderator.get(f"{PATH}?{link(text, 'arsalan testuser')}")
    assert response["Location"] == conversation(namesake, api.recipient)
    assert link(text, "arsalanshah testuser") == "q=arsalanshah+testuser"


@pytest.mark.parametrize("text", ["arsalanshah nobody", "arsalanshah arsalanshah", "arsalanshah testuser stranger"])
def test_no_two_users(sent: Message, moderator: Client, stranger: User, text: str) -> None:
    assert "There is no such user." in page(moderator, LIST, q=text)


def test_who_may_not_view_users_finds_no_one_by_their_email_address(api: API, sent: Message, stranger: User) -> None:
    clerk = staff("clerk", "view_message")
    for text in ("test@example.com", "arsalan test", "arsalanshah test@example.com", "arsalanshah stranger"):
        assert "There is no such user." in page(clerk, LIST, q=text)
    response = clerk.get(PATH, {"q": "arsalanshah testuser"})
    assert response["Location"] == conversation(api.sender, api.recipient)


def test_no_search_offers_more_users_than_a_page_can_show(
    sent: Message, moderator: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    User.objects.bulk_create(User(username=f"user{number}") for number in range(USERS * 2))
    for text in ("user", "user user", "user@example.com nobody@example.com"):
        with django_assert_max_num_queries(16):
            found = page(moderator, LIST, q=text).partition("Several users match:")[2].partition("</p>")[0]
        assert found.count("<a ") == (0 if "@" in text else USERS)


def test_an_action_is_no_search(sent: Message, moderator: Client) -> None:
    chosen = {"action": "delete_for_both", "_selected_action": [sent.pk]}
    assert "Yes, delete" in moderator.post(f"{PATH}?q=arsalanshah", chosen).content.decode()


def user_page(client: Client, user: User) -> str:
    with zeal_ignore():  # the admin gets the session's user, and then the user whose page it is
        response = client.get(f"/admin/auth/user/{user.pk}/change/")
    text: str = response.content.decode()
    return text


def test_the_page_of_a_user_leads_to_their_messages(api: API, sent: Message, moderator: Client) -> None:
    User.objects.filter(pk=api.sender.pk).update(username="a & b")
    found = re.search(rf'href="{PATH}\?([^"]+)"[^>]*>Messages</a>', user_page(moderator, api.sender))
    assert found
    assert listed(moderator, found[1]) == [sent.pk]
    assert "History" in user_page(moderator, api.sender)


def test_the_page_of_a_user_has_no_link_for_who_may_not_view_messages(api: API) -> None:
    text = user_page(staff("clerk", "view_user"), api.sender)
    assert "History" in text
    assert f"{PATH}?q=" not in text
