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
from ossn_messaging.exceptions import StoreFailed
from ossn_messaging.models.users import as_number

IPV6_PREFIX_LENGTH = 64
"""A single client usually has a whole network of this size."""
MAX_WAIT_SECONDS = 5.0
"""How long a key waits to be looked up while other keys of its address are looked up."""
POLL_SECONDS = 0.02
MAX_LOOKUP_SECONDS = 60


@contextmanager
def cache_errors() -> Iterator[None]:
    """Raise ``StoreFailed`` for any error of the cache."""
    try:
        yield
    except Throttled:
        raise
    except Exception as error:  # each cache raises its own
        raise StoreFailed from error


def parse_address(text: str) -> str | None:
    """Return the client that an address such as ``192.0.2.1``, ``192.0.2.1:80`` or ``[2001:db8::1]:80`` stands for.

    That is an IPv4 address or an IPv6 network; ``None`` if the text is no address.
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
        address = address.ipv4_mapped  # an IPv4 client, seen by a server with one socket for both
    return str(address)


class RateThrottle(SimpleRateThrottle):
    """Counts requests under ``scope`` if ``THROTTLE_RATES`` has a rate for it."""

    cache_format = "ossn_messaging_throttle_%(scope)s_%(ident)s_%(window)s"
    num_requests: int
    duration: int
    now: float

    def get_rate(self) -> str | None:
        return conf.THROTTLE_RATES.get(str(self.scope))

    def get_ident(self, request: Request) -> str:
        """Return the client's address, as ``NUM_PROXIES`` proxies before the site name it."""
        if conf.NUM_PROXIES:
            addresses = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
            forwarded = parse_address(addresses[-min(conf.NUM_PROXIES, len(addresses))])
            if forwarded:
                return forwarded
        # Without an address, as behind a Unix socket, all clients are one.
        return parse_address(request.META.get("REMOTE_ADDR", "")) or ""

    def key_for(self, ident: object) -> str:
        """Return the cache's key for what is counted in the current window."""
        self.now = self.timer()
        window = int(self.now // self.duration)
        return self.cache_format % {"scope": self.scope, "ident": ident, "window": window}

    @cache_errors()
    def increment(self, key: str) -> int:
        """Add 1 to the count under ``key`` and return the sum."""
        timeout = 2 * self.duration  # or Django's RedisCache would count for ever on a key that expires meanwhile
        if self.cache.add(key, 1, timeout):
            return 1
        try:
            count: int = self.cache.incr(key)
        except ValueError:  # the cache has dropped the key
            return 1
        self.cache.touch(key, timeout)  # the database and file caches have put their own timeout
        return count

    def wait(self) -> float:
        """Return the seconds from the last ``key_for()`` until the next window."""
        return self.duration - self.now % self.duration

    def allow_request(self, request: Request, view: Any) -> bool:
        key = self.rate and self.get_cache_key(request, view)
        return not key or self.increment(key) <= self.num_requests

    def check(self, request: Request, view: Any) -> None:
        """Raise ``Throttled`` if the limit is reached, and ``StoreFailed`` if the cache fails."""
        if not self.allow_request(request, view):
            raise Throttled(self.wait())


class KeyThrottle(RateThrottle):
    """Limits the requests with each API key."""

    scope = "key"

    def get_cache_key(self, request: Request, view: Any) -> str:
        return self.key_for(request.auth.pk)


class SenderThrottle(RateThrottle):
    """Limits the requests in the name of each user, whatever the key, if it may act as that user."""

    scope = "sender"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        """Return ``None``, which is not counted, if the request names no user."""
        user_id = as_number(view.parameter(view.user_parameter))
        api_key: Any = request.auth
        return self.key_for(user_id) if user_id and api_key.may_act_as(user_id) else None


class FailedAuthThrottle(RateThrottle):
    """Limits the wrong keys from each address.

    Whether a key is wrong is known only after its look-up. So each look-up takes one of as many places as there may be
    failures, and gives it back unless it fails. If no place is free, a key waits: the others may all be right.
    """

    scope = "failed_auth"

    @contextmanager
    def attempt(self, request: Request) -> Iterator[None]:
        """Count the block as a failure if it raises ``AuthenticationFailed``.

        Raises ``Throttled`` before the block if the address has reached its limit, and ``StoreFailed`` if the cache
        fails.
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
        """Return a place that was free, ``None`` if all are taken; raises ``Throttled`` if all are kept."""
        key = self.key_for(ident)
        places = [f"{key}_{number}" for number in range(self.num_requests)]
        # Most requests find a free place without asking for all of them.
        chosen = random.choice(places)  # noqa: S311, no secret
        if self._add(chosen):
            return chosen
        taken = self.cache.get_many(places)
        if sum(taken.values()) == self.num_requests:
            raise Throttled(self.wait())
        return next((place for place in places if place not in taken and self._add(place)), None)

    def _add(self, place: str) -> bool:
        # Not for the whole window: a server that is killed during a look-up gives nothing back.
        return bool(self.cache.add(place, False, MAX_LOOKUP_SECONDS))

    @cache_errors()
    def _keep(self, place: str) -> None:
        self.cache.set(place, True, 2 * self.duration)

    @cache_errors()
    def _give_back(self, place: str) -> None:
        self.cache.delete(place)
