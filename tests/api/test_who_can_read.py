"""What somebody has who got hold of a key or of a URL, and for how long."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from ossn_messaging.models import APIKey
from tests.support.api import API, SEND, fetch, upload


@pytest.fixture
def url(api: API) -> str:
    """The signed URL of a file, which somebody else has come by."""
    signed: str = api.ok(attachment=upload("dummy.pdf"))["attachment_url"]
    return signed


def opens(url: str) -> bool:
    return bool(fetch(Client(), url)[0].status_code == 200)


def test_a_url_outlives_the_key_that_asked_for_it(api: API, url: str) -> None:
    APIKey.objects.get().revoke()
    api.fails("106")
    assert opens(url)


def test_a_url_ends_with_the_secret_key(url: str, settings: Settings) -> None:
    old = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [old]
    assert opens(url)
    settings.SECRET_KEY_FALLBACKS = []
    assert not opens(url)


def test_a_login_is_no_key(api: API, url: str) -> None:
    api.client.force_login(api.sender)
    api.fails("106", api_key_token=None)
    api.key = ""
    assert api.ask("v2.0/message/list", guid=api.sender.pk, to=api.recipient.pk)["code"] == "106"


def test_a_key_that_may_do_nothing_tells_who_is_a_user(api: API, stranger: User) -> None:
    api.key = APIKey.objects.create_key("narrow", scopes=[], users=[stranger])[1]
    api.fails("200")
    api.fails("103", to="999")


def test_a_key_of_one_user_shows_the_names_of_others(api: API, stranger: User) -> None:
    api.key = APIKey.objects.create_key("reader", ["read"], [stranger])[1]
    payload = api.told("v2.0/message/list", guid=stranger.pk, to=api.recipient.pk)
    assert payload["list"] is False
    assert payload["withuser"]["fullname"] == "Some Name"


def test_the_query_of_a_post_is_read_without_get_too(api: API, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"ALLOW_GET": False}
    given = api.fields()
    key = given.pop("api_key_token")
    assert api.read(api.client.get(SEND, api.fields()), 405)["code"] == "101"
    assert api.read(api.client.post(f"{SEND}?api_key_token={key}", given))["code"] == "100"
