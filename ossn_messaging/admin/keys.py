from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop, ngettext
from django.views.decorators.debug import sensitive_variables

from ossn_messaging.admin.base import MessagingAdmin, lines, local, may_view
from ossn_messaging.admin.filters import KeyStateFilter, KeyUseFilter
from ossn_messaging.models import APIKey
from ossn_messaging.models.api_keys import SCOPES, APIKeyQuerySet, all_scopes
from ossn_messaging.models.users import parse_id
from ossn_messaging.redaction import use_redacting_reporter

EXPIRY_YEARS = range(1970, 9000)
"""Every time zone can show a time in these years; a time in the year 1 or 9999 may overflow."""


class UsersField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    def prepare_value(self, value: Any) -> Any:
        """Leave out invalid IDs, because the autocomplete widget looks up the users of an invalid form, too."""
        if isinstance(value, list):
            value = [user for user in value if not isinstance(user, str) or parse_id(user) is not None]
        return super().prepare_value(value)

    def clean(self, value: Any) -> Any:
        """Raise ``ValidationError`` for an invalid ID before the query: SQLite fails on numbers above 64 bits."""
        numbers = {user_id: parse_id(user_id) for user_id in value or ()}
        for user_id, number in numbers.items():
            if number is None:
                raise ValidationError(
                    self.error_messages["invalid_pk_value"], code="invalid_pk_value", params={"pk": user_id}
                )
        return super().clean(list(numbers.values()))


class APIKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(
        label=_("Scopes"),
        choices=lambda: list(SCOPES.items()),
        initial=all_scopes,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Label the inputs for date and time, because the admin's texts beside them are not their labels."""
        super().__init__(*args, **kwargs)
        if "expires_at" in self.fields:
            parts = self.fields["expires_at"].widget.widgets
            for part, name in zip(parts, (_("Date of expiry"), _("Time of expiry")), strict=True):
                part.attrs["aria-label"] = name

    def clean_expires_at(self) -> datetime | None:
        expires_at: datetime | None = self.cleaned_data["expires_at"]
        if expires_at and expires_at.year not in EXPIRY_YEARS:
            raise ValidationError(self.fields["expires_at"].error_messages["invalid_date"], code="invalid_date")
        return expires_at


class RotationForm(forms.Form):
    days = forms.IntegerField(
        label=_("Overlap, in days"),
        initial=7,
        min_value=0,
        max_value=365,
        help_text=_("With 0, the old key expires now."),
    )


@admin.register(APIKey)
class APIKeyAdmin(MessagingAdmin):
    form = APIKeyForm
    list_display = ("name", "scope_list", "acts_as", "created_at", "state", "last_used_at")
    list_filter = (KeyStateFilter, KeyUseFilter)
    search_fields = ("name",)
    fields = ("name", "scopes", "users", "expires_at")
    raw_id_fields = ("users",)
    readonly_fields = ("acts_as", "created_at", "revoked_at", "last_used_at")
    ordering = ("name", "-created_at")
    actions = ("revoke", "rotate")

    def get_fields(self, request: HttpRequest, obj: APIKey | None = None) -> Any:
        """Return the fields that can be set, and those that describe the key once it exists.

        If the reader may see neither a form nor the names of users, the users are left out.
        """
        # An editable form without autocomplete shows only the IDs of the users.
        sees_users = self.has_change_permission(request, obj) or may_view(request, get_user_model())
        return [
            *(name for name in self.fields if name != "users" or obj is None or sees_users),
            *(self.readonly_fields if obj else ()),
        ]

    def get_autocomplete_fields(self, request: HttpRequest) -> Any:
        """Return the users, if their admin on this site has a search that the reader may use."""
        return ("users",) if self.may_search_users(request) else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return no initial values from the URL. Django does not validate them, and fails on an invalid time."""
        return {}

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, form_class=UsersField, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[APIKey]:
        api_keys: QuerySet[APIKey] = super().get_queryset(request)
        return api_keys.annotate(user_count=Count("users"))

    @admin.display(description=_("scopes"))
    def scope_list(self, api_key: APIKey) -> str:
        return ", ".join(api_key.scopes)

    @admin.display(description=_("acts as"))
    def acts_as(self, api_key: APIKey) -> str:
        if not api_key.is_restricted:
            return str(_("anyone"))
        count: int = api_key.user_count  # type: ignore[attr-defined]
        return ngettext("%(count)d user", "%(count)d users", count) % {"count": count}

    @admin.display(description=_("state"))
    def state(self, api_key: APIKey) -> SafeString:
        """Return whether the key is active, and the day on which it was revoked or expires."""
        label = _("Active") if api_key.is_active else _("Revoked") if api_key.revoked_at else _("Expired")
        moment = api_key.revoked_at or api_key.expires_at
        return lines(str(label), date_format(local(moment), "SHORT_DATE_FORMAT") if moment else "")

    def save_model(self, request: HttpRequest, obj: APIKey, form: Any, change: bool) -> None:
        """Save only the changed fields, because the key may have been revoked since the form was shown."""
        if change:
            obj.save(update_fields=[name for name in form.changed_data if name != "users"])
        else:
            use_redacting_reporter(request)
            request.issued_key = APIKey.objects.issue(obj)  # type: ignore[attr-defined]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save the users that the key may act as, if the form changed them.

        If all users of a key were deleted elsewhere, the key stays restricted and may act as nobody.
        """
        super().save_related(request, form, formsets, change)
        if "users" in form.changed_data:
            form.instance.restrict_to(form.cleaned_data["users"])

    def response_add(self, request: HttpRequest, obj: APIKey, post_url_continue: str | None = None) -> HttpResponse:
        return self._show_key(request, obj, request.issued_key)  # type: ignore[attr-defined]

    @sensitive_variables()
    def _show_key(self, request: HttpRequest, api_key: APIKey, key: str, rotated: APIKey | None = None) -> HttpResponse:
        """Show a key. No other page shows it."""
        context = {"title": _("API key created"), "api_key": api_key, "key": key, "rotated": rotated}
        response = self.page(request, "created", context)
        response["Cache-Control"] = "no-store"
        # The caller's transaction rolls the key back if this fails: nobody would know the key that was stored.
        return response.render()

    def render_change_form(  # noqa: PLR0913, PLR0917, the signature is Django's
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: APIKey | None = None,
    ) -> HttpResponse:
        if obj is None:  # the page after this one shows the key
            context |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        else:
            context |= {
                "may_revoke": obj.revoked_at is None and self.has_change_permission(request),
                "may_rotate": obj.is_active and self.has_rotate_permission(request),
            }
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.action(description=_("Revoke the selected API keys"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: APIKeyQuerySet) -> HttpResponse | None:
        """Ask for a confirmation, then revoke the keys."""
        chosen = list(queryset.filter(revoked_at=None))
        if chosen and "confirmed" not in request.POST:
            context = {
                "title": _("Revoke API keys"),
                "chosen": chosen,
                "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
                "select_across": request.POST.get("select_across"),
            }
            return self.page(request, "revoke", context)
        revoked = queryset.revoke()
        for api_key in chosen:
            self.log_change(request, api_key, gettext_noop("Revoked."))
        self.message_user(
            request,
            ngettext("%(count)d key was revoked.", "%(count)d keys were revoked.", revoked) % {"count": revoked},
        )
        return None

    def has_rotate_permission(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request) and self.has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return false: messages refer to the key that sent them, so a key is revoked instead of deleted."""
        return False

    @admin.action(description=_("Rotate the selected API key"), permissions=["rotate"])
    @sensitive_variables("made", "key")
    def rotate(self, request: HttpRequest, queryset: APIKeyQuerySet) -> HttpResponse | None:
        """Ask for the overlap, then rotate the key and show the new one."""
        api_keys = list(queryset.active()[:2])
        if len(api_keys) != 1:
            self.message_user(request, _("Select one active key."), messages.ERROR)
            return None
        (api_key,) = api_keys
        form = RotationForm(request.POST if "rotate" in request.POST else None)
        if not form.is_valid():
            return self.page(request, "rotate", {"title": _("Rotate an API key"), "api_key": api_key, "form": form})
        use_redacting_reporter(request)
        with transaction.atomic(using=router.db_for_write(APIKey)):
            made, key = api_key.rotate(timedelta(days=form.cleaned_data["days"]))
            self.log_change(request, api_key, gettext_noop("Rotated."))
            self.log_addition(request, made, gettext_noop("Created by rotation."))
            return self._show_key(request, made, key, rotated=api_key)
