"""What a site brings along: a view of its own behind an API key, a router, and the callables that its settings name."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.backends import AllowAllUsersModelBackend
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import FormParser, JSONParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, exception_handler

from ossn_messaging.authentication import APIKeyAuthentication


class WhoAmI(APIView):
    """A view of the site's own that API keys may use."""

    authentication_classes = (APIKeyAuthentication,)
    permission_classes = (IsAuthenticated,)
    parser_classes = (FormParser, JSONParser)
    renderer_classes = (JSONRenderer,)
    throttle_classes = ()
    versioning_class = None
    content_negotiation_class = DefaultContentNegotiation

    def get_exception_handler(self) -> Callable[..., Any]:
        return exception_handler

    def get(self, request: Request) -> Response:
        user = request.user
        return Response({"user": user.get_username(), "anonymous": user.is_anonymous, "key": str(request.auth)})

    post = get


def public_names(user: Any) -> tuple[str, str]:
    return f"member-{user.pk}", "A Member"


def own_icon(user: Any, size: str, request: Any) -> str | None:
    return f"/icons/{user.pk}-{size}.png" if user.username == "arsalanshah" else None


def own_icon_of_the_host(user: Any, size: str, request: Any) -> str | None:
    return f"//icons.{request.get_host()}/{user.pk}-{size}.png" if user.username == "arsalanshah" else None


def only_to_recipients_named_s(sender: Any, recipient: Any, api_key: Any) -> bool:
    return bool(recipient.first_name.startswith("S"))


def only_by_a_key_of_ones_own(sender: Any, recipient: Any, api_key: Any) -> bool:
    return bool(api_key and api_key.name == sender.username)


def only_named_s_is_online(user: Any) -> bool:
    return bool(user.first_name.startswith("S"))


def no_drafts(file: Any) -> None:
    if b"DRAFT" in file.read():
        raise ValidationError("%(name)s is a draft", params={"name": file.name})


class OwnSessions(SessionMiddleware):
    """The sessions of a site that changes how they are kept."""


NOT_CALLABLE = "text"


def reads_post(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A middleware that looks into every form."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request.POST.get("anything")
        return get_response(request)

    return middleware


class ObservedUser:
    """A middleware that notes the user of each request before and after the view."""

    seen: list[tuple[Any, Any, Any]] = []
    request: HttpRequest

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        type(self).request = request
        before = self.user(request)
        response = self.get_response(request)
        self.seen.append((before, self.user(request), getattr(request, "auth", None)))
        return response

    def user(self, request: HttpRequest) -> Any:
        return request.user.pk if hasattr(request, "user") else "no user"


def broken(*args: Any, **kwargs: Any) -> Any:
    return 1 / 0


class Trusting(AllowAllUsersModelBackend):
    """A backend that lets users in who are not active, and gives them every permission."""

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return True


class Behind:
    """A router for a site whose copies of the database are behind: the app must not read what was deleted there."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "behind" if model._meta.app_label == "ossn_messaging" else None
