"""Blocks in the admin."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest

from ossn_messaging.admin.base import MessagingAdmin, may_delete_users, may_view
from ossn_messaging.models import Block
from ossn_messaging.models.users import parse_id


class UserField(forms.ModelChoiceField):  # type: ignore[type-arg]
    def prepare_value(self, value: Any) -> Any:
        """Leave out an invalid ID, because the autocomplete widget looks up the user of an invalid form, too."""
        return None if isinstance(value, str) and parse_id(value) is None else super().prepare_value(value)


@admin.register(Block)
class BlockAdmin(MessagingAdmin):
    """The admin of blocks, which can be added and deleted, but not changed."""

    list_display = ("id", "user", "blocked_user", "created_at")
    list_select_related = ("user", "blocked_user")
    list_per_page = 50
    show_full_result_count = False
    fields = ("user", "blocked_user", "created_at")
    raw_id_fields = ("user", "blocked_user")
    readonly_fields = ("created_at",)
    ordering = ("-pk",)
    sortable_by = ()

    def get_fields(self, request: HttpRequest, obj: Block | None = None) -> Any:
        return self.fields if obj else self.raw_id_fields

    def get_autocomplete_fields(self, request: HttpRequest) -> Any:
        return self.raw_id_fields if self.may_search_users(request) else ()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_foreignkey(db_field, request, form_class=UserField, **kwargs)

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        """Return lookups by the exact name of a user, because not all staff may search for names."""
        return [f"{name}__{get_user_model().USERNAME_FIELD}__exact" for name in self.raw_id_fields]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may add a block and view the users in the form."""
        return super().has_add_permission(request) and may_view(request, get_user_model())

    def has_change_permission(self, request: HttpRequest, obj: Block | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Block | None = None) -> bool:
        """Return whether the user may delete a block.

        If ``obj`` is given, it is enough to have the permission to delete users: the admin asks for this permission
        before it deletes a user together with their blocks.
        """
        return super().has_delete_permission(request, obj) or (obj is not None and may_delete_users(request))
