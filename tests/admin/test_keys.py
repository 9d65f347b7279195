"""The admin of API keys, and who gets into the admin at all."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings
from zeal import zeal_ignore

from ossn_messaging.admin.keys import APIKeyAdmin
from ossn_messaging.models import APIKey
from tests.support.api import API, page, staff, upload
from tests.support.storage import files_in

MODELS = ["message", "apikey", "block"]


@pytest.mark.parametrize("model", MODELS)
def test_a_list_costs_the_same_for_every_length(api: API, moderator: Client, model: str) -> None:
    costs = []
    for _ in range(2):
        for _ in range(3):
            api.ok(attachment=upload("dummy.pdf"))
            APIKey.objects.create_key("another")
        with CaptureQueriesContext(connection) as context:
            page(moderator, f"{model}/")
        costs.append(len(context))
    assert costs[0] == costs[1]


def test_deleting_a_user_deletes_their_files(api: API, moderator: Client, attachments_folder: Path) -> None:
    api.ok(attachment=upload("dummy.pdf"))
    with zeal_ignore():  # the admin gets the session's user, and then the user whose page it is
        moderator.post(f"/admin/auth/user/{api.recipient.pk}/delete/", {"post": "yes"})
    assert not User.objects.filter(pk=api.recipient.pk).exists()
    assert files_in(attachments_folder) == []


def test_a_new_key_is_shown_once(moderator: Client) -> None:
    data = {"name": "integrator", "scopes": ["read"], "expires_at_0": "2999-01-01", "expires_at_1": "00:00"}
    response = moderator.post("/admin/ossn_messaging/apikey/add/", data)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    (key,) = set(re.findall(r"ossn_[\w-]{43}", response.content.decode()))
    api_key = APIKey.objects.find(key)
    assert api_key is not None
    assert (api_key.name, api_key.scopes, api_key.is_restricted) == ("integrator", ["read"], False)
    assert '<button type="button" class="ossn-button" id="copy-key"' in response.content.decode()
    assert api_key.expires_at is not None
    for path in ("apikey/", f"apikey/{api_key.pk}/change/", f"apikey/{api_key.pk}/history/"):
        shown = page(moderator, path)
        assert key not in shown
        assert api_key.digest not in shown
    moderator.post(f"/admin/ossn_messaging/apikey/{api_key.pk}/change/", {"name": "renamed"})
    changed = APIKey.objects.find(key)
    assert changed is not None
    assert changed.name == "renamed"
    assert changed.expires_at is None


def test_a_key_without_a_name(moderator: Client) -> None:
    before = APIKey.objects.count()
    assert moderator.post("/admin/ossn_messaging/apikey/add/", {"name": ""}).status_code == 200
    assert APIKey.objects.count() == before


def test_keys_can_be_revoked(api: API, moderator: Client) -> None:
    number = APIKey.objects.get().pk
    data = {"action": "revoke", "_selected_action": [number]}
    response = moderator.post("/admin/ossn_messaging/apikey/", data)
    assert "Yes, revoke" in response.content.decode()
    api.ok()
    response = moderator.post("/admin/ossn_messaging/apikey/", data | {"confirmed": "1"}, follow=True)
    assert "1 key was revoked." in response.content.decode()
    api.fails("106")


def test_scopes_and_users_are_edited(api: API, moderator: Client, stranger: User) -> None:
    api_key = APIKey.objects.get()
    path = f"/admin/ossn_messaging/apikey/{api_key.pk}/change/"
    moderator.post(path, {"name": "bound", "scopes": ["send"], "users": [stranger.pk]})
    api_key.refresh_from_db()
    assert (api_key.scopes, list(api_key.users.all())) == (["send"], [stranger])
    assert "act as" in api.fails("200")
    assert ">1 user<" in page(moderator, "apikey/")
    stranger.delete()
    moderator.post(path, {"name": "renamed", "scopes": ["send"], "users": []})
    assert "act as" in api.fails("200"), "whose users are gone acts as nobody"
    moderator.post(path, {"name": "renamed", "scopes": ["send"], "users": [api.sender.pk]})
    api.ok()
    moderator.post(path, {"name": "renamed", "scopes": ["send"], "users": []})
    api.ok(from_=api.recipient.pk, to=api.sender.pk)
    assert ">anyone<" in page(moderator, "apikey/")
    assert moderator.post(path, {"name": "x", "scopes": ["delete"]}).status_code == 200
    moderator.post(path, {"name": "nothing"})
    assert "scope" in api.fails("200")


def rotate(moderator: Client, *numbers: int, **data: Any) -> str:
    response = moderator.post(
        "/admin/ossn_messaging/apikey/", {"action": "rotate", "_selected_action": numbers, **data}, follow=True
    )
    return str(response.content.decode())


def test_keys_are_rotated(api: API, moderator: Client) -> None:
    api_key = APIKey.objects.get()
    assert "Overlap, in days" in rotate(moderator, api_key.pk)
    assert "greater than or equal to 0" in rotate(moderator, api_key.pk, rotate="Rotate", days=-1)
    assert APIKey.objects.count() == 1
    shown = rotate(moderator, api_key.pk, rotate="Rotate", days=7)
    assert "works until" in shown
    (new,) = set(re.findall(r"ossn_[\w-]{43}", shown))
    api.ok()
    API(Client(), new, api.sender, api.recipient).ok()
    assert "Rotated." in page(moderator, f"apikey/{api_key.pk}/history/")
    assert new not in page(moderator, "apikey/")
    both = APIKey.objects.values_list("pk", flat=True)
    assert "Select one active key" in rotate(moderator, *both)
    APIKey.objects.get(pk=api_key.pk).revoke()
    assert "Select one active key" in rotate(moderator, api_key.pk)


@pytest.mark.parametrize("permission", ["add", "change"])
def test_rotation_takes_both_permissions(api: API, permission: str) -> None:
    """It ends a key and makes another."""
    client = staff("clerk", "view_apikey", f"{permission}_apikey")
    rotate(client, APIKey.objects.get().pk, rotate="Rotate", days=0)
    assert APIKey.objects.count() == 1
    api.ok()


def test_a_form_that_was_shown_before_revokes_nothing_back(
    api: API, moderator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    api_key = APIKey.objects.get()
    monkeypatch.setattr("ossn_messaging.admin.keys.APIKeyForm.clean", lambda form: api_key.revoke())
    moderator.post(f"/admin/ossn_messaging/apikey/{api_key.pk}/change/", {"name": "renamed", "scopes": ["send"]})
    api_key.refresh_from_db()
    assert api_key.name == "renamed"
    api.fails("106")


def test_keys_are_not_deleted(api: API, moderator: Client) -> None:
    number = APIKey.objects.get().pk
    assert moderator.post(f"/admin/ossn_messaging/apikey/{number}/delete/", {"post": "yes"}).status_code == 403
    assert "Delete selected" not in page(moderator, "apikey/")


@pytest.mark.parametrize("model", MODELS)
def test_nobody_else_gets_in(api: API, model: str) -> None:
    for user in (api.sender, User.objects.create_user("clerk", is_staff=True)):
        client = Client()
        client.force_login(user)
        assert client.get(f"/admin/ossn_messaging/{model}/").status_code in (302, 403)


def test_who_may_only_look_at_keys(api: API) -> None:
    api_key = APIKey.objects.get()
    shown = page(staff("auditor", "view_apikey"), f"apikey/{api_key.pk}/change/")
    assert api_key.name in shown
    assert "Save" not in shown


def test_the_history_of_what_is_not_there(moderator: Client) -> None:
    """As elsewhere in the admin, it leads to its first page."""
    response = moderator.get("/admin/ossn_messaging/message/999999999/history/")
    assert (response.status_code, response["Location"]) == (302, "/admin/")


def test_a_digest_can_be_guessed_by_no_lookup(api: API) -> None:
    """Django takes lookups on any field of the model, and of those it points to, from the URL."""
    digest, auditor = APIKey.objects.get().digest, staff("auditor", "view_apikey")
    for query in (
        *(f"digest__startswith={value}" for value in (digest[:1], "x")),
        *(f"{name}={digest}" for name in ("digest", "digest__in", "digest__regex", "pk__gt", "is_restricted")),
        *("users__password__startswith=md5", "messages__text__startswith=x", "name__startswith=x", "_to_field=digest"),
        *("revoked_at__isnull=True", "expires_at__gte=2000-01-01", "nothing=x"),
    ):
        assert auditor.get(f"/admin/ossn_messaging/apikey/?{query}").status_code == 400, query
    for query in ("o=digest", "_facets=True", "e=1", "_popup=1", "_to_field=id", "o=6.-4"):
        assert digest not in page(auditor, f"apikey/?{query}")
    assert "0 API keys" in page(auditor, "apikey/", q=digest)


def test_the_admin_of_a_site_may_filter_by_fields(rf: RequestFactory) -> None:
    class SiteAdmin(APIKeyAdmin):
        list_filter = ("name", ("users", admin.RelatedFieldListFilter))  # type: ignore[assignment]

    def allows(lookup: str) -> bool:
        return SiteAdmin(APIKey, admin.site).lookup_allowed(lookup, "x", rf.get("/"))

    assert allows("name")
    assert allows("name__startswith")
    assert allows("users__id__exact")
    assert not allows("users__password")
    assert not allows("names")
    assert not allows("state")


def test_keys_are_found_by_their_state_and_their_last_use(api: API, moderator: Client) -> None:
    now, made = timezone.now(), {}
    for name, changes in {
        "of today": {"last_used_at": now, "expires_at": now + timedelta(days=1)},
        "of last month": {"last_used_at": now - timedelta(days=30), "expires_at": now},
        "ended": {"revoked_at": now, "expires_at": now - timedelta(days=1)},
        "unused": {},
    }.items():
        made[name] = APIKey.objects.create_key(name)[0]
        APIKey.objects.filter(pk=made[name].pk).update(**changes)
    for query, names in {
        "state=active": ["of today", "unused"],
        "state=expired": ["of last month"],
        "state=revoked": ["ended"],
        "used=week": ["of today"],
        "used=before": ["of last month"],
        "used=never": ["ended", "unused"],
        "state=active&used=never&_facets=True": ["unused"],
    }.items():
        text = page(moderator, f"apikey/?{query}")
        assert [name for name in made if f">{name}</a>" in text] == names, query
    assert "Expired (1)" in page(moderator, "apikey/?_facets=True")
    for query in ("state=x", "used=x"):
        assert moderator.get(f"/admin/ossn_messaging/apikey/?{query}")["Location"].endswith("?e=1")


@pytest.mark.parametrize(
    ("zone", "day", "time"), [("America/New_York", "9999-12-31", "23:59"), ("Asia/Tokyo", "0001-01-01", "00:00")]
)
def test_a_time_that_not_every_zone_can_show_is_refused(
    api: API, moderator: Client, settings: Settings, zone: str, day: str, time: str
) -> None:
    settings.TIME_ZONE = zone
    data = {"name": "for ever", "scopes": ["read"], "expires_at_0": day, "expires_at_1": time}
    for path in ("add", f"{APIKey.objects.get().pk}/change"):
        assert "Enter a valid date." in moderator.post(f"/admin/ossn_messaging/apikey/{path}/", data).content.decode()
    assert not APIKey.objects.filter(name="for ever").exists()


def test_who_may_not_view_users_is_not_told_whom_a_key_may_act_as(api: API) -> None:
    api_key = APIKey.objects.get()
    api_key.restrict_to([api.sender])
    for permission, is_named in (("view_message", False), ("change_apikey", False), ("view_user", True)):
        clerk = staff(permission, "view_apikey", permission)
        text = page(clerk, f"apikey/{api_key.pk}/change/")
        assert ("arsalanshah" in text) == is_named
        assert "1 user" in text
