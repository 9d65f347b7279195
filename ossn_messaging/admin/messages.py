"""Messages in the admin: their senders and recipients, their content for permitted staff, and moderation."""

from math import inf
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Left, Length
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import linebreaksbr
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop, ngettext

from ossn_messaging.admin.base import MessagingAdmin, lines, may_delete_users, may_view, reject_malformed_parameters
from ossn_messaging.admin.conversation_view import conversation_context, conversation_url
from ossn_messaging.admin.filters import AttachmentFilter, KeyFilter, StateFilter, TimeFilter
from ossn_messaging.admin.lists import MessageList
from ossn_messaging.models import APIKey, Attachment, Conversation, Message
from ossn_messaging.models.users import parse_id

PREVIEW_LENGTH = 80
"""In characters, the length of the text that the list shows."""
SMALL = 1024 * 1024
"""In bytes, the largest image that the list shows."""
MODERATION = {
    "delete_for_both": (_("Delete messages for both users"), gettext_noop("Deleted for both users.")),
    "delete_attachments": (_("Delete attachments"), gettext_noop("Attachment deleted.")),
}
"""The actions of moderators: method of the queryset, title, and the text for the history."""


PEOPLE = _("{sender} to {recipient}")


def isolated(text: str) -> SafeString:
    """Return a text whose writing direction is isolated from that of the page."""
    return format_html("<bdi>{}</bdi>", text)


@admin.register(Message)
class MessageAdmin(MessagingAdmin):
    """The admin of messages, which nobody can add or change.

    The permission ``view_message`` shows that there is a message, ``read_message`` shows its content, too.
    ``moderate_message`` lets staff delete the content.
    """

    list_filter = (TimeFilter, StateFilter, AttachmentFilter, KeyFilter)
    list_per_page = 50
    search_fields = ("id",)  # shows the search box; MessageList does the search
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    actions = ("delete_for_both", "delete_attachments")

    def has_read_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("ossn_messaging.read_message")

    def has_moderate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("ossn_messaging.moderate_message")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Message | None = None) -> bool:
        """Return whether a message may be deleted together with its user.

        The admin asks for this permission before it deletes a user.
        """
        return obj is not None and may_delete_users(request)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        raise PermissionDenied

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        """Return the messages, without loading the columns that the reader may not see."""
        read_by = Conversation.objects.filter(user=OuterRef("recipient"), other_user=OuterRef("sender"))
        queryset: QuerySet[Message] = (
            Message.objects.select_related("sender", "recipient", "attachment")
            .annotate(
                characters=Length("text"), is_read=Exists(read_by.filter(last_read_sequence__gte=OuterRef("sequence")))
            )
            .defer("text")
        )
        if may_view(request, APIKey):
            queryset = queryset.select_related("api_key")
        if self.has_read_permission(request):
            queryset = queryset.annotate(text_start=Left("text", PREVIEW_LENGTH + 1))
        return queryset

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the list or, if the search text names two users, redirect to their conversation."""
        response = super().changelist_view(request, extra_context)
        cl = getattr(response, "context_data", {}).get("cl")
        if cl and len(cl.people) == 1 and len(cl.people[0]) == 2:
            return redirect("admin:ossn_messaging_message_conversation", *(user.pk for user in cl.people[0]))
        return response

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[MessageList]:
        return MessageList

    def get_list_display(self, request: HttpRequest) -> Any:
        content = "content" if self.has_read_permission(request) else "withheld_content"
        return ["id", "conversation", content, "created_at", "state"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        content = ["whole_text", "whole_file"] if self.has_read_permission(request) else ["length", "size"]
        return ["sender", "recipient", *content, "created_at", "read", "deleted", self._key_field(request)]

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Return the filters, without the filter by API key if the reader may not see the names of keys."""
        return [
            list_filter for list_filter in self.list_filter if list_filter is not KeyFilter or may_view(request, APIKey)
        ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Message], search_term: str
    ) -> tuple[QuerySet[Message], bool]:
        """Return the message with this ID, for autocomplete fields. ``MessageList`` has a different search."""
        number = parse_id(search_term)
        return queryset.none() if number is None else queryset.filter(pk=number).order_by("pk"), False

    def _key_field(self, request: HttpRequest) -> str:
        return "api_key" if may_view(request, APIKey) else "key_id"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.conversation_view)
        name = "ossn_messaging_message_conversation"
        return [path("conversation/<int:user_id>/<int:other_id>/", view, name=name), *super().get_urls()]

    def render_change_form(  # noqa: PLR0913, PLR0917, the signature is Django's
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Message | None = None,
    ) -> HttpResponse:
        context |= {
            "show_delete": False,
            "may_moderate": self.has_moderate_permission(request),
            "conversation_url": obj and conversation_url(obj),
        }
        return super().render_change_form(request, context, add, change, form_url, obj)

    @method_decorator(reject_malformed_parameters)
    def conversation_view(self, request: HttpRequest, user_id: int, other_id: int) -> HttpResponse:
        """Show the messages between two users, the newest last. ``?before=`` and ``?after=`` are positions."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = conversation_context(request, self._read_in_full(request), user_id, other_id)
        return self._page(request, "conversation", context)

    def _read_in_full(self, request: HttpRequest) -> QuerySet[Message]:
        rows = self.get_queryset(request)
        return rows.defer(None) if self.has_read_permission(request) else rows

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        return self.page(request, template, context | {"may_read": self.has_read_permission(request)})

    @admin.display(description=_("conversation"))
    def conversation(self, message: Message) -> SafeString:
        people = {"sender": isolated(str(message.sender)), "recipient": isolated(str(message.recipient))}
        return format_html('<a href="{}">{}</a>', conversation_url(message), format_html(str(PEOPLE), **people))

    @admin.display(description=_("message"))
    def content(self, message: Message) -> SafeString:
        """Return the start of the text and the attachment."""
        start = Truncator(message.text_start).chars(PREVIEW_LENGTH)  # type: ignore[attr-defined]
        return lines(start and isolated(start), self._file(message, SMALL))

    @admin.display(description=_("message"))
    def withheld_content(self, message: Message) -> SafeString:
        return lines(self.length(message), self._size(message))

    @admin.display(description=_("state"))
    def state(self, message: Message) -> SafeString:
        deletion = message.deletion and _("deleted %(how)s") % {"how": message.deletion}
        return lines(str(_("read") if message.is_read else _("not read")), deletion)

    @admin.display(description=_("text"))
    def whole_text(self, message: Message) -> SafeString:
        return isolated(linebreaksbr(message.text, autoescape=True))

    @admin.display(description=_("text"))
    def length(self, message: Message) -> str:
        count: int = message.characters  # type: ignore[attr-defined]
        return ngettext("%(count)d character", "%(count)d characters", count) % {"count": count}

    @admin.display(description=_("attachment"))
    def whole_file(self, message: Message) -> str:
        return self._file(message) or self.get_empty_value_display()

    def _file(self, message: Message, picture_size: float = inf) -> str:
        """Return HTML that shows an image of at most ``picture_size`` bytes, or links to any other file."""
        attachment: Attachment | None = getattr(message, "attachment", None)
        if attachment is None:
            return ""
        is_picture = attachment.file_type.is_image and attachment.size <= picture_size
        context = {"attachment": attachment, "is_picture": is_picture}
        return render_to_string("admin/ossn_messaging/message/file.html", context)

    @admin.display(description=_("attachment"))
    def size(self, message: Message) -> str:
        return self._size(message) or self.get_empty_value_display()

    def _size(self, message: Message) -> str:
        attachment: Attachment | None = getattr(message, "attachment", None)
        if attachment is None:
            return ""
        return ngettext("%(count)d byte", "%(count)d bytes", attachment.size) % {"count": attachment.size}

    @admin.display(description=_("API key"))
    def key_id(self, message: Message) -> int | None:
        return message.api_key_id

    @admin.display(description=_("read"), boolean=True)
    def read(self, message: Message) -> bool:
        return message.is_read

    @admin.display(description=_("deleted"))
    def deleted(self, message: Message) -> str:
        return message.deletion or self.get_empty_value_display()

    @admin.action(description=_("Delete the selected messages for both users"), permissions=["moderate"])
    def delete_for_both(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse | None:
        return self._moderate(request, "delete_for_both", self._selected(request).filter(deleted_at=None))

    @admin.action(description=_("Delete the attachments of the selected messages"), permissions=["moderate"])
    def delete_attachments(self, request: HttpRequest, queryset: QuerySet[Message]) -> HttpResponse | None:
        return self._moderate(request, "delete_attachments", self._selected(request).filter(attachment__isnull=False))

    def _selected(self, request: HttpRequest) -> QuerySet[Message]:
        """Return the messages that were selected one by one, even if the request selects those of all pages."""
        return self._read_in_full(request).filter(pk__in=request.POST.getlist(ACTION_CHECKBOX_NAME)).order_by("-pk")

    def _moderate(self, request: HttpRequest, verb: str, rows: QuerySet[Message]) -> HttpResponse | None:
        """Show the messages that would be affected; if the request confirms the action, run it and log it."""
        chosen = list(rows)
        title, logged = MODERATION[verb]
        if not chosen:
            self.message_user(request, _("There is nothing left to delete."), messages.WARNING)
            return None
        if "confirmed" not in request.POST:
            context = {"title": title, "chosen": chosen, "action": verb}
            return self._page(request, "moderation", context)
        with transaction.atomic(using=router.db_for_write(Message)):
            getattr(Message.objects.filter(pk__in=[message.pk for message in chosen]), verb)()
            for message in chosen:
                self.log_change(request, message, logged)
        self.message_user(request, _("It is deleted."), messages.SUCCESS)
        return None
