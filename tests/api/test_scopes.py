"""What a key may do and whom it may act as, and how it ends."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import ProtectedError
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from ossn_messaging.exceptions import ScopeMissing, UserNotPermitted
from ossn_messaging.models import APIKey, Message
from ossn_messaging.models.api_keys import USE_INTERVAL
from tests.support.api import API, fetch, upload


def with_key(api: API, key: str) -> API:
    return API(Client(), key, api.sender, api.recipient)


def test_a_key_without_the_scope_to_send(api: API) -> None:
    reader = with_key(api, APIKey.objects.create_key("reader", scopes=["read"])[1])
    assert reader.fails("200") == "Message send failed: the API key does not have the scope `send`"
    assert not Message.objects.exists()


def test_a_key_for_some_users(api: API, stranger: User) -> None:
    bound = with_key(api, APIKey.objects.create_key("bound", users=[api.sender, stranger])[1])
    bound.ok()
    bound.ok(from_=stranger.pk)
    text = bound.fails("200", from_=api.recipient.pk, to=api.sender.pk)
    assert text == "Message send failed: the API key may not act as this user"
    assert Message.objects.count() == 2


def test_a_key_that_was_revoked_meanwhile_stays_so_when_it_is_restricted(api: API, sender: User) -> None:
    api_key, key = APIKey.objects.create_key("known since before")
    APIKey.objects.filter(pk=api_key.pk).revoke()
    api_key.restrict_to([sender])
    assert APIKey.objects.find(key) is None


def test_the_refusals_have_http_statuses(api: API, stranger: User, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"HTTP_STATUS": "rest"}
    for options in ({"scopes": ["read"]}, {"users": [stranger]}):
        with_key(api, APIKey.objects.create_key("narrow", **options)[1]).send(status=403)


def test_the_order_of_checks(api: API, stranger: User) -> None:
    """The sixth check comes after the others."""
    narrow = with_key(api, APIKey.objects.create_key("narrow", scopes=[], users=[stranger])[1])
    narrow.fails("106", message=" ")
    narrow.fails("103", to="999")
    assert "the same user" in narrow.fails("200", to=api.sender.pk)
    assert "scope" in narrow.fails("200")


def test_the_sites_own_code_is_told_too(sender: User, recipient: User, stranger: User) -> None:
    reader, _key = APIKey.objects.create_key("reader", scopes=["read"])
    other, _key = APIKey.objects.create_key("other", users=[stranger])
    for api_key, error in ((reader, ScopeMissing), (other, UserNotPermitted)):
        with pytest.raises(error):
            Message.objects.send(sender=sender, recipient=recipient, text="x", api_key=api_key)


def test_a_key_whose_users_are_gone_acts_as_nobody(api: API, stranger: User) -> None:
    """And not as anyone, though its list is empty."""
    api_key, key = APIKey.objects.create_key("bound", users=[stranger])
    stranger.delete()
    assert not api_key.users.exists()
    assert "act as" in with_key(api, key).fails("200")
    api_key.refresh_from_db()
    assert "act as" in with_key(api, api_key.rotate(timedelta())[1]).fails("200")
    for one in APIKey.objects.filter(name="bound"):
        one.restrict_to([])
    APIKey.objects.update(expires_at=None)
    with_key(api, key).ok()


def test_files_are_read_by_keys_that_may(api: API, stranger: User) -> None:
    url = api.ok(attachment=upload("dummy.pdf"))["attachment_url"].partition("?")[0]

    def status(**options: Any) -> int:
        _api_key, key = APIKey.objects.create_key("reader", **options)
        response, _body = fetch(Client(), url, headers={"Authorization": f"Api-Key {key}"})
        return int(response.status_code)

    assert status(scopes=["send"]) == 404
    assert status(scopes=["read"]) == 200
    assert status(users=[stranger]) == 404
    assert status(users=[stranger, api.recipient]) == 200
    assert status(users=[api.sender]) == 200
    Message.objects.update(deleted_by_sender=True)
    assert status(users=[api.sender]) == 404
    assert status(users=[api.sender, api.recipient]) == 200


@pytest.mark.django_db
def test_a_scope_that_there_is_not() -> None:
    with pytest.raises(ValueError, match=r"^The scopes are send, read\.$"):
        APIKey.objects.create_key("x", scopes=["send", "delete"])


def test_a_message_knows_its_key(api: API, sender: User, recipient: User) -> None:
    api.ok()
    message = Message.objects.get()
    assert message.api_key == APIKey.objects.get()
    assert Message.objects.send(sender=sender, recipient=recipient, text="x").api_key is None
    with pytest.raises(ProtectedError):
        APIKey.objects.all().delete()


def test_rotation(api: API, stranger: User) -> None:
    first, old = APIKey.objects.create_key("phone", scopes=["send"], users=[api.sender, stranger])
    second, new = first.rotate(timedelta(days=7))
    assert (second.name, second.scopes, set(second.users.all())) == ("phone", ["send"], {api.sender, stranger})
    assert second.expires_at is None
    for key in (old, new):
        with_key(api, key).ok()
    assert first.expires_at is not None
    assert timedelta(days=6, hours=23) < first.expires_at - timezone.now() <= timedelta(days=7)
    APIKey.objects.filter(pk=first.pk).update(expires_at=timezone.now())
    with_key(api, old).fails("106")
    with_key(api, new).ok()


def test_rotation_gives_what_the_key_may_do_now(api: API, stranger: User) -> None:
    """And not what it could when it was read."""
    api_key, _key = APIKey.objects.create_key("phone")
    narrowed = APIKey.objects.get(pk=api_key.pk)
    narrowed.scopes = ["read"]
    narrowed.save()
    narrowed.restrict_to([stranger])
    stranger.delete()
    made, new = api_key.rotate(timedelta(days=1))
    assert (made.scopes, made.is_restricted) == (["read"], True)
    assert "scope" in with_key(api, new).fails("200")


def test_rotation_lengthens_no_life(api: API) -> None:
    soon = timezone.now() + timedelta(hours=1)
    first, _key = APIKey.objects.create_key("phone", expires_at=soon)
    second, _key = first.rotate(timedelta(days=7))
    assert first.expires_at == second.expires_at == soon


def test_a_key_for_anyone_stays_one_when_it_is_rotated(api: API) -> None:
    made, new = APIKey.objects.create_key("phone")[0].rotate(timedelta())
    assert not made.is_restricted
    with_key(api, new).ok()


@pytest.mark.django_db
def test_a_key_that_is_not_active_is_not_rotated() -> None:
    api_key, _key = APIKey.objects.create_key("phone")
    api_key.revoke()
    with pytest.raises(ValueError, match=r"^The key is revoked or expired\.$"):
        api_key.rotate(timedelta(days=7))
    assert APIKey.objects.count() == 1


def test_the_last_use_is_written_once_in_a_while(api: API) -> None:
    def updates() -> int:
        with CaptureQueriesContext(connection) as context:
            api.ok()
        return sum(query["sql"].startswith("UPDATE") and "last_used_at" in query["sql"] for query in context)

    before = timezone.now()
    assert [updates(), updates(), updates()] == [1, 0, 0]
    used = APIKey.objects.get().last_used_at
    assert used is not None
    assert before <= used <= timezone.now()
    APIKey.objects.update(last_used_at=used - USE_INTERVAL)
    assert [updates(), updates()] == [1, 0]


@pytest.mark.parametrize(
    ("since", "written"), [(USE_INTERVAL, True), (USE_INTERVAL - timedelta(microseconds=1), False)]
)
def test_a_use_is_written_as_soon_as_the_last_one_is_old(
    key: str, monkeypatch: pytest.MonkeyPatch, since: timedelta, written: bool
) -> None:
    now = timezone.now()
    monkeypatch.setattr("django.utils.timezone.now", lambda: now)
    APIKey.objects.update(last_used_at=now - since)
    APIKey.objects.find(key)
    assert APIKey.objects.get().last_used_at == (now if written else now - since)


def test_of_several_servers_one_writes_the_last_use(key: str) -> None:
    """Those that read the row at the same time all ask for it; only one of the updates finds it old."""
    assert [APIKey.objects.touch() for _ in range(2)] == [1, 0]


def test_a_wrong_key_is_not_used(api: API) -> None:
    api.fails("106", api_key_token="wrong")
    assert APIKey.objects.get().last_used_at is None
