"""Each statement about the protocol that a client relies on, key by key and in order.

Other tests look closer at many of these statements. Here they stand together, in the order of a request and its answer.
"""

import hashlib
import io
import json
import os
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import RequestDataTooBig
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from ossn_messaging.models import APIKey, Attachment, Message, conversations
from tests.support.api import API, ENVELOPE_KEYS, SEND, fetch, staff, upload
from tests.support.files import PDF, SAMPLES
from tests.support.storage import files_in

SENDING = ["v2.0/message/send", "v1.0/message_add"]
LISTS, NEWS, RECENTS = ([f"v2.0/message/{name}", f"v1.0/message_{name}"] for name in ("list", "new", "recent"))
DELETES = ["v2.0/message/delete", "v1.0/message_delete"]
PATHS = [*SENDING, *LISTS, *NEWS, *RECENTS, *DELETES, "v2.0/message/unread"]
NOT_FOUND = "Either user not found"

USER = ["guid", "fullname", "username", "icon"]
START = ["id", "message_from", "message_to", "message", "viewed", "time"]
DELETIONS = ["is_deleted_from", "is_deleted_to"]
FILE = ["attachment_guid", "attachment_name", "type_of_attachment", "attachment_url"]


@pytest.fixture
def anna(api: API) -> User:
    return api.sender


@pytest.fixture
def ben(api: API) -> User:
    return api.recipient


def given(api: API, path: str) -> dict[str, Any]:
    """Return good parameters of any path, but for the key and the id of a message: ben reads what anna sent."""
    anna, ben = api.sender.pk, api.recipient.pk
    if path in SENDING or path in NEWS:
        return {"from_": anna, "to": ben, "message": "Test"}
    return {"guid": ben, "to": anna} if path in LISTS else {"guid": ben}


def asked(api: API, path: str, **changes: Any) -> dict[str, Any]:
    """Return the answer to a good request with changes. For a path that deletes, send a message first."""
    if path in DELETES and "id" not in changes:
        changes |= {"id": api.ok()["id"], "guid": api.sender.pk}
    return api.ask(path, **{**given(api, path), **changes})


def items(api: API, path: str, **changes: Any) -> list[dict[str, Any]]:
    return asked(api, path, **changes)["payload"]["list"] or []


def texts(api: API, path: str, **changes: Any) -> list[str]:
    return [item["message"] for item in items(api, path, **changes)]


def opens(url: str, client: Client | None = None, **extra: Any) -> bool:
    return bool(fetch(client or Client(), url, **extra)[0].status_code == 200)


class TestEnvelope:
    @pytest.mark.parametrize("path", PATHS)
    def test_six_keys_in_order_and_payload_is_false_on_failure(self, api: API, path: str) -> None:
        answer = asked(api, path)
        assert list(answer) == ENVELOPE_KEYS == ["merchant", "url", "time_token", "payload", "code", "message"]
        assert (answer["code"], answer["message"]) == ("100", "Request successfully executed")
        failed = asked(api, path, api_key_token="wrong")
        assert list(failed) == ENVELOPE_KEYS
        assert (failed["payload"], failed["code"]) == (False, "106")

    def test_merchant_is_the_name_of_the_site_url_its_root_and_time_token_the_time(
        self, api: API, settings: Settings
    ) -> None:
        settings.OSSN_MESSAGING = {"SITE_NAME": "OSSN", "SITE_URL": "http://dev.example.com"}
        answer = api.send()
        assert (answer["merchant"], answer["url"]) == ("OSSN", "http://dev.example.com/")
        assert type(answer["time_token"]) is int
        assert abs(answer["time_token"] - time.time()) < 60
        assert type(answer["code"]) is str

    def test_failures_with_a_code_have_status_200(self, api: API, settings: Settings) -> None:
        codes = [
            api.send(status=200, **changes)["code"]
            for changes in ({"api_key_token": "wrong"}, {"message": ""}, {"to": ""}, {"to": "x"}, {"to": api.sender.pk})
        ]
        settings.OSSN_MESSAGING = {"ENABLED": False}
        assert [*codes, api.send(status=200)["code"]] == ["106", "106", "106", "103", "200", "201"]

    @pytest.mark.parametrize("http_status", ["ossn", "rest"])
    def test_failures_without_a_code_keep_their_status(
        self, api: API, settings: Settings, monkeypatch: pytest.MonkeyPatch, http_status: str
    ) -> None:
        settings.OSSN_MESSAGING = {"HTTP_STATUS": http_status}
        response = api.client.put(SEND)
        assert api.read(response, 405)["code"] == "101"
        assert response["Allow"] == "POST, GET, OPTIONS"
        assert api.send_raw(b"message=Test", "text/plain", status=415)["code"] == "200"
        for error, status in ((RequestDataTooBig, 413), (OperationalError, 503), (ZeroDivisionError, 500)):
            with monkeypatch.context() as broken:
                broken.setattr(Message.objects.__class__, "send", self.failing(error))
                assert api.send(status=status)["code"] == "200"
        settings.OSSN_MESSAGING = {"HTTP_STATUS": http_status, "THROTTLE_RATES": {"key": "1/day"}}
        api.send()
        response = api.client.post(SEND, api.fields())
        assert api.read(response, 429)["code"] == "200"
        assert int(response["Retry-After"]) > 0

    @staticmethod
    def failing(error: type[Exception]) -> Any:
        def send(*args: Any, **kwargs: Any) -> None:
            raise error

        return send

    @pytest.mark.parametrize(
        ("setting", "changes", "status"),
        [
            ({}, {"message": ""}, 400),
            ({}, {"to": "0"}, 400),
            ({}, {"api_key_token": "wrong"}, 401),
            ({"CAN_SEND": "tests.site.only_to_recipients_named_s"}, {"to": "stranger"}, 403),
            ({}, {"to": "x"}, 404),
            ({"MAX_MESSAGE_LENGTH": 1}, {}, 413),
            ({}, {"attachment": "text"}, 422),
            ({"ENABLED": False}, {}, 503),
        ],
    )
    def test_with_rest_failures_have_fitting_statuses(
        self, api: API, stranger: User, settings: Settings, setting: Any, changes: dict[str, Any], status: int
    ) -> None:
        settings.OSSN_MESSAGING = {"HTTP_STATUS": "rest", **setting}
        to = {"to": stranger.pk} if changes.get("to") == "stranger" else {}
        api.send(status=status, **(changes | to))

    @pytest.mark.parametrize("debug", [False, True])
    def test_every_envelope_is_json_in_utf_8_and_not_stored(
        self, api: API, settings: Settings, monkeypatch: pytest.MonkeyPatch, debug: bool
    ) -> None:
        settings.DEBUG = debug
        response = api.client.post(SEND, api.fields(message="Grüße"))
        assert (response["Content-Type"], response["Cache-Control"]) == ("application/json", "no-store")
        assert "Grüße".encode() in response.content
        monkeypatch.setattr(Message.objects.__class__, "send", self.failing(ZeroDivisionError))
        api.send(status=500)
        for path in ("/messages/attachment/1/a.pdf", "/avatar/a/small/0.jpeg"):
            api.read(api.client.get(path), 404)


class TestRequest:
    FORM = "application/x-www-form-urlencoded"

    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("end", ["", "/"])
    @pytest.mark.parametrize("get", [False, True])
    def test_get_and_post_with_and_without_a_slash_at_the_end(self, api: API, path: str, end: str, get: bool) -> None:
        parameters = {**given(api, path), "get": get}
        if path in DELETES:
            parameters |= {"id": api.ok()["id"], "guid": api.sender.pk}
        assert api.ask(path + end, **parameters)["code"] == "100"

    def test_post_reads_three_types_of_body(self, api: API) -> None:
        assert api.send(message="multipart")["code"] == "100"
        assert api.send_raw(urlencode(api.fields(message="form")).encode(), self.FORM)["code"] == "100"
        assert api.send_raw(json.dumps(api.fields(message="json")).encode(), "application/json")["code"] == "100"
        assert list(Message.objects.order_by("pk").values_list("text", flat=True)) == ["multipart", "form", "json"]

    def test_parameters_may_stand_in_the_query_and_the_body_wins(self, api: API) -> None:
        query = urlencode(api.fields(message="query"))
        assert api.send_raw(b"", self.FORM, query)["payload"]["message"] == "query"
        assert api.send_raw(b"message=body", self.FORM, query)["payload"]["message"] == "body"

    def test_head_and_options_send_nothing(self, api: API) -> None:
        for path in SENDING:
            for method in (api.client.head, api.client.options):
                method(f"/api/{path}", query_params=api.fields())
        assert not Message.objects.exists()

    def test_get_can_be_closed(self, api: API, settings: Settings) -> None:
        settings.OSSN_MESSAGING = {"ALLOW_GET": False}
        for path in PATHS:
            assert api.ask(path, status=405, get=True)["code"] == "101"

    @pytest.mark.parametrize("form", ["{}", " {}\t", "\n{}  "])
    def test_white_space_around_the_key_is_ignored(self, api: API, form: str) -> None:
        key = form.format(api.key)
        without = {name: value for name, value in api.fields().items() if name != "api_key_token"}
        in_query = api.client.get(SEND, {**without, "api_key_token": key})
        in_header = api.client.post(SEND, without, headers={"Authorization": f"Api-Key {key}"})
        bodies = [
            api.send(api_key_token=key),
            api.send_raw(urlencode({**without, "api_key_token": key}).encode(), self.FORM),
            api.send_raw(json.dumps({**without, "api_key_token": key}).encode(), "application/json"),
        ]
        answers = [api.read(in_query), api.read(in_header), *bodies]
        assert [answer["code"] for answer in answers] == ["100"] * 5

    METHODS = ["v1.0/message_send", "v1.0/message_", "v1.0/message_x/y", "v2.0/message/add", "v2.0/message/"]
    VERSIONS = ["v3.0/message/send", "v3.0/message_list", "v1.1/message_add", "v2/message/send", "v10.0/message/list/"]

    @pytest.mark.parametrize(
        ("path", "code", "text"),
        [
            *((path, "101", "Invalid Method") for path in METHODS),
            *((path, "107", "Invalid API version") for path in VERSIONS),
        ],
    )
    @pytest.mark.parametrize("key", [{}, {"api_key_token": "wrong"}])
    def test_an_unknown_method_or_version_answers_before_the_key_is_looked_at(
        self, api: API, settings: Settings, path: str, code: str, text: str, key: dict[str, str]
    ) -> None:
        settings.OSSN_MESSAGING = {"ENABLED": False, "THROTTLE_RATES": {"failed_auth": "1/day"}}
        with CaptureQueriesContext(connection) as context:
            for ask in (api.client.get, api.client.post, api.client.get):
                answer = api.read(ask(f"/api/{path}", key))
                assert (answer["payload"], answer["code"], answer["message"]) == (False, code, text)
        assert len(context) == 0
        settings.OSSN_MESSAGING = {"HTTP_STATUS": "rest"}
        assert api.read(api.client.post(f"/api/{path}", key), 404)["code"] == code

    @pytest.mark.parametrize(
        "path", ["", "v2.0/", "v2.0/user/details", "v1.0/user_authenticate", "v2.0/messages", "schema/", "message/send"]
    )
    def test_nothing_else_under_api_is_the_apps(self, api: API, path: str) -> None:
        response = api.client.post(f"/api/{path}", api.fields())
        assert response.status_code == 404
        assert response["Content-Type"].startswith("text/html"), "Django's answer"

    def test_a_file_in_another_part_is_refused(self, api: API) -> None:
        assert "`attachment`" in api.fails("200", file=upload("dummy.pdf"))
        assert not Message.objects.exists()


class TestOrderOfChecks:
    def test_the_first_check_that_fails_answers(self, api: API, settings: Settings) -> None:
        """Each line has all that is wrong in the lines after it as well."""
        wrong: dict[str, Any] = {
            "api_key_token": "wrong",
            "message": " ",
            "from_": " ",
            "to": "x",
            "attachment": upload("a.exe", b"MZ"),
        }
        settings.OSSN_MESSAGING = {"ENABLED": False}
        texts = [api.fails("106", **wrong)]
        del wrong["api_key_token"]
        assert api.fails("201", **wrong) == "OssnMessages component not found"
        settings.OSSN_MESSAGING = {}
        texts.append(api.fails("106", **wrong))
        del wrong["message"]
        texts.append(api.fails("106", **wrong))
        wrong["from_"] = wrong["to"] = "x"
        assert api.fails("103", **wrong) == NOT_FOUND
        wrong["from_"] = wrong["to"] = api.sender.pk
        assert api.fails("200", **wrong).startswith("Message send failed")
        assert texts == [
            "The API key is missing or not valid",
            "Message text cannot be blank",
            "Either `to` or `from` is blank",
        ]

    def test_1_the_key_is_missing_unknown_revoked_or_expired(self, api: API) -> None:
        revoked, revoked_key = APIKey.objects.create_key("revoked")
        revoked.revoke()
        expired, expired_key = APIKey.objects.create_key("expired")
        APIKey.objects.filter(pk=expired.pk).update(expires_at=expired.created_at)
        for key in (None, "", "unknown", revoked_key, expired_key):
            api.fails("106", api_key_token=key)

    def test_3_a_blank_message(self, api: API) -> None:
        for text in (None, "", " ", "\n\t"):
            assert api.fails("106", message=text) == "Message text cannot be blank"
        assert api.ok(message="0")["message"] == "0"

    @pytest.mark.parametrize("name", ["from_", "to"])
    def test_4_and_5_a_user(self, api: API, stranger: User, name: str) -> None:
        User.objects.filter(pk=stranger.pk).update(is_active=False)
        for blank in (None, "", " ", "0"):
            api.fails("106", **{name: blank})
        for unknown in ("999999", stranger.pk, "abc", "1.0", "-1", str(2**64)):
            assert api.fails("103", **{name: unknown}) == NOT_FOUND

    def test_6_everything_else(self, api: API, stranger: User, settings: Settings) -> None:
        bound = APIKey.objects.create_key("bound", users=[stranger])[1]
        reading = APIKey.objects.create_key("reading", scopes=["read"])[1]
        settings.OSSN_MESSAGING = {"CAN_SEND": "tests.site.only_to_recipients_named_s", "MAX_MESSAGE_LENGTH": 9}
        for changes in (
            {"to": api.sender.pk},
            {"api_key_token": bound},
            {"api_key_token": reading},
            {"to": stranger.pk},
            {"message": "0123456789"},
            {"attachment": upload("a.exe", b"MZ")},
        ):
            assert api.fails("200", **changes).startswith("Message send failed: ")
        assert not Message.objects.exists()

    @pytest.mark.parametrize("path", [path for path in PATHS if path not in SENDING])
    def test_the_paths_that_read_and_delete_check_the_key_and_the_switch_first(
        self, api: API, settings: Settings, path: str
    ) -> None:
        settings.OSSN_MESSAGING = {"ENABLED": False}
        assert api.ask(path, api_key_token="wrong")["code"] == "106"
        assert api.ask(path)["code"] == "201"


class TestUsers:
    def test_ids_may_have_white_space_and_zeros_and_else_are_ascii_digits(self, api: API) -> None:
        number = api.recipient.pk
        for same in (f" {number}\n", f"000{number}"):
            assert api.ok(to=same)["message_to"]["guid"] == number
        for other in (f"{number}abc", f"{number}.0", f"{number}' OR '1'='1", "٢"):
            api.fails("103", to=other)

    def test_a_user_object(self, api: API, stranger: User) -> None:
        user = api.ok()["message_from"]
        assert list(user) == USER
        assert user == {
            "guid": api.sender.pk,
            "fullname": "Arsalan Shah",
            "username": "arsalanshah",
            "icon": {"small": "http://testserver/avatar/arsalanshah/small/c0e15d54735a596d4e16bf1aaa999758.jpeg"},
        }
        assert type(user["guid"]) is int
        assert api.ok(to=stranger.pk)["message_to"]["fullname"] == "stranger"

    def test_the_icon_is_a_picture_or_the_sites_own(self, api: API, settings: Settings) -> None:
        response, body = fetch(Client(), api.ok()["message_from"]["icon"]["small"])
        assert (response["Content-Type"], body[:3]) == ("image/jpeg", b"\xff\xd8\xff")
        settings.OSSN_MESSAGING = {"USER_AVATAR": "tests.site.own_icon"}
        own = f"http://testserver/icons/{api.sender.pk}-small.png"
        assert api.ok()["message_from"]["icon"]["small"] == own


class TestText:
    def test_it_is_stored_as_sent(self, api: API) -> None:
        text = "a  b\t\\n &amp; <b> 😀"
        api.ok(message=f" \n{text[:4]}\0{text[4:]}\r\n")
        assert Message.objects.get().text == text

    def test_it_is_returned_as_html(self, api: API, settings: Settings) -> None:
        shown = "&amp; &lt; &gt; &quot; &#039;<br />\nA"
        assert api.ok(message="& < > \" '\nA")["message"] == shown
        for path in (*LISTS, *NEWS, *RECENTS):
            assert texts(api, path) == [shown]
        settings.OSSN_MESSAGING = {"MESSAGE_FORMAT": "text"}
        assert texts(api, LISTS[0]) == ["& < > \" '\nA"]

    def test_it_is_refused_where_it_is_too_long(self, api: API) -> None:
        assert len(api.ok(message="x" * 100_000)["message"]) == 100_000
        api.fails("200", message="x" * 100_001)
        assert Message.objects.count() == 1


class TestSuccessPayload:
    def test_without_a_file(self, api: API) -> None:
        payload = api.ok()
        assert list(payload) == ["data", *START, *DELETIONS]
        assert (payload["data"], payload["message"], payload["viewed"]) == ({}, "Test", "0")
        assert (payload["is_deleted_from"], payload["is_deleted_to"]) == ("", "")
        assert type(payload["id"]) is type(payload["time"]) is int
        assert api.ok()["id"] > payload["id"]

    def test_with_a_file(self, api: API) -> None:
        payload = api.ok(attachment=upload("dummy.pdf"))
        assert list(payload) == ["data", *START, "file:attachment", *DELETIONS, *FILE]
        assert re.fullmatch(r"attachment/[0-9a-f]{32}\.pdf", payload["file:attachment"])
        assert payload["attachment_guid"] == str(Attachment.objects.get().pk)
        assert (payload["attachment_name"], payload["type_of_attachment"]) == ("dummy.pdf", "file")

    def test_the_values_of_a_message_that_is_read_and_deleted_for_one(self, api: API) -> None:
        number = api.ok()["id"]
        asked(api, LISTS[0], markallread=1)
        asked(api, DELETES[0], id=number, guid=api.recipient.pk, for_="me")
        (item,) = items(api, LISTS[0], guid=api.sender.pk, to=api.recipient.pk)
        assert (item["viewed"], item["is_deleted_from"], item["is_deleted_to"]) == ("1", "", "1")


class TestAttachment:
    def test_a_part_with_neither_name_nor_bytes_and_an_empty_text_are_none(self, api: API) -> None:
        api.ok(attachment="")
        fields = b"".join(
            b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value.encode())
            for name, value in api.fields().items()
        )
        empty = b'--b\r\nContent-Disposition: form-data; name="attachment"; filename=""\r\n\r\n\r\n--b--\r\n'
        assert api.send_raw(fields + empty, "multipart/form-data; boundary=b")["code"] == "100"
        assert not Attachment.objects.exists()

    @pytest.mark.parametrize(
        "attachment",
        [
            [("dummy.pdf", None), ("photo.png", None)],
            "text",
            [("a.exe", PDF)],
            [("photo.jpg", SAMPLES["photo.png"])],
            [("a.pdf", b"<html>")],
        ],
    )
    def test_what_breaks_a_rule_is_refused_with_the_message(
        self, api: API, attachments_folder: Path, attachment: Any
    ) -> None:
        sent = attachment if isinstance(attachment, str) else [upload(*file) for file in attachment]
        api.fails("200", attachment=sent)
        assert not Message.objects.exists()
        assert files_in(attachments_folder) == []

    @pytest.mark.parametrize("name", SAMPLES)
    def test_extensions_in_any_case_and_type_by_content(self, api: API, name: str) -> None:
        stem, _dot, extension = name.rpartition(".")
        shouted = f"{stem}.{extension.upper()}"
        payload = api.ok(attachment=SimpleUploadedFile(shouted, SAMPLES[name], "text/html"))
        assert payload["type_of_attachment"] == ("file" if extension in ("pdf", "docx") else "image")
        assert payload["attachment_name"] == shouted
        assert re.fullmatch(rf"attachment/[0-9a-f]{{32}}\.{extension}", payload["file:attachment"])

    def test_its_name_has_no_folders_and_control_characters(self, api: API) -> None:
        assert api.ok(attachment=upload("C:\\x\\a\x07 b.pdf", PDF))["attachment_name"] == "a b.pdf"

    def test_its_url_is_signed_for_some_time(
        self, api: API, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.OSSN_MESSAGING = {"ATTACHMENT_URL_MAX_AGE": 100}
        payload = api.ok(attachment=upload("a b&c.pdf", PDF))
        bare, _mark, signature = payload["attachment_url"].partition("?")
        assert bare == f"http://testserver/messages/attachment/{payload['attachment_guid']}/a%20b%26c.pdf"
        assert fetch(Client(), payload["attachment_url"])[1] == PDF
        other = api.ok(attachment=upload("a b&c.pdf", PDF))["attachment_url"].partition("?")[0]
        assert not opens(f"{other}?{signature}"), "it opens this one file"
        now = time.time()
        monkeypatch.setattr("django.core.signing.time.time", lambda: now + 102)
        assert not opens(payload["attachment_url"])

    def test_without_a_signature_it_opens_for_those_who_may_read(
        self, api: API, anna: User, ben: User, stranger: User, settings: Settings
    ) -> None:
        settings.OSSN_MESSAGING = {"ATTACHMENT_URL_MAX_AGE": None}
        payload = api.ok(attachment=upload("dummy.pdf"))
        url = payload["attachment_url"]
        assert url == f"http://testserver/messages/attachment/{payload['attachment_guid']}/dummy.pdf"

        def opens_for(user: User) -> bool:
            client = Client()
            client.force_login(user)
            return opens(url, client)

        assert not opens(url)
        assert [opens_for(user) for user in (anna, ben, stranger)] == [True, True, False]
        assert [opens(url, staff(name, *may)) for name, *may in (("reads", "read_message"), ("not",))] == [True, False]
        keys = [APIKey.objects.create_key("k", users=users)[1] for users in ([ben], [stranger])]
        assert [opens(url, headers={"Authorization": f"Api-Key {key}"}) for key in keys] == [True, False]
        asked(api, DELETES[0], id=payload["id"], guid=ben.pk, for_="me")
        assert not opens_for(ben)
        answers = [
            {**api.read(Client().get(path), 404), "time_token": 0}
            for path in (url, "http://testserver/messages/attachment/999/dummy.pdf")
        ]
        assert answers[0] == answers[1], "whether the file exists or not"


class TestNothingIsLostOrHalfDone:
    def test_100_means_a_row_and_a_whole_file(self, api: API) -> None:
        api.ok(attachment=upload("dummy.pdf"))
        with Attachment.objects.get(message=Message.objects.get()).file.open() as file:
            assert file.read() == PDF

    def test_any_other_answer_means_no_row(self, api: API, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise OSError("disk full")

        monkeypatch.setattr(FileSystemStorage, "save", fail)
        answer = api.send(status=503, attachment=upload("dummy.pdf"))
        assert (answer["code"], answer["payload"]) == ("200", False)
        assert not Message.objects.exists()

    def test_a_command_finds_and_removes_a_file_without_a_row(self, api: API, attachments_folder: Path) -> None:
        api.ok(attachment=upload("dummy.pdf"))
        (file,) = files_in(attachments_folder)
        orphan = file.with_name("orphan.pdf")
        orphan.write_bytes(PDF)
        yesterday = time.time() - 24 * 60 * 60
        os.utime(orphan, (yesterday, yesterday))
        with pytest.raises(CommandError):
            call_command("ossn_attachments", "check", "--delete-orphans", stdout=(printed := io.StringIO()))
        assert "orphan.pdf" in printed.getvalue()
        assert files_in(attachments_folder) == [file]


class TestReading:
    @pytest.mark.parametrize("path", [*LISTS, *NEWS, *RECENTS, "v2.0/message/unread"])
    @pytest.mark.parametrize("wrong", [None, "", "0", "999999", "x"])
    def test_a_user_who_is_missing_or_unknown_is_200(self, api: API, path: str, wrong: str | None) -> None:
        for name in set(given(api, path)) - {"message"}:
            parameters = {**given(api, path), name: wrong}
            answer = api.ask(path, **{name: value for name, value in parameters.items() if value is not None})
            assert (answer["code"], answer["message"], answer["payload"]) == ("200", NOT_FOUND, False)

    def test_pages_of_a_list(self, api: API) -> None:
        numbers = [api.ok(message=str(number))["id"] for number in range(12)]
        for path in LISTS:
            newest, oldest, beyond = (asked(api, path, offset=page)["payload"] for page in ("1", "2", "3"))
            assert [item["id"] for item in newest["list"]] == numbers[2:], "the oldest of the newest ten first"
            assert [item["id"] for item in oldest["list"]] == numbers[:2]
            assert beyond["list"] is False
            assert [page["count"] for page in (newest, oldest, beyond)] == [12] * 3
            assert [page["offset"] for page in (newest, oldest, beyond)] == ["1", "2", "3"], "the parameter"
            assert asked(api, path)["payload"]["offset"] is False

    def test_pages_of_what_is_recent(self, api: API, ben: User, settings: Settings) -> None:
        others = [User.objects.create_user(f"user {number}") for number in range(3)]
        numbers = [api.ok(from_=other.pk)["id"] for other in others]
        settings.OSSN_MESSAGING = {"PAGE_SIZE": 2}
        for path in RECENTS:
            first, second = (asked(api, path, **offset)["payload"] for offset in ({}, {"offset": 2}))
            assert [item["id"] for item in first["list"]] == numbers[:0:-1], "newest first"
            assert [item["id"] for item in second["list"]] == numbers[:1]
            assert [(page["offset"], page["count"]) for page in (first, second)] == [(1, 3), ("2", 3)]

    @pytest.mark.parametrize("path", [*LISTS, *NEWS, *RECENTS])
    def test_an_empty_result(self, api: API, path: str) -> None:
        payload = asked(api, path)["payload"]
        assert payload["list"] is False
        if path in RECENTS:
            assert payload["count"] is (False if path.startswith("v1.0") else 0)

    @pytest.mark.parametrize("offset", ["0", "-1", "1.0", "x", "", " ", "٢"])
    def test_a_bad_offset_is_page_1_and_echoed_as_if_absent(self, api: API, offset: str) -> None:
        numbers = [api.ok()["id"] for _ in range(11)]
        for path in LISTS:
            payload = asked(api, path, offset=offset)["payload"]
            assert ([item["id"] for item in payload["list"]], payload["offset"]) == (numbers[1:], False)
        for path in RECENTS:
            payload = asked(api, path, offset=offset)["payload"]
            assert ([item["id"] for item in payload["list"]], payload["offset"]) == (numbers[-1:], 1)

    def test_an_offset_with_white_space_is_a_page(self, api: API) -> None:
        numbers = [api.ok()["id"] for _ in range(11)]
        assert [item["id"] for item in items(api, LISTS[0], offset=" 02 ")] == numbers[:1]

    @pytest.mark.parametrize("path", NEWS)
    def test_new_has_no_pages(self, api: API, path: str) -> None:
        numbers = [api.ok()["id"] for _ in range(27)]
        for offset in ("", "1", "2", "3", "4"):
            assert [item["id"] for item in items(api, path, offset=offset)] == numbers[::-1]

    @pytest.mark.parametrize("path", NEWS)
    def test_new_answers_the_oldest_first_and_marks_those_that_it_answers(
        self, api: API, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert conversations.MAX_UNREAD_MESSAGES == 1000
        monkeypatch.setattr(conversations, "MAX_UNREAD_MESSAGES", 4)
        numbers = [api.ok()["id"] for _ in range(6)]
        assert [item["id"] for item in items(api, path, markallread=1)] == numbers[3::-1]
        assert api.told("v2.0/message/unread", guid=api.recipient.pk)["count"] == 2
        assert [item["id"] for item in items(api, path, markallread=1)] == numbers[:3:-1]
        assert items(api, path) == []


class TestShapes:
    """Of the answers, in both versions and with and without a file."""

    @pytest.fixture
    def sent(self, api: API) -> list[dict[str, Any]]:
        """The payloads of a text, an image and a document, oldest first."""
        return [api.ok(), *(api.ok(attachment=upload(name)) for name in ("photo.jpg", "dummy.pdf"))]

    def test_withuser(self, api: API, sent: Any, settings: Settings) -> None:
        settings.OSSN_MESSAGING = {"IS_ONLINE": "tests.site.only_named_s_is_online"}
        digest = hashlib.md5(b"arsalanshahsmaller").hexdigest()
        user = sent[0]["message_from"]
        online = {"is_online": False}
        smaller = f"http://testserver/avatar/arsalanshah/smaller/{digest}.jpeg"
        with_smaller = user | {"icon": user["icon"] | {"smaller": smaller}} | online
        expected = dict(zip((*LISTS, *NEWS), (with_smaller, user, user | online, user), strict=True))
        for path, withuser in expected.items():
            found = asked(api, path)["payload"]["withuser"]
            assert found == withuser
            assert (list(found), list(found["icon"])) == (list(withuser), list(withuser["icon"]))
        assert opens(smaller)
        back = asked(api, LISTS[0], guid=api.sender.pk, to=api.recipient.pk)["payload"]["withuser"]
        assert back["is_online"] is True

    @pytest.mark.parametrize(
        ("paths", "keys"),
        [
            (LISTS, ["list", "withuser", "count", "offset"]),
            (NEWS, ["list", "withuser"]),
            (RECENTS, ["list", "offset", "count"]),
        ],
    )
    def test_payloads(self, api: API, sent: Any, paths: list[str], keys: list[str]) -> None:
        assert [list(asked(api, path)["payload"]) for path in paths] == [keys, keys]

    LISTED_1 = ["data", *START, *DELETIONS]
    FILE_1 = ["data", *START, "file:attachment", *DELETIONS, "attachment_guid", "attachment_name"]
    ABSENT = ["type_of_attachment", "attachment_name", "attachment_url"]
    ITEMS = {
        "v2.0/message/list": ([*START, *DELETIONS], [*START, *DELETIONS, *FILE]),
        "v1.0/message_list": (LISTED_1, [*LISTED_1, *FILE]),
        "v2.0/message/new": ([*LISTED_1, *ABSENT], [*LISTED_1, *FILE]),
        "v1.0/message_new": (LISTED_1, FILE_1),
        "v2.0/message/recent": ([*START, *DELETIONS, "answered"], [*START, *DELETIONS, *FILE, "answered"]),
        "v1.0/message_recent": ([*LISTED_1, "answered"], [*FILE_1, "answered"]),
    }
    """The keys of an item without and with a file."""

    @pytest.mark.parametrize("path", ITEMS)
    def test_items(self, api: API, path: str, sent: list[dict[str, Any]], stranger: User) -> None:
        if path in RECENTS:
            found = [items(api, path)[0]]
            for name in (None, "photo.jpg"):
                sent.append(api.ok(attachment=upload(name) if name else None))
                found.append(items(api, path)[0])
            sent = [sent[2], sent[3], sent[4]]
        else:
            found = sorted(items(api, path), key=lambda item: item["id"])
        first = path.startswith("v1.0")
        assert len(found) == 3
        for item, before in zip(found, sent, strict=True):
            assert list(item) == self.ITEMS[path]["attachment_guid" in before]
            for name in ("message_from", "message_to"):
                assert item[name] == (before[name] if first else before[name]["guid"])
            for name in ("id", "message", "viewed", "time", *DELETIONS):
                assert item[name] == before[name]
            if "attachment_guid" not in before:
                if path == NEWS[0]:
                    assert [item[name] for name in self.ABSENT] == [False, None, None]
                continue
            assert item["attachment_guid"] == before["attachment_guid"]
            if path in (NEWS[1], RECENTS[1]):
                assert item["file:attachment"] == before["file:attachment"]
                assert item["attachment_name"] == f"{before['type_of_attachment']}:{before['attachment_name']}"
            else:
                assert item["attachment_name"] == before["attachment_name"]
                assert item["type_of_attachment"] == before["type_of_attachment"]
                assert opens(item["attachment_url"])
            if "data" in item:
                assert item["data"] == {}

    @pytest.mark.parametrize("name", ["", "dummy.pdf"])
    def test_message_add(self, api: API, name: str) -> None:
        payload = asked(api, SENDING[1], **({"attachment": upload(name)} if name else {}))["payload"]
        assert list(payload) == START
        assert [list(payload[side]) for side in ("message_from", "message_to")] == [USER, USER]
        assert Attachment.objects.count() == bool(name)


class TestAnswered:
    def recent(self, api: API, viewer: User) -> list[int]:
        return [items(api, path, guid=viewer.pk)[0]["answered"] for path in RECENTS]

    @pytest.mark.parametrize("role", ["sender", "recipient"])
    def test_only_where_the_viewer_has_deleted_a_later_answer(self, api: API, role: str) -> None:
        viewer: User = getattr(api, role)
        api.ok()
        assert self.recent(api, viewer) == [0, 0]
        reply = api.ok(from_=api.recipient.pk, to=api.sender.pk)["id"]
        assert self.recent(api, viewer) == [0, 0], "also where the newest is the other side's"
        asked(api, DELETES[0], id=reply, guid=viewer.pk, for_="me")
        assert self.recent(api, viewer) == [1, 1]

    def test_not_by_another_of_the_same_side_nor_by_one_without_a_text(self, api: API, anna: User, ben: User) -> None:
        api.ok()
        again = api.ok()["id"]
        asked(api, DELETES[0], id=again, guid=anna.pk, for_="me")
        assert self.recent(api, anna) == [0, 0]
        withdrawn = api.ok(from_=ben.pk, to=anna.pk)["id"]
        asked(api, DELETES[0], id=withdrawn, guid=ben.pk)
        asked(api, DELETES[0], id=withdrawn, guid=anna.pk, for_="me")
        assert self.recent(api, anna) == [0, 0]


class TestMarking:
    @pytest.mark.parametrize("path", [*LISTS, *NEWS])
    @pytest.mark.parametrize(
        ("value", "marks"), [("1", True), ("01", True), ("1.0", True), ("true", False), ("2", False)]
    )
    def test_it_marks_where_it_is_the_number_1(self, api: API, path: str, value: str, marks: bool) -> None:
        api.ok()
        assert items(api, path, markallread=value)[0]["viewed"] == "0", "the answer shows the state before"
        assert items(api, LISTS[0])[0]["viewed"] == ("1" if marks else "0")

    @pytest.mark.parametrize("path", [*LISTS, *NEWS])
    def test_never_the_other_way_round(self, api: API, anna: User, ben: User, path: str) -> None:
        api.ok()
        names = ("to", "from_") if path in NEWS else ("guid", "to")
        assert api.ask(path, **dict(zip(names, (anna.pk, ben.pk), strict=True)), markallread=1)["code"] == "100"
        assert items(api, LISTS[0])[0]["viewed"] == "0"


class TestDeleting:
    @pytest.mark.parametrize("path", DELETES)
    def test_by_the_sender_for_both(self, api: API, attachments_folder: Path, path: str) -> None:
        payload = api.ok(attachment=upload("dummy.pdf"))
        assert asked(api, path, id=payload["id"], guid=api.sender.pk)["payload"] is True
        for listed in LISTS:
            (item,) = items(api, listed)
            assert (item["message"], item["is_deleted"]) == ("", "1")
            assert not set(FILE) & set(item)
        assert files_in(attachments_folder) == []
        assert not opens(payload["attachment_url"])

    @pytest.mark.parametrize("path", DELETES)
    def test_what_is_not_ones_own_or_does_not_exist(self, api: API, ben: User, path: str) -> None:
        number = api.ok()["id"]
        for guid, wrong in ((ben.pk, number), (api.sender.pk, number + 1)):
            answer = asked(api, path, id=wrong, guid=guid)
            assert (answer["code"], answer["payload"]) == ("200", False)
        assert texts(api, LISTS[0]) == ["Test"]

    def test_what_one_side_deleted_is_absent_for_that_side_and_stays_for_the_other(
        self, api: API, anna: User, ben: User
    ) -> None:
        number = api.ok()["id"]
        asked(api, DELETES[0], id=number, guid=ben.pk, for_="me")
        for path in (*LISTS, *NEWS, *RECENTS):
            assert items(api, path) == []
        assert asked(api, LISTS[0])["payload"]["count"] == 0
        assert api.told("v2.0/message/unread", guid=ben.pk) == {"count": 0, "conversations": 0}
        payload = asked(api, LISTS[0], guid=anna.pk, to=ben.pk)["payload"]
        assert ([item["is_deleted_to"] for item in payload["list"]], payload["count"]) == (["1"], 1)

    def test_for_all_is_the_senders_alone(self, api: API, ben: User) -> None:
        number = api.ok()["id"]
        assert asked(api, DELETES[0], id=number, guid=ben.pk, for_="all")["code"] == "200"
        assert asked(api, DELETES[0], id=number, guid=api.sender.pk, for_="all")["payload"] is True


class TestBeyond:
    def test_unread(self, api: API, ben: User, stranger: User) -> None:
        for sender in (api.sender, api.sender, stranger):
            api.ok(from_=sender.pk, to=ben.pk)
        payload = api.told("v2.0/message/unread", guid=ben.pk)
        assert list(payload.items()) == [("count", 3), ("conversations", 2)]

    def test_before_pages_by_key(self, api: API) -> None:
        numbers = [api.ok()["id"] for _ in range(12)]
        for path in LISTS:
            assert [item["id"] for item in items(api, path, before=numbers[11])] == numbers[1:11]
            assert [item["id"] for item in items(api, path, before=numbers[1], offset=5)] == numbers[:1]

    @pytest.mark.parametrize("path", [*LISTS, *NEWS, *RECENTS, "v2.0/message/unread"])
    def test_an_answer_costs_as_many_queries_for_many_messages_as_for_one(self, api: API, path: str) -> None:
        def cost() -> int:
            with CaptureQueriesContext(connection) as context:
                assert asked(api, path)["code"] == "100"
            return len(context)

        api.ok()
        asked(api, path)
        before = cost()
        for _ in range(12):
            api.ok()
            api.ok(from_=User.objects.create_user(f"user {User.objects.count()}").pk)
        assert cost() == before
