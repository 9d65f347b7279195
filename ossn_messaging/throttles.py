"""How often the API may be used: DRF's throttles on the site's cache, with the rates of ``THROTTLE_RATES``."""

from typing import Any

from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from ossn_messaging.conf import conf
from ossn_messaging.exceptions import StoreFailed
from ossn_messaging.users import as_number


class RateThrottle(SimpleRateThrottle):
    """Counts requests under ``scope``, unless ``THROTTLE_RATES`` has no rate for it."""

    cache_format = "ossn_messaging_throttle_%(scope)s_%(ident)s"

    def get_rate(self) -> str | None:
        return conf.THROTTLE_RATES.get(str(self.scope))

    def get_ident(self, request: Request) -> str:
        """Return the client's address, as ``NUM_PROXIES`` proxies before the site tell it."""
        addresses = [address.strip() for address in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
        proxies = conf.NUM_PROXIES
        if proxies and addresses[-1]:
            return str(addresses[-min(proxies, len(addresses))])
        return str(request.META.get("REMOTE_ADDR", ""))

    def key_for(self, ident: object) -> str:
        return self.cache_format % {"scope": self.scope, "ident": ident}

    def check(self, request: Request, view: Any = None) -> None:
        """Raise ``Throttled`` where a limit is reached, and ``StoreFailed`` where the cache fails."""
        try:
            allowed = self.allow_request(request, view)
        except Exception as error:  # each cache has its own
            raise StoreFailed from error
        if not allowed:
            raise Throttled(self.wait())


class KeyThrottle(RateThrottle):
    """Each API key."""

    scope = "key"

    def get_cache_key(self, request: Request, view: Any) -> str:
        return self.key_for(request.auth.pk)


class SenderThrottle(RateThrottle):
    """Each user in whose name requests are made, whatever the key, if it may act as that user."""

    scope = "sender"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        """Return ``None``, which is not counted, where the request names no user."""
        user_id = as_number(view.parameter(view.user_parameter))
        api_key: Any = request.auth
        return self.key_for(user_id) if user_id and api_key.may_act_as(user_id) else None


class WrongKeyThrottle(RateThrottle):
    """Each address that gives wrong keys; one that gave too many is refused before the database is asked."""

    scope = "wrong_key"

    def get_cache_key(self, request: Request, view: Any) -> str:
        return self.key_for(self.get_ident(request))

    def throttle_success(self) -> bool:
        """Count nothing yet: the key may be right."""
        return True

    def count(self) -> None:
        """Count a wrong key of the request that was checked."""
        if self.rate is not None:
            super().throttle_success()
