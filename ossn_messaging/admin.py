from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ossn_messaging.keys import APIKeyQuerySet
from ossn_messaging.models import APIKey, Attachment, Message


def _user_searches(*paths: str) -> list[str]:
    return [f"{path}__{get_user_model().USERNAME_FIELD}" for path in paths]


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Nobody writes or edits what a user wrote; deleting it is moderation."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    list_display = ("id", "sender", "recipient", "start", "created_at", "deleted_by_sender", "deleted_by_recipient")
    list_select_related = ("sender", "recipient")
    list_filter = ("created_at", "deleted_by_sender", "deleted_by_recipient")
    ordering = ("-id",)

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return ["=id", "text", *_user_searches("sender", "recipient")]

    @admin.display(description=_("text"))
    def start(self, message: Message) -> str:
        return Truncator(message.text).chars(80)


@admin.register(Attachment)
class AttachmentAdmin(ReadOnlyAdmin):
    list_display = ("id", "name", "content_type", "size", "sender", "recipient")
    list_select_related = ("message__sender", "message__recipient")
    list_filter = ("content_type",)
    fields = ("message", "name", "content_type", "size")
    ordering = ("-id",)

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return ["=id", "name", *_user_searches("message__sender", "message__recipient")]

    @admin.display(description=_("sender"))
    def sender(self, attachment: Attachment) -> str:
        return attachment.message.sender.get_username()

    @admin.display(description=_("recipient"))
    def recipient(self, attachment: Attachment) -> str:
        return attachment.message.recipient.get_username()


@admin.register(APIKey)
class APIKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "created_at", "expires_at", "revoked_at")
    search_fields = ("name",)
    fields = ("name", "expires_at", "created_at", "revoked_at")
    readonly_fields = ("created_at", "revoked_at")
    ordering = ("name", "-created_at")
    actions = ("revoke",)

    def save_model(self, request: HttpRequest, obj: APIKey, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
        else:
            request.issued_key = APIKey.objects.issue(obj)  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: APIKey, post_url_continue: str | None = None) -> HttpResponse:
        """Show the key, on the one page that ever does."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("API key created"),
            "api_key": obj,
            "key": request.issued_key,  # type: ignore[attr-defined]
        }
        response = TemplateResponse(request, "admin/ossn_messaging/apikey/created.html", context)
        response["Cache-Control"] = "no-store"
        return response

    @admin.action(description=_("Revoke the selected API keys"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: APIKeyQuerySet) -> None:
        revoked = queryset.revoke()
        self.message_user(
            request,
            ngettext("%(count)d key was revoked.", "%(count)d keys were revoked.", revoked) % {"count": revoked},
        )
