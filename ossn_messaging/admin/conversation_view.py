"""The messages between two users as a moderator sees them, with the messages that one of the users has deleted."""

from itertools import product
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Max, Q, QuerySet, Value
from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from ossn_messaging.admin.base import may_view, page_limits
from ossn_messaging.models import Conversation, Message

SIZE = 50
"""The number of messages on a page."""
AFTER = 25
"""The maximum number of newer messages on a page that was opened for one message."""


def conversation_url(message: Message) -> str:
    """Return the URL of the page of the conversation that contains a message."""
    url = reverse("admin:ossn_messaging_message_conversation", args=[message.sender_id, message.recipient_id])
    return f"{url}?before={message.sequence + AFTER + 1}#message-{message.pk}"


def conversation_context(request: HttpRequest, rows: QuerySet[Message], user_id: int, other_id: int) -> dict[str, Any]:
    """Return the template context of the page. ``rows`` is the queryset of all messages.

    Raises ``Http404`` if a user does not exist. If the reader may not view users, also raises ``Http404`` for two users
    who have never written to each other, so that the reader can't find out which users exist.
    """
    found = get_user_model()._default_manager.filter(Q(pk=user_id) | Q(pk=other_id))
    users = {user.pk: user for user in found}
    if len(users) != 2:
        raise Http404
    conversations = Conversation.objects.filter(user__in=users, other_user__in=users)
    last = conversations.aggregate(visible=Max("last_sequence"), ever=Max("sequence"))
    if not (last["ever"] or may_view(request, get_user_model())):
        raise Http404
    newest = last["visible"] or 0
    before, after = page_limits(request)
    ids = _ids(user_id, other_id, before, after)
    messages = sorted(rows.filter(pk__in=ids[:SIZE]), key=lambda message: message.sequence)
    positions = [message.sequence for message in messages]
    if not positions:  # the page is beyond the oldest or the newest message
        positions = [newest + 1, newest if before is None else before - 1]
    return {
        "title": _("%(user)s and %(other)s") % {"user": users[user_id], "other": users[other_id]},
        "user_id": user_id,
        "conversation": messages,
        "older": positions[0] if positions[0] > 1 and (len(ids) > SIZE or after is not None) else None,
        "newer": positions[-1] if positions[-1] < newest else None,
    }


def _ids(user_id: int, other_id: int, before: int | None, after: int | None) -> list[int]:
    """Return the ids of a page, and one more if there is one. Each of the four queries reads one range of an index."""
    limits = {"sequence__lt": before} if before is not None else {}
    order = "-sequence"
    if after is not None:
        limits, order = {"sequence__gt": after}, "sequence"
    found: list[tuple[int, int]] = []
    for pair, deleted in product(((user_id, other_id), (other_id, user_id)), (False, True)):
        part = Message.objects.filter(sender=pair[0], recipient=pair[1], deleted_by_sender=Value(deleted), **limits)
        found += part.order_by(order).values_list("sequence", "pk")[: SIZE + 1]
    return [pk for _position, pk in sorted(found, reverse=after is None)[: SIZE + 1]]
