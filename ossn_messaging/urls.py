from django.urls import path, register_converter
from django.urls.converters import StringConverter

from ossn_messaging import views


class UsernameConverter(StringConverter):
    """Any user name there can be: no character is refused, for a message must not fail over its sender's icon."""

    regex = "(?s:.*)"


register_converter(UsernameConverter, "ossn_username")

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
    path("messages/attachment/<int:guid>/<str:name>", views.AttachmentFile.as_view(), name="attachment"),
    path("avatar/<ossn_username:username>/<str:size>/<str:digest>.jpeg", views.Avatar.as_view(), name="avatar"),
]
