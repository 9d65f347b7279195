"""How often the API may be used."""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from redis import Redis
from redis.exceptions import ConnectionError as NoRedis
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request

from ossn_messaging import throttling
from ossn_messaging.authentication import APIKeyAuthentication
from ossn_messaging.exceptions import ServiceUnavailable
from ossn_messaging.models import APIKey, Message
from ossn_messaging.models.api_keys import APIKeyManager
from tests.conftest import API, SEND, fetch, upload
from tests.servers import SECONDS, absent
from tests.site import broken

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


class Clock:
    """Stands still, so that no window ends within a test."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("ossn_messaging.throttling.RateThrottle.timer", clock)
    return clock


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


@pytest.mark.parametrize(("rate", "wait"), [("1/sec", 1), ("1/min", 20), ("1/hour", 800), ("1/day", 36_800)])
def test_a_limit_holds_until_its_window_ends(api: API, settings: Settings, clock: Clock, rate: str, wait: int) -> None:
    limit(settings, key=rate)
    assert api.client.post(SEND, api.fields()).status_code == 200
    refused = api.client.post(SEND, api.fields())
    assert (refused.status_code, refused["Retry-After"]) == (429, str(wait))
    clock.now += wait - 0.5
    assert api.client.post(SEND, api.fields())["Retry-After"] == "1"
    clock.now += 0.5
    assert api.client.post(SEND, api.fields()).status_code == 200


def test_a_count_is_kept_as_long_as_its_window(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caches that count by reading and writing would keep it for the timeout of the site's cache."""
    backend = "django.core.cache.backends.filebased.FileBasedCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": str(tmp_path), "TIMEOUT": 1}}
    limit(settings, key="2/day")
    throttle, now = throttling.KeyThrottle(), time.time()
    for count in (1, 2, 3):
        monkeypatch.setattr("django.core.cache.backends.filebased.time.time", lambda count=count: now + 60 * count)
        assert throttle.increment("count") == count


@pytest.mark.sends
def test_a_cache_that_keeps_nothing_limits_nothing(api: API, settings: Settings) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    limit(settings, key="1/min", sender="1/min", failed_auth="1/min")
    assert not any(is_refused(api) for _ in range(3))


def test_a_cache_that_drops_a_count_meanwhile(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(settings, key="5/min")
    monkeypatch.setattr(type(cache._connections[cache._alias]), "add", lambda *args, **kwargs: False)  # type: ignore[attr-defined]
    assert throttling.KeyThrottle().increment("count") == 1


def get(**headers: str) -> Request:
    return Request(RequestFactory().get("/", headers=headers), negotiator=DefaultContentNegotiation())


def at_once(clients: int, do: Callable[[int], object]) -> list[object]:
    """Let so many threads do a thing at the same time, and return what each returned or was refused with."""
    start = Barrier(clients)

    def one(number: int) -> object:
        start.wait(SECONDS)
        try:
            return do(number)
        except (Throttled, AuthenticationFailed) as error:
            return type(error)
        finally:
            cache.close()

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(one, range(clients)))


def test_requests_at_once_are_all_counted(settings: Settings) -> None:
    limit(settings, key="5/min")

    def ask(number: int) -> None:
        request = get()
        request.auth = APIKey(pk=1)
        throttling.KeyThrottle().check(request, None)

    answers = at_once(64, ask)
    assert (answers.count(None), answers.count(Throttled)) == (5, 59)


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let keys be found that begin with "right", and return those that were looked up."""
    keys: list[str] = []

    def find(self: APIKeyManager, key: str) -> APIKey | None:
        keys.append(key)
        return APIKey(pk=1, name="the client") if key.startswith("right") else None

    monkeypatch.setattr(APIKeyManager, "find", find)
    return keys


def authenticate(key: str) -> object:
    found = APIKeyAuthentication().authenticate(get(Authorization=f"Api-Key {key}"))
    return found and found[1]


def together(monkeypatch: pytest.MonkeyPatch, parties: int) -> None:
    """Let keys be looked up by so many at a time, or the test fails."""
    meet, find = Barrier(parties), APIKeyManager.find

    def find_together(self: APIKeyManager, key: str) -> APIKey | None:
        meet.wait(SECONDS)
        found: APIKey | None = find(self, key)
        return found

    monkeypatch.setattr(APIKeyManager, "find", find_together)


def test_wrong_keys_at_once(settings: Settings, looked_up: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No more are looked up than the limit says, though none is known to be wrong when they come."""
    limit(settings, failed_auth="5/min")
    together(monkeypatch, 5)
    answers = at_once(64, lambda number: authenticate(f"wrong {number}"))
    assert (answers.count(AuthenticationFailed), answers.count(Throttled)) == (5, 59)
    assert len(looked_up) == 5


def test_right_keys_at_once(settings: Settings, looked_up: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Many users behind one address: none is refused for the others."""
    limit(settings, failed_auth="5/min")
    together(monkeypatch, 5)
    assert at_once(60, lambda number: authenticate(f"right {number}")) == [APIKey(pk=1)] * 60
    assert len(looked_up) == 60


def test_right_keys_and_one_less_than_too_many_wrong_ones(settings: Settings, looked_up: list[str]) -> None:
    limit(settings, failed_auth="5/min")
    answers = at_once(64, lambda number: authenticate(f"{'wrong' if number % 16 == 0 else 'right'} {number}"))
    assert (answers.count(AuthenticationFailed), answers.count(APIKey(pk=1))) == (4, 60)
    assert at_once(20, lambda number: authenticate(f"right {number}")) == [APIKey(pk=1)] * 20


def test_a_look_up_that_fails_is_no_wrong_key(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(settings, failed_auth="1/min")
    monkeypatch.setattr(APIKeyManager, "find", broken)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            authenticate("right")


def test_look_ups_that_do_not_end(settings: Settings, looked_up: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a server that was killed, for example: others wait for a while, and no longer."""
    limit(settings, failed_auth="1/min")
    monkeypatch.setattr(throttling, "MAX_WAIT_SECONDS", 0.01)
    throttle, request = throttling.FailedAuthThrottle(), get()
    with throttle.attempt(request), pytest.raises(Throttled) as refused:
        authenticate("right")
    assert vars(refused.value)["wait"] == 1
    assert authenticate("right") == APIKey(pk=1)


def test_wrong_keys_of_an_address(api: API, settings: Settings) -> None:
    """Once there were too many, none is looked for any more."""
    limit(settings, failed_auth="2/min")
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
    limit(settings, failed_auth="1/min")
    assert not any(is_refused(api) for _ in range(3))
    assert not any(is_refused(api, api_key_token=None) for _ in range(3))


def test_wrong_keys_for_files_count_too(api: API, settings: Settings) -> None:
    limit(settings, failed_auth="2/min")
    path = api.ok(attachment=upload("dummy.pdf"))["attachment_url"].partition("?")[0]
    for status in (404, 404, 429):
        api.read(api.client.get(f"{path}?api_key_token=wrong"), status)


def test_wrong_keys_for_the_sites_own_views_count_too(api: API, settings: Settings) -> None:
    limit(settings, failed_auth="1/min")
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
        (1, ("192.0.2.1:50001", "192.0.2.1:50002"), True),  # as Azure and IIS write it
        (1, ("192.0.2.1:50001", "192.0.2.1"), True),
        (1, ("192.0.2.1:50001", "192.0.2.2:50001"), False),
        (1, ("[2001:db8::1]:50001", "[2001:db8::1]:50002"), True),
        (1, ("[2001:db8::1]", "2001:db8::1"), True),
        (1, ("2001:db8::1", "2001:db8::ffff:1:2:3"), True),  # a network that one client has
        (1, ("2001:db8:0:1::1", "2001:db8:0:2::1"), False),
        (1, ("::ffff:192.0.2.1", "192.0.2.1"), True),
        (1, ("::ffff:192.0.2.1", "::ffff:192.0.2.2"), False),
        (1, ("fe80::1%eth0", "fe80::1%eth1"), True),
        (1, ("unknown", "_hidden"), True),  # no address: all of them are the proxy's
        (1, ("192.0.2.1:a", "192.0.2.1:b"), True),
        (1, ("192.0.2.1, x", "192.0.2.2, y"), True),
        (2, ("x, 10.0.0.1", "y, 10.0.0.1"), True),
    ],
)
def test_the_address_of_a_client(
    api: API, settings: Settings, proxies: int, forwarded: tuple[str, str], same: bool
) -> None:
    settings.OSSN_MESSAGING = {"THROTTLE_RATES": {"failed_auth": "1/min"}, "NUM_PROXIES": proxies}
    refused = []
    for header in forwarded:
        api.client = Client(headers={"X-Forwarded-For": header} if header else {})
        refused.append(is_refused(api, api_key_token="wrong"))
    assert refused == [False, same]


@pytest.mark.parametrize("addresses", [("", "unix:"), ("192.0.2.1:1", "192.0.2.1:2"), ("2001:db8::1", "2001:db8::2")])
def test_the_address_of_a_connection(api: API, settings: Settings, addresses: tuple[str, str]) -> None:
    limit(settings, failed_auth="1/min")
    api.client = Client(REMOTE_ADDR=addresses[0])
    assert not is_refused(api, api_key_token="wrong")
    api.client = Client(REMOTE_ADDR=addresses[1])
    assert is_refused(api, api_key_token="wrong")


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


def fail(*args: Any, **kwargs: Any) -> None:
    raise OSError("the cache is gone")


@pytest.mark.parametrize(
    ("limited", "method"), [("key", "add"), ("key", "incr"), ("failed_auth", "add"), ("failed_auth", "delete")]
)
def test_a_cache_that_fails(
    api: API, settings: Settings, monkeypatch: pytest.MonkeyPatch, method: str, limited: str
) -> None:
    limit(settings, **{limited: "10/min"})
    api.ok()
    monkeypatch.setattr(type(cache._connections[cache._alias]), method, fail)  # type: ignore[attr-defined]
    assert api.send(status=503)["code"] == "200"
    assert Message.objects.count() == 1


@pytest.mark.parametrize("method", ["set", "get_many"])
def test_a_cache_that_fails_with_a_wrong_key(
    settings: Settings, looked_up: list[str], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    limit(settings, failed_auth="1/min")
    if method == "get_many":
        with pytest.raises(AuthenticationFailed):
            authenticate("wrong")
    monkeypatch.setattr(type(cache._connections[cache._alias]), method, fail)  # type: ignore[attr-defined]
    with pytest.raises(ServiceUnavailable):
        authenticate("wrong")


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
