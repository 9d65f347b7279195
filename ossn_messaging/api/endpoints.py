"""Base classes of the app's views, with the checks that all endpoints of the API share."""

from collections.abc import Callable, Sequence
from typing import IO, Any, cast

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponseBase
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions as drf
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.schemas.inspectors import ViewInspector
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from ossn_messaging.api.envelope import EnvelopeRenderer, NoNegotiation, failure
from ossn_messaging.api.parsers import FormParser, JSONParser, MultiPartParser, query_of, take_chunked
from ossn_messaging.authentication import APIKeyAuthentication, SessionAuthentication
from ossn_messaging.conf import conf
from ossn_messaging.exceptions import (
    CSRFFailed,
    InvalidParameter,
    MalformedRequest,
    MessagingDisabled,
    SessionUserMismatch,
)
from ossn_messaging.models import APIKey
from ossn_messaging.models.users import get_reader, is_blank, parse_id
from ossn_messaging.throttling import KeyThrottle, RateThrottle, SenderThrottle

CHARSETS = {"utf-8", "utf8", "us-ascii", "ascii"}


def non_atomic(dispatch: Callable[..., Any]) -> Callable[..., Any]:
    """Exempt a view from ``ATOMIC_REQUESTS`` on every database.

    With ``ATOMIC_REQUESTS``, the commit follows the response, so a response with code 100 could be wrong.
    """
    for alias in connections:
        dispatch = transaction.non_atomic_requests(using=alias)(dispatch)
    return dispatch


class EnvelopeView(APIView):
    """Base of the app's views: every failure is answered with an envelope.

    The site's ``REST_FRAMEWORK`` settings have no effect on these views.
    """

    parser_classes = (MultiPartParser, FormParser, JSONParser)
    renderer_classes = (EnvelopeRenderer,)
    authentication_classes: Sequence[type[BaseAuthentication]] = ()
    permission_classes: Sequence[type[BasePermission]] = ()
    throttle_classes: Sequence[type[BaseThrottle]] = ()
    content_negotiation_class = NoNegotiation
    versioning_class = None
    schema: ViewInspector | None = None
    failed = "Request failed"
    """The text before the reason of a failure in the envelope's ``message``."""

    @property
    def is_rest(self) -> bool:
        """Whether failures use ``rest_status``, and not ``ossn_status``, as their HTTP status."""
        return True

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {"Allow": ", ".join(self.allowed_methods)}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check the method, character set and host of the request, and then make DRF's checks.

        Raises ``MethodNotAllowed``, ``UnsupportedMediaType`` and ``DisallowedHost`` before anything else is done.
        OPTIONS returns only headers, so it needs no other check.
        """
        if request.method not in self.allowed_methods:
            raise drf.MethodNotAllowed(str(request.method))
        if (request._request.content_params or {}).get("charset", "utf-8").lower() not in CHARSETS:
            raise drf.UnsupportedMediaType(str(request.content_type))
        request.get_host()  # raises DisallowedHost
        if request.method != "OPTIONS":
            super().initial(request, *args, **kwargs)

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        return Response()

    def perform_authentication(self, request: Request) -> None:
        """Authenticate the request. The user of Django's request stays the user of the site's session.

        For a request with an API key, DRF would replace it with a user without a row, which the site's middleware might
        save.
        """
        attributes = vars(request._request)
        of_session = {"user": attributes["user"]} if "user" in attributes else {}
        try:
            super().perform_authentication(request)
        finally:
            attributes.pop("user", None)
            attributes.update(of_session)

    def handle_exception(self, exc: Exception) -> Response:
        return failure(self.request, exc, self.failed, is_rest=self.is_rest)


class Endpoint(EnvelopeView):
    """Base of the API's views: it reads the parameters and makes the checks that come first in all of them.

    The acting user is named by ``user_parameter``. A request by a session gets it from the session.
    """

    permission_classes = (IsAuthenticated,)
    throttle_classes: Sequence[type[RateThrottle]] = (KeyThrottle, SenderThrottle)
    http_method_names = ["post", "get", "options"]
    user_parameter = "guid"
    """The parameter with the id of the user for whom the request is made."""
    scope = "read"
    """The scope of the API key that ``find_users()`` requires."""
    version = 2
    """The version of the API."""

    params: MultiValueDict[str, Any]
    """The parameters of the query, followed by those of the body: texts and files."""
    unreadable: MalformedRequest | None = None
    body: IO[bytes] | None = None
    """The file with the body, if the body was sent in chunks. ``dispatch()`` closes it."""

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        return non_atomic(super().as_view(**initkwargs))

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        finally:
            if self.body:
                self.body.close()

    @property
    def is_rest(self) -> bool:
        return conf.HTTP_STATUS == "rest"

    @property
    def allowed_methods(self) -> list[str]:
        return [method for method in super().allowed_methods if method != "GET" or conf.ALLOW_GET]

    @property
    def allows_sessions(self) -> bool:
        """Whether a member's session is enough, without an API key."""
        return conf.SESSION_API and self.version == 2

    @property
    def changes_data(self) -> bool:
        """Whether the request changes something, so that a member may make it by POST only."""
        return self.scope != "read"

    @property
    def api_key(self) -> APIKey | None:
        """The API key of the request, or ``None`` if it is made by a member's session."""
        return cast("APIKey | None", self.request.auth)

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Return the authentication by API key, and that by session if sessions are allowed.

        The first that finds credentials decides, so a wrong API key is refused whatever the session is.
        """
        by_session = [SessionAuthentication()] if self.allows_sessions else []
        return [APIKeyAuthentication(), *by_session]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Make the checks, and raise ``MalformedRequest`` if a check failed for what an unreadable body may contain.

        That is the API key or the CSRF token.
        """
        try:
            super().initial(request, *args, **kwargs)
        except (drf.NotAuthenticated, CSRFFailed):
            if self.unreadable:
                raise self.unreadable from None
            raise

    def perform_authentication(self, request: Request) -> None:
        self.params = MultiValueDict()
        try:
            self.body = take_chunked(request._request)
            body = cast("MultiValueDict[str, Any]", request.data)
            self.params = MultiValueDict(query_of(request._request).lists())
            self.params.update(body)
        except MalformedRequest as error:
            self.unreadable = error
        super().perform_authentication(request)

    def check_permissions(self, request: Request) -> None:
        """Raise ``NotAuthenticated`` without an API key or session, and ``MessagingDisabled`` if messaging is off.

        Raises ``MethodNotAllowed`` if a session would change something by GET.
        """
        super().check_permissions(request)
        if self.api_key is None and self.changes_data and request.method != "POST":
            self.headers["Allow"] = "POST, OPTIONS"
            raise drf.MethodNotAllowed(str(request.method))
        if not conf.ENABLED:
            raise MessagingDisabled

    def check_throttles(self, request: Request) -> None:
        """Raise ``Throttled`` if a limit is reached, and then ``MalformedRequest`` if the body could not be read.

        After that, raise ``SessionUserMismatch`` if a session names another user as the acting user.

        The limits are checked in their order. A request that one limit refuses is not counted by the next.
        """
        for throttle in self.throttle_classes:
            throttle().check(request, self)
        if self.unreadable:
            raise self.unreadable
        if self.api_key is None:
            self.act_as(cast(AbstractBaseUser, request.user))

    def act_as(self, member: AbstractBaseUser) -> None:
        """Make ``member`` the acting user. Raises ``SessionUserMismatch`` if the parameter names another user."""
        named = self.parameter(self.user_parameter)
        if not is_blank(named) and parse_id(named) != member.pk:
            raise SessionUserMismatch
        self.params[self.user_parameter] = str(member.pk)

    def parameter(self, name: str) -> str:
        """Return the last text of the parameter ``name``, or an empty text. The body counts before the query."""
        return next((value for value in reversed(self.params.getlist(name)) if isinstance(value, str)), "")

    def id_parameter(self, name: str) -> int:
        """Return the number in the parameter ``name``. Raises ``InvalidParameter`` if it is not a number above 0."""
        value = self.parameter(name)
        number = parse_id(value)
        if number is None:
            raise InvalidParameter(name, value, _("a whole number above 0"))
        return number

    def find_users(self, *others: str) -> list[AbstractBaseUser]:
        """Return the user for whom the request is made, followed by the users of the parameters ``others``.

        Raises ``ReaderNotFound`` if a user is unknown or the first is not active, ``ScopeMissing`` if the key does not
        have ``scope``, and ``UserNotPermitted`` if the key may not act as the first user.
        """
        users = get_reader(self.parameter(self.user_parameter), *map(self.parameter, others))
        if self.api_key:
            self.api_key.require(self.scope, users[0].pk)
        return users

    def may_read_for(self, user_id: int) -> bool:
        """Return whether the key has ``scope`` and may act as the user with this id, even if there is no such user.

        A session may, because ``act_as()`` has made its member the acting user.
        """
        api_key = self.api_key
        return api_key is None or (self.scope in api_key.scopes and api_key.may_act_as(user_id))
