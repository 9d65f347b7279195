"""How many messages wait for a member, in the site's own templates."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection
from django.http import HttpRequest
from django.template import engines
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries, Settings

from ossn_messaging.authentication import APIKeyUser
from ossn_messaging.models import APIKey, Message
from tests.support.api import API

TAG = "{% load ossn_messaging %}{% unread_count %}"
VARIABLE = "{{ ossn_unread.messages }}/{{ ossn_unread.conversations }}"


@pytest.fixture(autouse=True)
def processor(settings: Settings) -> None:
    (engine,) = settings.TEMPLATES
    processors = [*engine["OPTIONS"]["context_processors"], "ossn_messaging.context_processors.unread"]
    settings.TEMPLATES = [{**engine, "OPTIONS": {**engine["OPTIONS"], "context_processors": processors}}]


@pytest.fixture
def asked(sender: User, recipient: User, stranger: User) -> HttpRequest:
    """A request of a user with three unread messages in two conversations."""
    for one in (sender, sender, stranger):
        Message.objects.send(sender=one, recipient=recipient, text="Hello")
    return by(recipient)


def by(user: Any) -> HttpRequest:
    request = RequestFactory().get("/")
    request.user = user
    return request


def rendered(template: str, request: HttpRequest | None) -> str:
    text: str = engines["django"].from_string(template).render({}, request)
    return text


@pytest.mark.parametrize(
    ("template", "expected", "queries"),
    [
        (VARIABLE, "3/2", 1),
        ("{% if ossn_unread.messages %}some{% endif %}", "some", 1),
        (TAG, "3", 1),
        ("{% load ossn_messaging %}{% unread_count as count %}({{ count }})", "(3)", 1),
        (f"{VARIABLE} {TAG} {TAG} {VARIABLE}", "3/2 3 3 3/2", 1),
        ("{% load ossn_messaging %}none", "none", 0),
    ],
)
def test_one_query_where_it_is_used(
    asked: HttpRequest,
    template: str,
    expected: str,
    queries: int,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(queries):
        assert rendered(template, asked) == expected


def test_two_templates_of_one_request(asked: HttpRequest, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(1):
        assert [rendered(VARIABLE, asked), rendered(TAG, asked)] == ["3/2", "3"]


def test_nobody_is_logged_in(api: API) -> None:
    (api_key,) = APIKey.objects.all()
    with CaptureQueriesContext(connection) as queries:
        for user in (AnonymousUser(), APIKeyUser(api_key)):
            assert rendered(f"{VARIABLE} {TAG}", by(user)) == "0/0 0"
        assert rendered(f"{VARIABLE} {TAG}", RequestFactory().get("/")) == "0/0 0"
        assert rendered(f"{VARIABLE} {TAG}", None) == "/ 0"
    assert not queries.captured_queries


def test_the_session_is_not_read_where_it_is_not_used(asked: HttpRequest) -> None:
    class Session:
        def __bool__(self) -> bool:
            raise AssertionError

    asked.user = Session()  # type: ignore[assignment]
    assert rendered("none", asked) == "none"
