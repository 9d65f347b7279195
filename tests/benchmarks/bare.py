"""What the app is compared with: the least that a Django view can do for the same request."""

from typing import Any
from uuid import uuid4

from django.core.files.storage import default_storage
from django.db.models import Count, Sum
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from ossn_messaging.models import Conversation, Message
from tests.benchmarks.models import BareMessage

PAGE = 10


@csrf_exempt
def send(request: HttpRequest) -> JsonResponse:
    """Parse the request, whatever it brings, and insert one row."""
    message = BareMessage.objects.create(
        sender_id=request.POST["from"], recipient_id=request.POST["to"], text=request.POST["message"]
    )
    return JsonResponse({"id": message.pk, "message": message.text, "files": list(request.FILES)})


@csrf_exempt
def keep(request: HttpRequest) -> JsonResponse:
    """Do the same, and keep the file as Django does: neither judged nor hashed, and not yet on the disk for certain."""
    file: Any = request.FILES["attachment"]
    default_storage.save(f"{uuid4()}.pdf", file)
    return send(request)


def messages(request: HttpRequest) -> JsonResponse:
    page = Message.objects.filter(
        sender=int(request.GET["guid"]), recipient=int(request.GET["to"]), deleted_by_sender=False
    )
    return JsonResponse({"list": list(page.order_by("-sequence").values()[:PAGE])})


def recent(request: HttpRequest) -> JsonResponse:
    page = Conversation.objects.filter(user=int(request.GET["guid"]), last_message_at__isnull=False)
    return JsonResponse({"list": list(page.order_by("-last_message_at", "-other_user_id").values()[:PAGE])})


def unread(request: HttpRequest) -> JsonResponse:
    counted = Conversation.objects.filter(user=int(request.GET["guid"]), unread_count__gt=0)
    return JsonResponse(counted.aggregate(messages=Sum("unread_count"), conversations=Count("pk")))


urlpatterns = [path(view.__name__, view) for view in (send, keep, messages, recent, unread)]
