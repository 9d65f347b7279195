"""The URLs of the app: include them in the site's ``urlpatterns``."""

from typing import Any

from django.urls import URLPattern, path, re_path, register_converter
from django.urls.converters import StringConverter

from ossn_messaging.api import views
from ossn_messaging.api.endpoints import Endpoint
from ossn_messaging.exceptions import InvalidVersion


class AnyConverter(StringConverter):
    """A path converter that accepts any text, even if it is empty or has slashes or line breaks.

    ``reverse()`` must not fail for any username, because responses have the URLs of avatars. If no attachment has the
    name, the view answers 404 with an envelope.
    """

    regex = "(?s:.*)"


register_converter(AnyConverter, "ossn_any")

app_name = "ossn_messaging"


def endpoint(route: str, view: type[Endpoint], name: str, **options: Any) -> list[URLPattern]:
    """Return the patterns of an endpoint without and with a slash at the end. Only the first has a name."""
    return [
        path(route, view.as_view(**options), name=name),
        path(f"{route}/", view.as_view(schema=None, **options)),
    ]


urlpatterns = [
    *endpoint("api/v2.0/message/send", views.MessageSend, "message-send"),
    *endpoint("api/v2.0/message/list", views.MessageList, "message-list"),
    *endpoint("api/v2.0/message/new", views.MessageNew, "message-new"),
    *endpoint("api/v2.0/message/recent", views.MessageRecent, "message-recent"),
    *endpoint("api/v2.0/message/unread", views.MessageUnread, "message-unread"),
    *endpoint("api/v2.0/message/updates", views.MessageUpdates, "message-updates"),
    *endpoint("api/v2.0/message/delete", views.MessageDelete, "message-delete"),
    *endpoint("api/v2.0/user/block", views.UserBlock, "user-block"),
    *endpoint("api/v2.0/user/unblock", views.UserUnblock, "user-unblock"),
    *endpoint("api/v2.0/user/blocklist", views.UserBlocklist, "user-blocklist"),
    *endpoint("api/v1.0/message_add", views.MessageAdd, "message-add-v1"),
    *endpoint("api/v1.0/message_list", views.MessageList, "message-list-v1", version=1),
    *endpoint("api/v1.0/message_new", views.MessageNew, "message-new-v1", version=1),
    *endpoint("api/v1.0/message_recent", views.MessageRecent, "message-recent-v1", version=1),
    *endpoint("api/v1.0/message_delete", views.MessageDelete, "message-delete-v1", version=1),
    re_path(r"^api/v[12]\.0/message[_/]", views.UnknownEndpoint.as_view()),
    re_path(r"^api/v\d[^/]*/message[_/]", views.UnknownEndpoint.as_view(error=InvalidVersion)),
    path("messages/attachment/<str:guid>/<ossn_any:name>", views.AttachmentFile.as_view(), name="attachment"),
    path("avatar/<ossn_any:username>/<str:size>/<str:digest>.jpeg", views.Avatar.as_view(), name="avatar"),
]
