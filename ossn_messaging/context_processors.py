"""Context processors that a site adds to its ``TEMPLATES``."""

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from ossn_messaging.models import Conversation
from ossn_messaging.models.conversations import Unread


def unread(request: HttpRequest) -> dict[str, Any]:
    """Return ``ossn_unread`` with ``messages`` and ``conversations``: how many the logged-in user has not read.

    One query finds both at the first use in a request. For an anonymous user, both are 0 without a query.
    """
    if not hasattr(request, "_ossn_messaging_unread"):
        request._ossn_messaging_unread = SimpleLazyObject(lambda: _count(request))  # type: ignore[attr-defined]
    return {"ossn_unread": request._ossn_messaging_unread}  # type: ignore[attr-defined]


def _count(request: HttpRequest) -> Unread:
    user = getattr(request, "user", None)
    return Conversation.objects.unread(user) if isinstance(user, AbstractBaseUser) else Unread(0, 0)
