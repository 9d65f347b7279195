"""The API for members who are logged in to the site, with ``SESSION_API``."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import OperationalError, connection
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from ossn_messaging.models import APIKey, Attachment, Block, Conversation, Message
from tests.site import ObservedUser
from tests.support.api import API, SEND, fetch, upload
from tests.support.files import PDF

TOKEN = "a" * 32
JSON = "application/json"
CSRF_TEXT = "the CSRF token is missing or wrong, or the request comes from another origin"
OTHER_USER_TEXT = "a session may act only as its own user"
CHANGING = ["message/send", "message/delete", "user/block", "user/unblock"]
READING = ["message/list", "message/new", "message/recent", "message/unread", "message/updates", "user/blocklist"]
SAVED_TOKEN = {"X-CSRFToken": TOKEN}


@pytest.fixture(autouse=True)
def sessions(settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"SESSION_API": True}


class Member:
    """The browser of a member on a page of the site, whose requests are checked for their CSRF token."""

    def __init__(self, user: User, api: API) -> None:
        self.user, self.api = user, api
        self.client = Client(enforce_csrf_checks=True)
        self.client.force_login(user)
        self.client.cookies["csrftoken"] = TOKEN

    def ask(self, path: str, data: Any = None, *, status: int = 200, headers: Any = SAVED_TOKEN, **more: Any) -> Any:
        """Return the answer to a POST, which has the token unless ``headers`` say otherwise."""
        response = self.client.post(f"/api/{path}", data, headers=headers, **more)
        return self.api.read(response, status)

    def get(self, path: str, data: Any = None, status: int = 200, **more: Any) -> Any:
        return self.api.read(self.client.get(f"/api/{path}", data, **more), status)

    def told(self, path: str, **data: Any) -> Any:
        answer = self.ask(f"v2.0/{path}", {name.rstrip("_"): value for name, value in data.items()})
        assert answer["code"] == "100", answer
        return answer["payload"]

    def send(self, to: User, **data: Any) -> Any:
        return self.told("message/send", **{"to": to.pk, "message": "Hello", **data})


@pytest.fixture
def anna(api: API) -> Member:
    return Member(api.sender, api)


@pytest.fixture
def ben(api: API) -> Member:
    return Member(api.recipient, api)


def test_members_write_to_each_other(anna: Member, ben: Member, received: list[dict[str, Any]]) -> None:
    sent = anna.send(ben.user, attachment=upload("dummy.pdf"), idempotency_key="1")
    assert (sent["message_from"]["guid"], sent["message_to"]["guid"]) == (anna.user.pk, ben.user.pk)
    assert Message.objects.get().api_key is None
    assert [call["api_key"] for call in received] == [None]
    assert ben.told("message/unread") == {"count": 1, "conversations": 1}
    assert [message["id"] for message in ben.told("message/list", to=anna.user.pk)["list"]] == [sent["id"]]
    assert [message["id"] for message in ben.told("message/recent")["list"]] == [sent["id"]]
    after = ben.told("message/updates")["after"]
    assert [message["id"] for message in ben.told("message/new", from_=anna.user.pk, markallread=1)["list"]] == [
        sent["id"]
    ]
    assert ben.told("message/unread")["count"] == 0
    assert anna.told("message/delete", id=sent["id"]) is True
    assert ben.told("message/updates", after=after)["deleted"] == [
        {"guid": anna.user.pk, "id": sent["id"], "for": "all"}
    ]
    assert ben.told("user/block", to_block_guid=anna.user.pk) == {"success": True}
    assert [user["guid"] for user in ben.told("user/blocklist")["list"]] == [anna.user.pk]
    refused = anna.ask("v2.0/message/send", {"to": ben.user.pk, "message": "Hello?"})
    assert refused["message"] == "Message send failed: this sender may not write to this recipient"
    assert ben.told("user/unblock", to_unblock_guid=anna.user.pk) == {"success": True}


def test_a_message_is_sent_once(anna: Member, ben: Member) -> None:
    first, again = (anna.send(ben.user, idempotency_key="1") for _ in range(2))
    assert first["id"] == again["id"]
    assert Message.objects.count() == 1


@pytest.mark.parametrize("path", [*CHANGING, *READING])
def test_a_session_is_not_enough_by_default(anna: Member, settings: Settings, path: str) -> None:
    settings.OSSN_MESSAGING = {}
    answer = anna.ask(f"v2.0/{path}", {"guid": anna.user.pk, "from": anna.user.pk})
    assert answer["message"] == "The API key is missing or not valid"


@pytest.mark.parametrize("name", ["add", "list", "new", "recent", "delete"])
def test_version_1_takes_keys_alone(anna: Member, name: str) -> None:
    answer = anna.ask(f"v1.0/message_{name}", {"guid": anna.user.pk})
    assert answer["message"] == "The API key is missing or not valid"
    response = anna.client.post(f"/api/v1.0/message_{name}/", headers=SAVED_TOKEN)
    assert anna.api.read(response)["code"] == "106"


class TestCSRF:
    """Another site lets the browser of a member send requests, with the member's cookies."""

    def assert_refused(self, answer: Any, failed: str = "Message send failed") -> None:
        assert (answer["code"], answer["message"]) == ("200", f"{failed}: {CSRF_TEXT}")
        assert not Message.objects.exists()

    @pytest.fixture
    def fields(self, ben: Member) -> dict[str, Any]:
        return {"to": ben.user.pk, "message": "Hello"}

    @pytest.mark.parametrize("headers", [{}, {"X-CSRFToken": "b" * 32}, {"X-CSRFToken": ""}, {"X-CSRFToken": "é"}])
    @pytest.mark.parametrize("http_status", ["ossn", "rest"])
    def test_no_token_or_a_wrong_one(
        self, anna: Member, fields: Any, headers: Any, http_status: str, settings: Settings
    ) -> None:
        settings.OSSN_MESSAGING = {"SESSION_API": True, "HTTP_STATUS": http_status}
        self.assert_refused(anna.ask("v2.0/message/send", fields, headers=headers, status=403))
        whole = json.dumps(fields)
        refused = anna.ask("v2.0/message/send", whole, headers=headers, status=403, content_type=JSON)
        self.assert_refused(refused)

    def test_no_cookie(self, anna: Member, fields: Any) -> None:
        del anna.client.cookies["csrftoken"]
        self.assert_refused(anna.ask("v2.0/message/send", fields, status=403))

    @pytest.mark.parametrize("path", [*CHANGING, *READING])
    def test_every_post_needs_it(self, anna: Member, path: str) -> None:
        assert anna.ask(f"v2.0/{path}", headers={}, status=403)["message"].endswith(f"failed: {CSRF_TEXT}")
        response = anna.client.post(f"/api/v2.0/{path}/")
        assert response.status_code == 403

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://testserver.evil.example"])
    def test_another_origin(self, anna: Member, fields: Any, origin: str) -> None:
        headers = {**SAVED_TOKEN, "Origin": origin}
        self.assert_refused(anna.ask("v2.0/message/send", fields, headers=headers, status=403))

    def test_an_origin_that_the_site_trusts(self, anna: Member, fields: Any, settings: Settings) -> None:
        settings.CSRF_TRUSTED_ORIGINS = ["https://app.example"]
        headers = {**SAVED_TOKEN, "Origin": "https://app.example"}
        assert anna.ask("v2.0/message/send", fields, headers=headers)["code"] == "100"

    def test_https_needs_a_referer_or_an_origin(self, anna: Member, fields: Any) -> None:
        self.assert_refused(anna.ask("v2.0/message/send", fields, secure=True, status=403))
        headers = {**SAVED_TOKEN, "Referer": "https://testserver/inbox"}
        assert anna.ask("v2.0/message/send", fields, headers=headers, secure=True)["code"] == "100"

    def test_the_token_of_a_form(self, anna: Member, fields: Any) -> None:
        fields["csrfmiddlewaretoken"] = TOKEN
        assert anna.ask("v2.0/message/send", fields, headers={})["code"] == "100"
        encoded, content_type = urlencode(fields), "application/x-www-form-urlencoded"
        assert anna.ask("v2.0/message/send", encoded, headers={}, content_type=content_type)["code"] == "100"
        fields["csrfmiddlewaretoken"] = "b" * 32
        assert anna.ask("v2.0/message/send", fields, headers={}, status=403)["code"] == "200"

    def test_json_and_the_query_have_no_token(self, anna: Member, fields: Any) -> None:
        fields["csrfmiddlewaretoken"] = TOKEN
        refused = anna.ask("v2.0/message/send", json.dumps(fields), headers={}, status=403, content_type=JSON)
        self.assert_refused(refused)
        self.assert_refused(anna.ask(f"v2.0/message/send?{urlencode(fields)}", headers={}, status=403))

    def test_a_content_type_that_a_page_may_send_anywhere(self, anna: Member, fields: Any) -> None:
        anna.ask("v2.0/message/send", json.dumps(fields), headers={}, status=415, content_type="text/plain")

    def test_a_site_without_the_middleware(self, anna: Member, fields: Any, settings: Settings) -> None:
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "csrf" not in name]
        self.assert_refused(anna.ask("v2.0/message/send", fields, headers={}, status=403))
        assert anna.ask("v2.0/message/send", fields)["code"] == "100"

    def test_a_site_that_keeps_the_token_in_the_session(self, anna: Member, fields: Any, settings: Settings) -> None:
        settings.CSRF_USE_SESSIONS = True
        self.assert_refused(anna.ask("v2.0/message/send", fields, status=403))
        session = anna.client.session
        session["_csrftoken"] = TOKEN
        session.save()
        assert anna.ask("v2.0/message/send", fields)["code"] == "100"

    def test_a_body_that_may_have_the_token_and_can_not_be_read(self, anna: Member, fields: Any) -> None:
        body = encode_multipart(BOUNDARY, fields | {"csrfmiddlewaretoken": TOKEN})[:-9]
        for headers in ({}, SAVED_TOKEN):
            response = anna.client.generic("POST", SEND, body, MULTIPART_CONTENT, headers=headers)
            text = anna.api.read(response)["message"]
            assert text.startswith("Message send failed: the request could not be read")

    def test_a_key_needs_no_token(self, anna: Member, fields: Any) -> None:
        fields |= {"from": anna.user.pk, "api_key_token": anna.api.key}
        assert anna.ask("v2.0/message/send", fields, headers={})["code"] == "100"


class TestGET:
    @pytest.mark.parametrize("path", CHANGING)
    @pytest.mark.parametrize("http_status", ["ossn", "rest"])
    def test_it_changes_nothing(
        self, anna: Member, ben: Member, settings: Settings, path: str, http_status: str
    ) -> None:
        settings.OSSN_MESSAGING = {"SESSION_API": True, "HTTP_STATUS": http_status}
        message = anna.send(ben.user)
        Block.objects.block(anna.user, User.objects.create_user("carl"))
        fields = {"to": ben.user.pk, "message": "Hello", "id": message["id"], "to_block_guid": ben.user.pk}
        response = anna.client.get(f"/api/v2.0/{path}", fields, headers=SAVED_TOKEN)
        assert anna.api.read(response, 405)["code"] == "101"
        assert response["Allow"] == "POST, OPTIONS"
        assert (Message.objects.count(), Message.objects.get().text, Block.objects.count()) == (1, "Hello", 1)

    def test_it_marks_nothing_read(self, anna: Member, ben: Member) -> None:
        anna.send(ben.user)
        for path, other in (("message/list", "to"), ("message/new", "from")):
            for marks in ("1", " 01.0 "):
                assert ben.get(f"v2.0/{path}", {other: anna.user.pk, "markallread": marks}, 405)["code"] == "101"
            assert ben.get(f"v2.0/{path}", {other: anna.user.pk, "markallread": "0"})["payload"]["list"]
        assert Conversation.objects.unread(ben.user).messages == 1

    def test_it_reads(self, anna: Member, ben: Member) -> None:
        anna.send(ben.user)
        assert ben.get("v2.0/message/unread")["payload"]["count"] == 1
        assert ben.get("v2.0/message/recent")["payload"]["list"]
        assert ben.get("v2.0/message/updates")["code"] == "100"
        assert ben.get("v2.0/user/blocklist")["code"] == "100"

    def test_the_mark_is_in_the_body(self, anna: Member, ben: Member) -> None:
        anna.send(ben.user)
        body = json.dumps({"to": anna.user.pk, "markallread": 1})
        response = ben.client.generic("GET", "/api/v2.0/message/list", body, JSON)
        assert anna.api.read(response, 405)["code"] == "101"
        assert Conversation.objects.unread(ben.user).messages == 1

    def test_it_is_allowed_with_a_key(self, anna: Member, ben: Member) -> None:
        fields = {"from": anna.user.pk, "to": ben.user.pk, "message": "Hello", "api_key_token": anna.api.key}
        assert anna.get("v2.0/message/send", fields)["code"] == "100"

    def test_options_looks_at_nothing(self, anna: Member) -> None:
        response = anna.client.options(SEND)
        assert (response.status_code, response["Allow"]) == (200, "POST, GET, OPTIONS")

    def test_a_site_that_allows_no_get(self, anna: Member, settings: Settings) -> None:
        settings.OSSN_MESSAGING = {"SESSION_API": True, "ALLOW_GET": False}
        anna.get("v2.0/message/unread", status=405)


class TestActingUser:
    @pytest.mark.parametrize("path", [*CHANGING, *READING])
    @pytest.mark.parametrize("named", ["other", "nobody", "text", "negative"])
    @pytest.mark.parametrize(("http_status", "status"), [("ossn", 200), ("rest", 403)])
    def test_another_number_is_refused(
        self, anna: Member, ben: Member, settings: Settings, path: str, named: str, http_status: str, status: int
    ) -> None:
        settings.OSSN_MESSAGING = {"SESSION_API": True, "HTTP_STATUS": http_status}
        number = {"other": str(ben.user.pk), "nobody": "999999", "text": "anna", "negative": f"-{anna.user.pk}"}[named]
        acting = {"message/send": "from", "message/new": "to"}.get(path, "guid")
        sent = ben.send(anna.user)
        fields: dict[str, Any] = {"message": "Hello", "id": sent["id"], "to_block_guid": anna.user.pk}
        fields |= {"to_unblock_guid": anna.user.pk, "from": anna.user.pk, "to": anna.user.pk, acting: number}
        answer = anna.ask(f"v2.0/{path}", fields, status=status)
        assert answer["code"] == "200"
        assert answer["message"].endswith(f" failed: {OTHER_USER_TEXT}")
        assert (Message.objects.count(), Block.objects.count()) == (1, 0)

    @pytest.mark.parametrize("template", ["{}", " 0{} ", "", " ", "0"])
    def test_it_may_be_left_out_or_be_the_members(self, anna: Member, ben: Member, template: str) -> None:
        sent = anna.send(ben.user, from_=template.format(anna.user.pk))
        assert sent["message_from"]["guid"] == anna.user.pk

    def test_the_last_value_counts(self, anna: Member, ben: Member) -> None:
        fields = {"from": [ben.user.pk, anna.user.pk], "to": ben.user.pk, "message": "Hello"}
        assert anna.ask("v2.0/message/send", fields)["payload"]["message_from"]["guid"] == anna.user.pk
        fields["from"] = [anna.user.pk, ben.user.pk]
        assert OTHER_USER_TEXT in anna.ask("v2.0/message/send", fields)["message"]

    def test_the_query_and_the_body(self, anna: Member, ben: Member) -> None:
        query = urlencode({"from": ben.user.pk})
        fields = {"to": ben.user.pk, "message": "Hello"}
        assert OTHER_USER_TEXT in anna.ask(f"v2.0/message/send?{query}", fields)["message"]
        body = json.dumps(fields | {"from": ben.user.pk})
        assert OTHER_USER_TEXT in anna.ask("v2.0/message/send", body, content_type=JSON)["message"]
        body = json.dumps(fields | {"from": None})
        assert anna.ask("v2.0/message/send", body, content_type=JSON)["payload"]["message_from"]["guid"] == anna.user.pk

    def test_a_file_in_its_place(self, anna: Member, ben: Member) -> None:
        fields = {"from": upload("dummy.pdf"), "to": ben.user.pk, "message": "Hello"}
        assert "only one file" in anna.ask("v2.0/message/send", fields)["message"]

    def test_messages_of_others_are_not_deleted(self, anna: Member, ben: Member, stranger: User) -> None:
        sent = anna.send(ben.user)
        for member in (Member(stranger, anna.api), ben):
            answer = member.ask("v2.0/message/delete", {"id": sent["id"]})
            assert answer["message"].startswith("Message delete failed: this user has no message")
        assert Message.objects.get().text == "Hello"


class TestKeys:
    """A request with an API key is one of the key, whatever session there is."""

    def test_the_key_decides(self, anna: Member, ben: Member) -> None:
        answer = anna.ask("v2.0/message/send", anna.api.fields(from_=ben.user.pk, to=anna.user.pk))
        assert answer["payload"]["message_from"]["guid"] == ben.user.pk
        assert Message.objects.get().api_key == APIKey.objects.get()
        assert anna.ask("v2.0/message/send", anna.api.fields(from_=None))["code"] == "106"

    @pytest.mark.parametrize("place", ["header", "body", "query"])
    def test_a_wrong_key_is_refused(self, anna: Member, ben: Member, place: str) -> None:
        fields = {"to": ben.user.pk, "message": "Hello"}
        path, headers = "v2.0/message/send", SAVED_TOKEN
        if place == "header":
            headers = {**SAVED_TOKEN, "Authorization": "Api-Key wrong"}
        elif place == "body":
            fields["api_key_token"] = "wrong"
        else:
            path += "?api_key_token=wrong"
        assert anna.ask(path, fields, headers=headers)["message"] == "The API key is missing or not valid"
        assert not Message.objects.exists()

    def test_a_key_that_may_not(self, anna: Member, ben: Member) -> None:
        _api_key, key = APIKey.objects.create_key("reads for Ben", ["read"], [ben.user])
        fields = anna.api.fields(api_key_token=key)
        assert "the API key does not have the scope `send`" in anna.ask("v2.0/message/send", fields)["message"]

    def test_an_empty_key_is_none(self, anna: Member, ben: Member) -> None:
        assert anna.send(ben.user, api_key_token=" ")["message_from"]["guid"] == anna.user.pk


class TestLogin:
    @pytest.mark.parametrize(("http_status", "status"), [("ossn", 200), ("rest", 401)])
    def test_logged_out(self, anna: Member, settings: Settings, http_status: str, status: int) -> None:
        settings.OSSN_MESSAGING = {"SESSION_API": True, "HTTP_STATUS": http_status}
        anna.client.logout()
        for headers in (SAVED_TOKEN, {}):
            answer = anna.ask("v2.0/message/unread", headers=headers, status=status)
            assert (answer["code"], answer["message"]) == ("106", "The API key is missing or not valid")
        assert anna.get("v2.0/message/unread", status=status)["code"] == "106"

    @pytest.mark.parametrize("backend", ["ModelBackend", "AllowAllUsersModelBackend"])
    def test_not_active(self, anna: Member, ben: Member, settings: Settings, backend: str) -> None:
        settings.AUTHENTICATION_BACKENDS = [f"django.contrib.auth.backends.{backend}"]
        anna.client.force_login(anna.user)
        anna.send(ben.user)
        User.objects.filter(pk=anna.user.pk).update(is_active=False)
        assert anna.ask("v2.0/message/send", {"to": ben.user.pk, "message": "Hello"})["code"] == "106"
        assert anna.get("v2.0/message/unread")["code"] == "106"

    def test_deleted(self, anna: Member) -> None:
        anna.user.delete()
        assert anna.get("v2.0/message/unread")["code"] == "106"

    def test_a_site_without_sessions(self, anna: Member, settings: Settings) -> None:
        removed = ("Session", "Authentication", "Message", "LoginRequired")
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.rpartition(".")[2].startswith(removed)]
        assert anna.get("v2.0/message/unread")["code"] == "106"

    def test_messaging_is_off(self, anna: Member, settings: Settings) -> None:
        settings.OSSN_MESSAGING = {"SESSION_API": True, "ENABLED": False}
        assert anna.get("v2.0/message/unread")["code"] == "201"

    @pytest.mark.parametrize("path", ["message/unread", "message/send"])
    def test_the_user_of_the_request_stays(self, anna: Member, ben: Member, settings: Settings, path: str) -> None:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.site.ObservedUser"]
        ObservedUser.seen = []
        anna.told(path, to=ben.user.pk, message="Hello")
        ((before, after, _auth),) = ObservedUser.seen
        assert before == after == anna.user.pk

    def test_a_database_that_fails(self, anna: Member, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any) -> None:
            raise OperationalError

        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "LoginRequired" not in name]
        monkeypatch.setattr(ModelBackend, "get_user", fail)
        anna.get("v2.0/message/unread", status=503)


class TestLimits:
    @pytest.fixture(autouse=True)
    def emptied_cache(self) -> None:
        cache.clear()

    def test_each_member(self, anna: Member, ben: Member, settings: Settings) -> None:
        settings.OSSN_MESSAGING = {"SESSION_API": True, "THROTTLE_RATES": {"key": "2/day"}}
        for _ in range(2):
            anna.get("v2.0/message/unread")
        other_browser = Member(anna.user, anna.api)
        other_browser.get("v2.0/message/unread", status=429)
        ben.get("v2.0/message/unread")
        assert anna.api.told("v2.0/message/unread", guid=anna.user.pk) == {"count": 0, "conversations": 0}

    def test_keys_and_sessions_of_one_sender_together(self, anna: Member, ben: Member, settings: Settings) -> None:
        settings.OSSN_MESSAGING = {"SESSION_API": True, "THROTTLE_RATES": {"sender": "2/day"}}
        anna.send(ben.user)
        anna.api.ok()
        anna.get("v2.0/message/unread", status=429)
        anna.api.send(status=429)
        ben.get("v2.0/message/unread")

    def test_another_number_counts_for_the_member(self, anna: Member, ben: Member, settings: Settings) -> None:
        settings.OSSN_MESSAGING = {"SESSION_API": True, "THROTTLE_RATES": {"sender": "2/day"}}
        for _ in range(2):
            assert OTHER_USER_TEXT in anna.get("v2.0/message/unread", {"guid": ben.user.pk})["message"]
        anna.get("v2.0/message/unread", status=429)
        ben.get("v2.0/message/unread")

    def test_wrong_tokens_are_no_wrong_keys(self, anna: Member, settings: Settings) -> None:
        settings.OSSN_MESSAGING = {"SESSION_API": True, "THROTTLE_RATES": {"failed_auth": "1/day"}}
        for _ in range(2):
            anna.ask("v2.0/message/unread", headers={}, status=403)
        anna.api.told("v2.0/message/unread", guid=anna.user.pk)


def test_what_a_session_costs(anna: Member, ben: Member) -> None:
    """One query more than a key: of a session, there is its row and that of its user."""
    anna.send(ben.user)
    anna.api.told("v2.0/message/unread", guid=ben.user.pk)  # notes the use of the key
    with CaptureQueriesContext(connection) as with_key:
        anna.api.told("v2.0/message/list", guid=ben.user.pk, to=anna.user.pk)
    with CaptureQueriesContext(connection) as with_session:
        ben.told("message/list", to=anna.user.pk)
    assert len(with_session) == len(with_key) + 1


def test_the_url_of_a_file_for_members(anna: Member, ben: Member, stranger: User) -> None:
    anna.send(ben.user, attachment=upload("photo.png"))
    anna.send(ben.user, attachment=upload("Für Ben? 50%.pdf", PDF))
    url = Attachment.objects.latest("pk").get_absolute_url()
    assert url.startswith("/messages/attachment/")
    for member in (anna, ben):
        assert fetch(member.client, url)[1] == PDF
    assert fetch(Member(stranger, anna.api).client, url)[0].status_code == 404
    assert fetch(Client(), url)[0].status_code == 404
