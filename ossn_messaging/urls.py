"""The URLs of the app: include them in the site's ``urlpatterns``."""

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from ossn_messaging.api import views


class AnyConverter(StringConverter):
    """A path converter that accepts any text, even if it is empty or has slashes or line breaks.

    ``reverse()`` must not fail for any username, because responses have the URLs of avatars. If no attachment has the
    name, the view answers 404 with an envelope.
    """

    regex = "(?s:.*)"


register_converter(AnyConverter, "ossn_any")

app_name = "ossn_messaging"

urlpatterns = [
    path("api/v2.0/message/send", views.MessageSend.as_view(), name="message-send"),
    path("api/v2.0/message/list", views.MessageList.as_view(), name="message-list"),
    path("api/v2.0/message/new", views.MessageNew.as_view(), name="message-new"),
    path("api/v2.0/message/recent", views.MessageRecent.as_view(), name="message-recent"),
    path("api/v2.0/message/unread", views.MessageUnread.as_view(), name="message-unread"),
    path("api/v2.0/message/delete", views.MessageDelete.as_view(), name="message-delete"),
    path("api/v1.0/message_add", views.MessageAdd.as_view(), name="message-add-v1"),
    path("api/v1.0/message_list", views.MessageList.as_view(version=1), name="message-list-v1"),
    path("api/v1.0/message_new", views.MessageNew.as_view(version=1), name="message-new-v1"),
    path("api/v1.0/message_recent", views.MessageRecent.as_view(version=1), name="message-recent-v1"),
    path("api/v1.0/message_delete", views.MessageDelete.as_view(), name="message-delete-v1"),
    path("messages/attachment/<str:guid>/<ossn_any:name>", views.AttachmentFile.as_view(), name="attachment"),
    path("avatar/<ossn_any:username>/<str:size>/<str:digest>.jpeg", views.Avatar.as_view(), name="avatar"),
]
