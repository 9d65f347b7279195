"""No value of a parameter makes a page of the app's admin fail."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import resolve
from zeal import zeal_ignore

from ossn_messaging.models import APIKey, Block, Message
from tests.admin.test_keys import MODELS
from tests.support.api import API, upload

LISTS = ("q", "o", "p", "e", "all", "_facets", "_popup", "_to_field", "_changelist_filters", "pk", "pk__in", "nothing")
FORMS = ("_popup", "_to_field", "_changelist_filters", "_continue")
GET = {
    "message/": (*LISTS, "before", "after", "sent", "state", "attachment", "key", "api_key", "created_at__gte"),
    "message/{message}/change/": FORMS,
    "message/{message}/history/": FORMS,
    "message/{message}/delete/": FORMS,
    "message/conversation/{sender}/{recipient}/": ("before", "after"),
    "apikey/": (*LISTS, "state", "used", "expires_at__gte", "expires_at__year", "users"),
    "apikey/add/": (*FORMS, "name", "users", "expires_at"),
    "block/": (*LISTS, "user", "user__password__startswith", "created_at__gte"),
    "block/add/": (*FORMS, "user", "blocked_user", "created_at"),
    "block/{block}/change/": FORMS,
    "block/{block}/history/": FORMS,
    "block/{block}/delete/": FORMS,
    "apikey/{key}/change/": FORMS,
    "apikey/{key}/history/": FORMS,
}
ACTION = ("action", "_selected_action", "index", "select_across")
POST = {
    "message/": (*ACTION, "confirmed"),
    "apikey/": (*ACTION, "rotate", "days", "confirmed"),
    "block/": ACTION,
    "block/add/": (*FORMS, "user", "blocked_user"),
    "block/{block}/delete/": (*FORMS, "post"),
    "apikey/add/": (*FORMS, "name", "scopes", "users", "expires_at_0", "expires_at_1"),
    "apikey/{key}/change/": (*FORMS, "name", "scopes", "users", "expires_at_0", "expires_at_1"),
}
GOOD = {
    "block/": {"action": "delete_selected", "_selected_action": "{block}", "index": "0"},
    "block/add/": {"user": "{recipient}", "blocked_user": "{sender}"},
    "message/": {"action": "delete_for_both", "_selected_action": "{message}", "index": "0"},
    "apikey/": {"action": "rotate", "_selected_action": "{key}", "index": "0", "rotate": "Rotate", "days": "1"},
    "apikey/add/": {"name": "new", "scopes": "send", "expires_at_0": "2999-01-01", "expires_at_1": "00:00"},
    "apikey/{key}/change/": {"name": "new", "scopes": "send", "expires_at_0": "2999-01-01", "expires_at_1": "00:00"},
}
BAD = (
    *("", "abc", "-1", "1.5", "\N{SUPERSCRIPT TWO}", "\N{GRINNING FACE}", "digest", "x" * 10_000),
    *(f"{2**63}", f"{2**64}", "9" * 5000, f"1,{2**64}", "\0", "1\0", "9999-12-31", "0001-01-01 00:00:00+14:00"),
)
SURROGATE = "+2AA-"
"""What a request in UTF-7 may say, and no database can store."""


@pytest.fixture
def world(api: API) -> dict[str, Any]:
    message = api.ok(attachment=upload("photo.png"))["id"]
    return {
        "message": message,
        "block": Block.objects.create(user=api.sender, blocked_user=api.recipient).pk,
        "key": APIKey.objects.get().pk,
        "sender": api.sender.pk,
        "recipient": api.recipient.pk,
    }


def responses(client: Client, method: str, path: str, name: str, good: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a page answers to each bad value of a parameter."""
    for value in BAD:
        data = good | {name: value}
        yield value, client.get(path, data) if method == "GET" else client.post(path, data)
    if method == "POST":
        body = encode_multipart(BOUNDARY, good | {name: SURROGATE})
        yield "surrogate", client.generic("POST", path, body, f"{MULTIPART_CONTENT}; charset=utf-7")
    else:
        query = urlencode(good | {name: SURROGATE})
        content_type = "text/plain; charset=utf-7"
        yield "surrogate", client.generic("GET", path, CONTENT_TYPE=content_type, QUERY_STRING=query)


def failures(
    client: Client, method: str, path: str, names: tuple[str, ...], good: dict[str, Any]
) -> list[tuple[str, str, str]]:
    """Return which values of these parameters make a page fail, and how."""
    return [
        (name, value[:30], ascii(response.exc_info[1])[:150])
        for name in names
        for value, response in responses(client, method, path, name, good)
        if response.status_code >= 500
    ]


@pytest.fixture
def browser(moderator: Client) -> Client:
    """A browser that shows errors as a site would."""
    moderator.raise_request_exception = False
    return moderator


@pytest.mark.parametrize(("method", "path"), [*(("GET", path) for path in GET), *(("POST", path) for path in POST)])
def test_no_value_of_a_parameter_is_an_error(world: dict[str, Any], browser: Client, method: str, path: str) -> None:
    names, good = {"GET": (GET, {}), "POST": (POST, GOOD)}[method]
    data = {name: text.format(**world) for name, text in good.get(path, {}).items()}
    url = f"/admin/ossn_messaging/{path.format(**world)}"
    with zeal_ignore():  # a form of two users gets them one by one
        assert failures(browser, method, url, names[path], data) == []
    for model in MODELS:  # nor does what was stored make one
        assert browser.get(f"/admin/ossn_messaging/{model}/").status_code == 200


@pytest.mark.parametrize(("model", "field"), [("message", "api_key"), ("attachment", "message")])
def test_no_name_to_complete_is_an_error(world: dict[str, Any], browser: Client, model: str, field: str) -> None:
    source = {"app_label": "ossn_messaging", "model_name": model, "field_name": field}
    assert failures(browser, "GET", "/admin/autocomplete/", ("term", "page"), source) == []


@pytest.mark.parametrize(
    "number", ["abc", "%00", "-1", "0", f"{2**63}", f"{2**64}", "9" * 5000, "%C2%B2", "1%00", "%F0%9F%98%80"]
)
def test_no_id_in_a_path_is_an_error(world: dict[str, Any], browser: Client, number: str) -> None:
    for path in (
        *(f"{model}/{number}/{view}" for model in MODELS for view in ("", "change/", "history/", "delete/")),
        *(f"message/conversation/{users}/" for users in (f"{number}/1", f"1/{number}")),
    ):
        assert browser.get(f"/admin/ossn_messaging/{path}", follow=True).status_code < 500, path


def test_every_page_of_the_admin_is_tried(world: dict[str, Any]) -> None:
    tried = {resolve(f"/admin/ossn_messaging/{path.format(**world)}").url_name for path in (*GET, *POST)}
    admins = [admin.site.get_model_admin(model) for model in (APIKey, Block, Message)]
    there = {pattern.name for model_admin in admins for pattern in model_admin.get_urls()}
    assert {name for name in there if name} <= tried | {"ossn_messaging_apikey_delete", "ossn_messaging_message_add"}


def test_an_action_on_what_is_no_id_does_nothing(api: API, moderator: Client) -> None:
    api.ok()
    for path, action in (("message", "delete_for_both"), ("message", "delete_attachments"), ("apikey", "revoke")):
        for numbers in (["abc"], [f"{2**64}"], ["1", ""]):
            data = {"action": action, "_selected_action": numbers, "confirmed": "Yes"}
            assert moderator.post(f"/admin/ossn_messaging/{path}/", data).status_code == 400
    api.ok()
