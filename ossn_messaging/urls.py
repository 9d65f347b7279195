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
    path("messages/attachment/<int:guid>/<str:name>", views.AttachmentFile.as_view(), name="attachment"),
    path("avatar/<ossn_username:username>/<str:size>/<str:digest>.jpeg", views.Avatar.as_view(), name="avatar"),
]
