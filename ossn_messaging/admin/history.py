"""The history of a row in the admin, in the language of who reads it."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext


class TranslatedHistory(admin.ModelAdmin):  # type: ignore[type-arg]
    """Base of what logs texts of its own, untranslated: several languages may be read in one admin.

    Django looks for the row before it asks whether somebody may see it, and so tells all staff which rows there are.
    """

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        response = super().history_view(request, object_id, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data:
            for entry in response.context_data["action_list"]:
                entry.change_message = entry.change_message and gettext(entry.change_message)
        return response
