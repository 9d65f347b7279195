"""DRF authentication by API key, for the views of this app and of the site, and by a member's session."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables
from rest_framework import authentication
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from ossn_messaging.exceptions import CSRFFailed, InvalidKey
from ossn_messaging.redaction import MAX_SECRET_LENGTH, register_secret, use_redacting_reporter
from ossn_messaging.throttling import FailedAuthThrottle

if TYPE_CHECKING:
    from ossn_messaging.models import APIKey


class APIKeyUser(AnonymousUser):
    """The ``request.user`` of a request with an API key.

    It is authenticated, but is not a user of the site and has no permissions.
    """

    def __init__(self, api_key: "APIKey") -> None:
        super().__init__()
        self.username = api_key.name  # type: ignore[assignment]
        self.pk = f"key {api_key.pk}"  # type: ignore[assignment]  # unique per key, and never equal to the id of a user

    def __eq__(self, other: object) -> bool:
        return isinstance(other, APIKeyUser) and self.pk == other.pk

    def __hash__(self) -> int:
        return hash(self.pk)

    @property
    def is_anonymous(self) -> bool:  # type: ignore[override]
        return False

    @property
    def is_authenticated(self) -> bool:  # type: ignore[override]
        return True


class APIKeyAuthentication(BaseAuthentication):
    """Authenticates by ``Authorization: Api-Key KEY``, or by the parameter ``api_key_token`` in the body or the query.

    It sets ``request.auth`` to the ``APIKey`` and ``request.user`` to an ``APIKeyUser``.
    """

    keyword = "Api-Key"
    parameter = "api_key_token"

    @sensitive_variables("key")
    def authenticate(self, request: Request) -> "tuple[APIKeyUser, APIKey] | None":
        """Return the ``APIKeyUser`` and the ``APIKey``, or ``None`` if the request has no key.

        Raises ``AuthenticationFailed`` if the key is wrong, ``Throttled`` if the address has sent too many wrong keys,
        and ``ServiceUnavailable`` if the cache of the limit fails.
        """
        key = self.get_key(request)
        if not key:
            return None
        with FailedAuthThrottle().attempt(request):
            return self.authenticate_credentials(key)

    @sensitive_variables("key")
    def get_key(self, request: Request) -> str | None:
        """Return the key of the request, from the header, else from the body, else from the query.

        Afterwards, no error report or debug page of this request shows the key.
        """
        use_redacting_reporter(request._request)
        key = self._given(request)
        if key:
            register_secret(request._request, key)
        return key

    @sensitive_variables("key", "given")
    def _given(self, request: Request) -> str | None:
        scheme, _space, key = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() == self.keyword.lower() and key.strip():
            return key.strip()
        given = self.get_body(request).get(self.parameter) or request.query_params.get(self.parameter)
        return given.strip() if isinstance(given, str) else None

    def get_body(self, request: Request) -> Mapping[str, Any]:
        """Return the parameters in the body of the request."""
        return request.data if isinstance(request.data, Mapping) else {}

    @sensitive_variables("key")
    def authenticate_credentials(self, key: str) -> "tuple[APIKeyUser, APIKey]":
        """Return the ``APIKeyUser`` and the ``APIKey``. Raises ``AuthenticationFailed`` if the key is not active."""
        from ossn_messaging.models import APIKey

        api_key = APIKey.objects.find(key) if len(key) <= MAX_SECRET_LENGTH else None
        if api_key is None:
            raise AuthenticationFailed(InvalidKey.text)
        return APIKeyUser(api_key), api_key

    def authenticate_header(self, request: HttpRequest | Request) -> str:
        return f'{self.keyword} realm="api"'


class BodylessAPIKeyAuthentication(APIKeyAuthentication):
    """Authenticates by the header or the query only. It does not read the body of the request."""

    def get_body(self, request: Request) -> Mapping[str, Any]:
        """Return no parameters: the content of a GET or HEAD has no meaning (RFC 9110, section 9.3.1)."""
        return {}


class SessionAuthentication(authentication.SessionAuthentication):
    """Authenticates by the session of an active member, for ``SESSION_API``. A POST needs a CSRF token.

    It sets ``request.auth`` to ``None`` and ``request.user`` to the user.
    """

    def enforce_csrf(self, request: Request) -> None:
        """Raise ``CSRFFailed`` if a POST has no valid CSRF token or comes from another origin."""
        try:
            super().enforce_csrf(request)
        except PermissionDenied as error:
            raise CSRFFailed from error
