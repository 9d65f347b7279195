"""Limits for the API: DRF throttles that use the site's cache, with the rates of ``THROTTLE_RATES``.

A limit holds for fixed windows, such as each minute of the clock. How exact it is depends on the cache:

- Redis and Memcached count atomically, for all servers that share the cache.
- The local-memory cache counts atomically within one process.
- The database cache reads and then writes, so concurrent requests can exceed a limit. ``failed_auth`` is exact: it uses
  ``add()``, which is atomic there.
- The file cache is never atomic, and the dummy cache limits nothing.
"""

import ipaddress
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from ossn_messaging.conf import conf
from ossn_messaging.exceptions import ServiceUnavailable
from ossn_messaging.models.users import parse_id

IPV6_PREFIX_LENGTH = 64
"""A provider usually gives a whole network of this size to one client."""
MAX_WAIT_SECONDS = 5.0
"""A key waits up to this time for its look-up while other keys from the same address are looked up."""
POLL_SECONDS = 0.02
MAX_LOOKUP_SECONDS = 60


@contextmanager
def cache_errors() -> Iterator[None]:
    """Raise ``ServiceUnavailable`` for any error of the cache."""
    try:
        yield
    except Throttled:
        raise
    except Exception as error:  # each cache raises its own exceptions
        raise ServiceUnavailable from error


def parse_address(text: str) -> str | None:
    """Return the IPv4 address or the IPv6 network in ``text``, or ``None`` if ``text`` is not an address.

    Examples of ``text`` are ``192.0.2.1``, ``192.0.2.1:80`` and ``[2001:db8::1]:80``.
    """
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((int(address), IPV6_PREFIX_LENGTH), strict=False))
        address = address.ipv4_mapped  # an IPv4 client of a server with one socket for IPv4 and IPv6
    return str(address)


class RateThrottle(SimpleRateThrottle):
    """Base class of the throttles. It counts requests if ``THROTTLE_RATES`` has a rate for its ``scope``."""

    cache_format = "ossn_messaging_throttle_%(scope)s_%(ident)s_%(window)s"
    num_requests: int
    duration: int
    now: float

    def get_rate(self) -> str | None:
        return conf.THROTTLE_RATES.get(str(self.scope))

    def get_ident(self, request: Request) -> str:
        """Return the client's address or IPv6 network.

        If ``NUM_PROXIES`` is set, the address is the entry of ``X-Forwarded-For`` at that place from the end, or the
        first if there are fewer entries. Without such an address, ``REMOTE_ADDR`` is used.
        """
        if conf.NUM_PROXIES:
            addresses = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
            forwarded = parse_address(addresses[-min(conf.NUM_PROXIES, len(addresses))])
            if forwarded:
                return forwarded
        # If there is no address, for example behind a Unix socket, all clients share one limit.
        return parse_address(request.META.get("REMOTE_ADDR", "")) or ""

    def key_for(self, ident: object) -> str:
        """Return the cache key of the count of ``ident`` in the current window."""
        self.now = self.timer()
        window = int(self.now // self.duration)
        return self.cache_format % {"scope": self.scope, "ident": ident, "window": window}

    @cache_errors()
    def increment(self, key: str) -> int:
        """Add 1 to the count under ``key`` and return the sum."""
        # Two windows: if the key expired just before incr(), Django's RedisCache would create one that never expires.
        timeout = 2 * self.duration
        if self.cache.add(key, 1, timeout):
            return 1
        try:
            count: int = self.cache.incr(key)
        except ValueError:  # the cache has evicted the key
            return 1
        self.cache.touch(key, timeout)  # incr() of the database and file caches sets their default timeout
        return count

    def wait(self) -> float:
        """Return the seconds from the last ``key_for()`` until the next window."""
        return self.duration - self.now % self.duration

    def allow_request(self, request: Request, view: Any) -> bool:
        key = self.rate and self.get_cache_key(request, view)
        return not key or self.increment(key) <= self.num_requests

    def check(self, request: Request, view: Any) -> None:
        """Raise ``Throttled`` if the limit is reached, and ``ServiceUnavailable`` if the cache fails."""
        if not self.allow_request(request, view):
            raise Throttled(self.wait())


class KeyThrottle(RateThrottle):
    """Limits the requests with each API key, and the requests of each member by a session."""

    scope = "key"

    def get_cache_key(self, request: Request, view: Any) -> str:
        api_key: Any = request.auth
        return self.key_for(api_key.pk if api_key else f"user_{request.user.pk}")


class SenderThrottle(RateThrottle):
    """Limits the requests for each user, with all keys and sessions together.

    A key that may not act as the user does not count.
    """

    scope = "sender"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        """Return the cache key of the user.

        If the request has no user, or the API key may not act as the user, return ``None``: nothing is counted.
        """
        api_key: Any = request.auth
        if api_key is None:
            return self.key_for(request.user.pk)
        user_id = parse_id(view.parameter(view.user_parameter))
        return self.key_for(user_id) if user_id and api_key.may_act_as(user_id) else None


class FailedAuthThrottle(RateThrottle):
    """Limits the wrong keys from each address.

    A wrong key is known only after its look-up. So each address has one place per allowed failure: a look-up takes a
    place, and gives it back unless the key is wrong. If no place is free, a key waits, because the keys that are looked
    up now may be valid.
    """

    scope = "failed_auth"

    @contextmanager
    def attempt(self, request: Request) -> Iterator[None]:
        """Count a failure of the address if the block raises ``AuthenticationFailed``.

        Raises ``Throttled`` before the block if the address has reached its limit or no place becomes free in
        ``MAX_WAIT_SECONDS``, and ``ServiceUnavailable`` if the cache fails.
        """
        if self.rate is None:
            yield
            return
        place = self._wait_for_place(self.get_ident(request))
        try:
            yield
        except AuthenticationFailed:
            self._keep(place)
            raise
        except BaseException:
            self._give_back(place)
            raise
        self._give_back(place)

    def _wait_for_place(self, ident: str) -> str:
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while True:
            place = self._take(ident)
            if place:
                return place
            if time.monotonic() > deadline:
                raise Throttled(1)
            time.sleep(POLL_SECONDS)

    @cache_errors()
    def _take(self, ident: str) -> str | None:
        """Take a free place and return it, or ``None`` if all are taken. Raises ``Throttled`` if failures have all."""
        key = self.key_for(ident)
        places = [f"{key}_{number}" for number in range(self.num_requests)]
        # Try one place first: most requests find it free, and need no query for all places.
        chosen = random.choice(places)  # noqa: S311, no secret
        if self._add(chosen):
            return chosen
        taken = self.cache.get_many(places)
        if sum(taken.values()) == self.num_requests:
            raise Throttled(self.wait())
        return next((place for place in places if place not in taken and self._add(place)), None)

    def _add(self, place: str) -> bool:
        # The timeout is short because a server that is killed during a look-up never gives the place back.
        return bool(self.cache.add(place, False, MAX_LOOKUP_SECONDS))

    @cache_errors()
    def _keep(self, place: str) -> None:
        self.cache.set(place, True, 2 * self.duration)

    @cache_errors()
    def _give_back(self, place: str) -> None:
        self.cache.delete(place)
