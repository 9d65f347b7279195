"""How often the API may be used."""

import os
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from redis import Redis
from redis.exceptions import ConnectionError as NoRedis

from ossn_messaging.models import APIKey, Message
from tests.conftest import API, fetch, upload
from tests.servers import absent

REDIS = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")


@pytest.fixture(params=["memory", "redis"], autouse=True)
def site_cache(request: pytest.FixtureRequest, settings: Settings) -> Iterator[None]:
    """Let the site have a cache, of this process or shared by several servers, that is empty."""
    if request.param == "redis":
        try:
            Redis.from_url(REDIS).ping()
        except NoRedis:
            absent("Redis")
        backend = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS}
    else:
        backend = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": str(uuid.uuid4())}
    settings.CACHES = {"default": {**backend, "KEY_PREFIX": str(uuid.uuid4())}}
    yield
    cache.close()


def limit(settings: Settings, **rates: str) -> None:
    settings.OSSN_MESSAGING = {"THROTTLE_RATES": rates}


def is_refused(api: API, **changes: Any) -> bool:
    response = api.client.post("/api/v2.0/message/send", api.fields(**changes))
    if response.status_code != 429:
        return False
    answer = api.read(response, 429)
    assert answer["code"] == "200"
    assert "too many requests" in answer["message"]
    assert 0 < int(response["Retry-After"]) <= 60
    return True


@pytest.mark.sends
def test_nothing_is_limited_unless_the_site_says_so(api: API) -> None:
    assert not any(is_refused(api) for _ in range(20))


def test_each_key(api: API, settings: Settings) -> None:
    limit(settings, key="2/min")
    other = API(Client(), APIKey.objects.create_key("another")[1], api.sender, api.recipient)
    assert [is_refused(api) for _ in range(3)] == [False, False, True]
    assert not is_refused(other)
    assert Message.objects.count() == 3


def test_each_sender_whatever_the_key(api: API, stranger: User, settings: Settings) -> None:
    limit(settings, sender="2/min")
    other = API(Client(), APIKey.objects.create_key("another")[1], api.sender, api.recipient)
    assert [is_refused(one) for one in (api, other, api, other)] == [False, False, True, True]
    assert is_refused(api, from_=f" 00{api.sender.pk} "), "the same user in other words"
    assert not is_refused(api, from_=str(stranger.pk))


@pytest.mark.parametrize("named", ["", "x", "0", "٣"])
def test_no_sender_is_not_limited(api: API, settings: Settings, named: str) -> None:
    limit(settings, sender="1/min")
    assert not any(is_refused(api, from_=named) for _ in range(3))


def test_a_limit_passes(api: API, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(settings, key="1/min")
    assert [is_refused(api), is_refused(api)] == [False, True]
    now = time.time()
    monkeypatch.setattr("ossn_messaging.throttles.RateThrottle.timer", staticmethod(lambda: now + 61))
    assert not is_refused(api)


def test_wrong_keys_of_an_address(api: API, settings: Settings) -> None:
    """Once there were too many, none is looked for any more."""
    limit(settings, wrong_key="2/min")
    wrong = {"api_key_token": "wrong"}
    assert [is_refused(api, **wrong) for _ in range(2)] == [False, False]
    with CaptureQueriesContext(connection) as context:
        assert is_refused(api, **wrong)
        assert is_refused(api), "it may be a guess"
    assert context.captured_queries == []
    elsewhere = Client(REMOTE_ADDR="192.0.2.1")
    assert not is_refused(API(elsewhere, api.key, api.sender, api.recipient))


@pytest.mark.sends
def test_right_and_missing_keys_are_not_counted(api: API, settings: Settings) -> None:
    limit(settings, wrong_key="1/min")
    assert not any(is_refused(api) for _ in range(3))
    assert not any(is_refused(api, api_key_token=None) for _ in range(3))


def test_wrong_keys_for_files_count_too(api: API, settings: Settings) -> None:
    limit(settings, wrong_key="2/min")
    path = api.ok(attachment=upload("dummy.pdf"))["attachment_url"].partition("?")[0]
    for status in (404, 404, 429):
        api.read(api.client.get(f"{path}?api_key_token=wrong"), status)


def test_wrong_keys_for_the_sites_own_views_count_too(api: API, settings: Settings) -> None:
    limit(settings, wrong_key="1/min")
    statuses = [api.client.get("/whoami?api_key_token=wrong").status_code for _ in range(2)]
    assert statuses == [401, 429]


@pytest.mark.parametrize(
    ("proxies", "forwarded", "same"),
    [
        (0, ("192.0.2.1", "192.0.2.2"), True),  # the header is anybody's
        (1, ("192.0.2.1", "192.0.2.2"), False),
        (1, ("192.0.2.9, 192.0.2.1", "192.0.2.8, 192.0.2.1"), True),  # only the last is the proxy's own
        (2, ("192.0.2.1, 10.0.0.1", "192.0.2.1, 10.0.0.2"), True),
        (1, ("", ""), True),
    ],
)
def test_the_address_of_a_client(
    api: API, settings: Settings, proxies: int, forwarded: tuple[str, str], same: bool
) -> None:
    settings.OSSN_MESSAGING = {"THROTTLE_RATES": {"wrong_key": "1/min"}, "NUM_PROXIES": proxies}
    refused = []
    for header in forwarded:
        api.client = Client(headers={"X-Forwarded-For": header} if header else {})
        refused.append(is_refused(api, api_key_token="wrong"))
    assert refused == [False, same]


def test_what_one_limit_refuses_does_not_count_for_the_next(api: API, settings: Settings) -> None:
    limit(settings, key="1/min", sender="2/min")
    other = API(Client(), APIKey.objects.create_key("another")[1], api.sender, api.recipient)
    assert [is_refused(one) for one in (api, api, api, other)] == [False, True, True, False]


def test_nobody_uses_up_the_limit_of_a_user_it_may_not_act_as(api: API, stranger: User, settings: Settings) -> None:
    limit(settings, sender="1/min")
    bound = API(Client(), APIKey.objects.create_key("bound", users=[stranger])[1], api.sender, api.recipient)
    assert not any(is_refused(bound) for _ in range(3))
    assert not any(is_refused(api, from_="9" * 300) for _ in range(3))
    assert not is_refused(api)


def test_downloads_and_what_can_not_be_read_count_for_the_key(api: API, settings: Settings) -> None:
    path = api.ok(attachment=upload("dummy.pdf"))["attachment_url"].partition("?")[0]
    limit(settings, key="2/min")
    headers = {"Authorization": f"Api-Key {api.key}"}
    broken: dict[str, Any] = {"data": b"{", "content_type": "application/json", "headers": headers}
    assert fetch(api.client, path, headers=headers)[0].status_code == 200
    assert api.client.post("/api/v2.0/message/send", **broken).status_code == 200
    for response in (api.client.get(path, headers=headers), api.client.post("/api/v2.0/message/send", **broken)):
        api.read(response, 429)


def test_a_cache_that_fails(api: API, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("the cache is gone")

    limit(settings, key="10/min")
    monkeypatch.setattr(type(cache._connections[cache._alias]), "get", fail)  # type: ignore[attr-defined]
    assert api.send(status=503)["code"] == "200"
    assert not Message.objects.exists()


def test_a_limit_that_was_lowered(api: API, settings: Settings) -> None:
    limit(settings, key="5/min")
    assert not any(is_refused(api) for _ in range(3))
    limit(settings, key="2/min")
    assert is_refused(api), "with a Retry-After above 0"


def test_servers_share_a_limit_by_their_cache(api: API, settings: Settings, request: pytest.FixtureRequest) -> None:
    """As another server would: with nothing in common but the cache."""
    limit(settings, key="1/min")
    assert not is_refused(api)
    configured = settings.CACHES
    settings.CACHES = {"default": {**configured["default"]}}
    shared = configured["default"]["BACKEND"].endswith("RedisCache")
    if not shared:
        settings.CACHES["default"]["LOCATION"] = "another process"
    assert is_refused(api) == shared
