"""The endpoint of the protocol, and the views behind the URLs that its answers hold."""

from collections.abc import Callable, Sequence
from typing import IO, Any, cast

from django.core.files.base import File
from django.db import Error as DatabaseAPIError
from django.db import connections, router, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.datastructures import MultiValueDict
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions as drf
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from ossn_messaging import icons, links
from ossn_messaging.authentication import APIKeyAuthentication
from ossn_messaging.conf import conf
from ossn_messaging.downloads import give_out
from ossn_messaging.envelope import EnvelopeRenderer, NoNegotiation, failure, success
from ossn_messaging.exceptions import (
    AttachmentRefused,
    BadIdempotencyKey,
    MessagingDisabled,
    MessagingError,
    ReadFailed,
)
from ossn_messaging.managers import clean_text
from ossn_messaging.models import APIKey, Attachment, Message
from ossn_messaging.parsers import FormParser, JSONParser, MultiPartParser, query_of, take_chunked
from ossn_messaging.serializers import kept_answer, repeated_object, sent_object, user_object
from ossn_messaging.throttles import KeyThrottle, RateThrottle, SenderThrottle
from ossn_messaging.users import find_pair

CHARSETS = {"utf-8", "utf8", "us-ascii", "ascii"}


def outside_transactions(dispatch: Callable[..., Any]) -> Callable[..., Any]:
    """Exempt a view from ``ATOMIC_REQUESTS`` on every database.

    The commit would come after the answer was made, and a 100 could be a lie.
    """
    for alias in connections:
        dispatch = transaction.non_atomic_requests(using=alias)(dispatch)
    return dispatch


class EnvelopeView(APIView):
    """Base of the app's views: whatever fails is an envelope, and nothing depends on the site's ``REST_FRAMEWORK``."""

    parser_classes = (MultiPartParser, FormParser, JSONParser)
    renderer_classes = (EnvelopeRenderer,)
    authentication_classes: Sequence[type[BaseAuthentication]] = ()
    permission_classes: Sequence[type[BasePermission]] = ()
    throttle_classes: Sequence[type[BaseThrottle]] = ()
    content_negotiation_class = NoNegotiation
    versioning_class = None
    schema = None

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {"Allow": ", ".join(self.allowed_methods)}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse what HTTP has a status for, before anything is done. OPTIONS asks for no more than the headers."""
        if request.method not in self.allowed_methods:
            raise drf.MethodNotAllowed(str(request.method))
        if (request._request.content_params or {}).get("charset", "utf-8").lower() not in CHARSETS:
            raise drf.UnsupportedMediaType(str(request.content_type))
        request.get_host()  # raises DisallowedHost
        if request.method != "OPTIONS":
            super().initial(request, *args, **kwargs)

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        return Response()

    def handle_exception(self, exc: Exception) -> Response:
        return failure(self.request, exc)


@method_decorator(outside_transactions, name="dispatch")
class Endpoint(EnvelopeView):
    """Base of the API's views: reads the parameters, and makes the checks that all of them begin with."""

    authentication_classes = (APIKeyAuthentication,)
    permission_classes = (IsAuthenticated,)
    throttle_classes: Sequence[type[RateThrottle]] = (KeyThrottle, SenderThrottle)
    http_method_names = ["get", "post", "options"]

    given: MultiValueDict[str, Any]
    """The parameters of the query and then those of the body, texts and files."""
    unreadable: drf.ParseError | None = None
    body: IO[bytes] | None = None
    """A body that came in chunks."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        finally:
            if self.body:
                self.body.close()

    @property
    def allowed_methods(self) -> list[str]:
        return [method for method in super().allowed_methods if method != "GET" or conf.ALLOW_GET]

    def perform_authentication(self, request: Request) -> None:
        self.given = MultiValueDict()
        try:
            self.body = take_chunked(request._request)
            body = cast("MultiValueDict[str, Any]", request.data)
            self.given = MultiValueDict(query_of(request._request).lists())
            self.given.update(body)
        except drf.ParseError as error:
            self.unreadable = error
        super().perform_authentication(request)

    def check_permissions(self, request: Request) -> None:
        """Make the checks 1 and 2 of the contract; only after them is a body refused that can't be read."""
        super().check_permissions(request)
        if not conf.ENABLED:
            raise MessagingDisabled

    def check_throttles(self, request: Request) -> None:
        """Check the limits, one after the other: what one refuses does not count for the next."""
        for throttle in self.throttle_classes:
            throttle().check(request, self)
        if self.unreadable:
            raise self.unreadable

    def parameter(self, name: str) -> str:
        """Return the last text under ``name``, so that the body wins; empty where there is none."""
        return next((value for value in reversed(self.given.getlist(name)) if isinstance(value, str)), "")


class MessageSend(Endpoint):
    """``message/send`` of the API document."""

    def post(self, request: Request) -> Response:
        text = clean_text(self.parameter("message"))
        sender, recipient = find_pair(self.parameter("from"), self.parameter("to"))
        # Shown before it is sent: after the commit nothing may fail any more, least of all the site's own USER_ICON.
        message_from, message_to = user_object(request, sender), user_object(request, recipient)

        def answer(message: Message) -> str:
            return kept_answer(sent_object(request, message, message_from, message_to))

        message = Message.objects.send(
            sender=sender,
            recipient=recipient,
            text=text,
            upload=self.get_upload(request),
            api_key=cast(APIKey, request.auth),
            idempotency_key=self.get_idempotency_key(request),
            answer=answer,
        )
        if message.repeats and message.repeats.answer:  # none was kept of what the site's own code has sent
            response = success(request, repeated_object(message))
        else:
            response = success(request, sent_object(request, message, message_from, message_to))
        if message.repeats:
            response["Idempotent-Replayed"] = "true"
        return response

    get = post

    def get_idempotency_key(self, request: Request) -> str | None:
        """Return the header ``Idempotency-Key``, bare or in quotes as the draft of its RFC has it, or the parameter.

        Raises ``BadIdempotencyKey`` where the header is not UTF-8.
        """
        header = request.headers.get("Idempotency-Key", "")
        try:
            given = header.encode("latin-1").decode().strip() or self.parameter("idempotency_key").strip()
        except UnicodeError as error:
            raise BadIdempotencyKey from error
        if len(given) > 1 and given.startswith('"') and given.endswith('"'):
            given = given[1:-1]
        return given or None

    def get_upload(self, request: Request) -> "File[Any] | None":
        """Return the one file that the part ``attachment`` may have (contract, "Attachment").

        A file in any other part is refused as well: it would be lost without a word.
        """
        texts = [value for value in self.given.getlist("attachment") if isinstance(value, str)]
        files = request.FILES.getlist("attachment")
        elsewhere = set(request.FILES) - {"attachment"}
        if elsewhere or len(files) > 1 or "".join(texts).strip():
            raise AttachmentRefused(_("the part `attachment` takes one file, and no other part takes any"))
        return files[0] if files else None


class AttachmentFile(EnvelopeView):
    """The file of an attachment, for those who may have it; for all others it does not exist."""

    http_method_names = ["get", "head", "options"]

    def perform_authentication(self, request: Request) -> None:
        """Leave the user of the site's session in place, which DRF would replace."""

    def get(self, request: Request, guid: int, name: str) -> HttpResponseBase:
        try:
            attachment = self.find(request, guid, name)
        except DatabaseAPIError as error:
            raise ReadFailed from error
        try:
            return give_out(request._request, attachment)
        except MessagingError:
            raise
        except Exception as error:  # each storage has its own
            raise ReadFailed from error

    def find(self, request: Request, guid: int, name: str) -> Attachment:
        """Return the attachment if the request has a valid signature, a user who may read it, or an API key.

        All that the request says is read before the attachment is looked for: what is wrong with it must not tell
        whether there is one.
        """
        signature = request.query_params.get(links.SIGNATURE, "")
        user = getattr(request._request, "user", None)
        try:
            _holder, api_key = APIKeyAuthentication().authenticate(request) or (None, None)
        except drf.AuthenticationFailed:
            api_key = None
        if api_key:
            request.auth = api_key
            KeyThrottle().check(request, self)
        # A copy of the database might not know yet that a message was deleted.
        attachments = Attachment.objects.select_related("message").using(router.db_for_write(Attachment))
        attachment = attachments.filter(pk=guid).first()
        if attachment is None or attachment.name != name or attachment.message.is_deleted:
            raise Http404
        if (
            links.opens(signature, attachment)
            or (user is not None and attachment.is_open_to(user))
            or (api_key is not None and attachment.message.is_open_to_key(api_key))
        ):
            return attachment
        raise Http404


class Avatar(EnvelopeView):
    """The icon of a user for whom the site has none. Whether there is such a user, it does not tell."""

    http_method_names = ["get", "head", "options"]

    def get(self, request: Request, username: str, size: str, digest: str) -> HttpResponse:
        if size not in icons.SIZES or digest != links.icon_hash(username, size):
            raise Http404
        response = HttpResponse(icons.default_icon(digest, size), content_type="image/jpeg")
        response["Cache-Control"] = "public, max-age=86400"
        return response
