"""The admin of API keys, and who gets into the admin at all."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from zeal import zeal_ignore

from ossn_messaging.models import APIKey
from tests.conftest import API, files_in, page, staff, upload

MODELS = ["message", "apikey"]


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
    assert '<button type="button" class="button" id="copy-key"' in response.content.decode()
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
    response = moderator.post("/admin/ossn_messaging/apikey/", data, follow=True)
    assert "1 key was revoked." in response.content.decode()
    api.fails("106")


def test_scopes_and_users_are_edited(api: API, moderator: Client, stranger: User) -> None:
    api_key = APIKey.objects.get()
    path = f"/admin/ossn_messaging/apikey/{api_key.pk}/change/"
    moderator.post(path, {"name": "bound", "scopes": ["send"], "users": f"{stranger.pk}"})
    api_key.refresh_from_db()
    assert (api_key.scopes, list(api_key.users.all())) == (["send"], [stranger])
    assert "act as" in api.fails("200")
    assert ">1 user<" in page(moderator, "apikey/")
    stranger.delete()
    moderator.post(path, {"name": "renamed", "scopes": ["send"], "users": ""})
    assert "act as" in api.fails("200"), "whose users are gone acts as nobody"
    moderator.post(path, {"name": "renamed", "scopes": ["send"], "users": f"{api.sender.pk}"})
    api.ok()
    moderator.post(path, {"name": "renamed", "scopes": ["send"], "users": ""})
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
