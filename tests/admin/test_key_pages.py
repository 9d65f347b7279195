"""The pages of API keys in the admin: what can be set, who is picked, and which keys are stored or revoked."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from ossn_messaging.admin.keys import APIKeyAdmin
from ossn_messaging.models import APIKey
from tests.support.api import API, page, staff

LIST = "/admin/ossn_messaging/apikey/"
INPUT = re.compile(r'<(?:input|select|textarea)\b[^>]* name="(\w+)"')


@pytest.fixture
def broken_theme(settings: Settings) -> None:
    """A theme that can render the pages of Django, but not the page that shows a key."""
    loaders = [
        (
            "django.template.loaders.locmem.Loader",
            {"admin/ossn_messaging/apikey/created.html": "{{ key }}{% include missing %}"},
        ),
        "django.template.loaders.app_directories.Loader",
    ]
    options = {**settings.TEMPLATES[0]["OPTIONS"], "loaders": loaders}
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "APP_DIRS": False, "OPTIONS": options}]


def fields(text: str) -> set[str]:
    return set(INPUT.findall(text.partition('id="apikey_form"')[2].partition("</form>")[0]))


def press(client: Client, api_key: APIKey, action: str, **data: Any) -> Any:
    """Press a button on the page of a key, as a browser does: with the fields of its form."""
    chosen = {"action": action, "_selected_action": api_key.pk, "name": "not saved", **data}
    return client.post(LIST, chosen, follow=True)


@pytest.mark.parametrize("debug", [False, True])
def test_a_key_that_can_not_be_shown_is_not_stored(
    moderator: Client, broken_theme: None, settings: Settings, debug: bool
) -> None:
    settings.DEBUG = debug
    moderator.raise_request_exception = False
    response = moderator.post(f"{LIST}add/", {"name": "lost", "scopes": ["read"]})
    assert response.status_code == 500
    assert not re.search(r"ossn_[\w-]{43}", response.content.decode())
    assert not APIKey.objects.filter(name="lost").exists()
    assert not LogEntry.objects.exists()


def test_a_key_whose_successor_can_not_be_shown_is_not_rotated(api: API, moderator: Client, broken_theme: None) -> None:
    moderator.raise_request_exception = False
    api_key = APIKey.objects.get()
    assert press(moderator, api_key, "rotate", rotate="1", days=0).status_code == 500
    assert APIKey.objects.get().expires_at is None
    assert not LogEntry.objects.exists()
    api.ok()


def test_the_page_of_a_key_has_buttons_to_rotate_and_to_revoke_it(api: API, moderator: Client) -> None:
    api_key = APIKey.objects.get()
    path = f"apikey/{api_key.pk}/change/"
    text = page(moderator, path)
    for action in ("rotate", "revoke"):
        assert f'form="apikey_form" formaction="{LIST}" name="action" value="{action}"' in text
    assert text.index('name="_save"') < text.index('value="rotate"'), "Enter in a field saves"
    shown = press(moderator, api_key, "rotate", rotate="1", days=1).content.decode()
    assert "works until" in shown
    assert "“the tests”" in shown
    assert "the tests" in press(moderator, api_key, "revoke").content.decode()
    assert APIKey.objects.active().count() == 2, "it is asked first"
    assert "1 key was revoked." in press(moderator, api_key, "revoke", confirmed="1").content.decode()
    text = page(moderator, path)
    assert 'value="rotate"' not in text
    assert 'value="revoke"' not in text
    api.fails("106")


def test_an_expired_key_is_not_rotated(api: API, moderator: Client) -> None:
    APIKey.objects.update(expires_at=timezone.now())
    text = page(moderator, f"apikey/{APIKey.objects.get().pk}/change/")
    assert 'value="rotate"' not in text
    assert 'value="revoke"' in text


@pytest.mark.parametrize(
    ("permissions", "buttons"),
    [(["view"], set()), (["view", "add"], set()), (["change"], {"revoke"}), (["add", "change"], {"rotate", "revoke"})],
)
def test_a_button_needs_the_permission(api: API, permissions: list[str], buttons: set[str]) -> None:
    api_key = APIKey.objects.get()
    clerk = staff("clerk", *(f"{permission}_apikey" for permission in permissions))
    text = page(clerk, f"apikey/{api_key.pk}/change/")
    assert {action for action in ("rotate", "revoke") if f'value="{action}"' in text} == buttons
    for action in {"rotate", "revoke"} - buttons:
        press(clerk, api_key, action, rotate="1", days=0, confirmed="1")
    assert APIKey.objects.count() == 1
    assert APIKey.objects.active().exists()


def test_a_button_needs_the_token_of_its_page(api: API) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("moderator"))
    assert press(client, APIKey.objects.get(), "revoke", confirmed="1").status_code == 403
    api.ok()


def test_keys_of_all_pages_are_revoked_after_a_look_at_some_of_them(
    moderator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(APIKeyAdmin, "list_per_page", 2)
    keys = [APIKey.objects.create_key(f"key {number:02}")[0] for number in range(24)]
    APIKey.objects.filter(name="the tests").update(last_used_at=timezone.now())
    chosen = {"action": "revoke", "_selected_action": [key.pk for key in keys[:2]], "select_across": "1"}
    path = f"{LIST}?used=never"
    text = moderator.post(path, chosen).content.decode()
    assert "these 24 keys" in text
    assert "key 19" in text
    assert "key 20" not in text
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', text))
    response = moderator.post(path, hidden | {"confirmed": "1"}, follow=True)
    assert "24 keys were revoked." in response.content.decode()
    assert APIKey.objects.active().get().name == "the tests"


def test_the_form_of_a_new_key_has_only_what_can_be_set(moderator: Client) -> None:
    text = page(moderator, "apikey/add/")
    assert fields(text) - {"csrfmiddlewaretoken"} == {
        *("name", "scopes", "users", "expires_at_0", "expires_at_1", "_save")
    }
    for label in ("Acts as", "Created at", "Revoked at", "Last used at"):
        assert label not in text


def test_users_are_picked_by_their_names(api: API, moderator: Client, stranger: User) -> None:
    source = {"app_label": "ossn_messaging", "model_name": "apikey", "field_name": "users", "term": "strang"}
    answer = moderator.get("/admin/autocomplete/", source).json()
    assert [result["text"] for result in answer["results"]] == ["stranger"]
    moderator.post(f"{LIST}add/", {"name": "bound", "scopes": ["read"], "users": [stranger.pk]})
    api_key = APIKey.objects.get(name="bound")
    path = f"apikey/{api_key.pk}/change/"
    option = f'<option value="{stranger.pk}" selected>stranger</option>'
    assert option in page(moderator, path)
    data = {"name": "", "users": [stranger.pk, "x"], "scopes": ["read"]}
    text = moderator.post(f"/admin/ossn_messaging/{path}", data).content.decode()
    assert "“x” is not a valid value." in text
    assert option in text


def test_who_may_not_view_users_gives_their_ids(api: API, stranger: User) -> None:
    clerk = staff("clerk", "add_apikey", "change_apikey")
    text = page(clerk, "apikey/add/")
    assert "admin-autocomplete" not in text
    clerk.post(f"{LIST}add/", {"name": "bound", "users": f"{stranger.pk}, {api.sender.pk}"})
    assert set(APIKey.objects.get(name="bound").users.all()) == {stranger, api.sender}


def test_a_site_without_an_admin_of_users(moderator: Client, rf: Any) -> None:
    request = rf.get("/")
    request.user = User.objects.get(username="moderator")
    site = admin.AdminSite()
    assert APIKeyAdmin(APIKey, site).get_autocomplete_fields(request) == ()
    site.register(User, admin.ModelAdmin)
    assert APIKeyAdmin(APIKey, site).get_autocomplete_fields(request) == (), "it has no search"


def test_the_list_says_whether_a_key_is_active(moderator: Client, settings: Settings) -> None:
    now = timezone.now()
    for name, changes, wanted in (
        ("one", {}, "<div>Active</div>"),
        ("two", {"expires_at": now + timedelta(days=1)}, "<div>Active</div><div>"),
        ("three", {"expires_at": now}, "<div>Expired</div><div>"),
        ("four", {"expires_at": now, "revoked_at": now}, "<div>Revoked</div><div>"),
    ):
        api_key = APIKey.objects.create_key(name)[0]
        APIKey.objects.filter(pk=api_key.pk).update(**changes)
        (row,) = (part for part in page(moderator, "apikey/").split("<tr>") if f">{name}</a>" in part)
        assert wanted in row
