"""The endpoint message/send, as the API document and its contract have it."""

import hashlib
import html
import json
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import clear_script_prefix, set_script_prefix, set_urlconf
from django.utils import translation
from django.utils.translation import gettext_lazy
from pytest_django import Settings

from ossn_messaging.api.avatars import avatar_url
from ossn_messaging.api.serializers import sent_object
from ossn_messaging.api.signing import site_root
from ossn_messaging.models import APIKey, Message
from tests.support.api import API, SEND, fetch, upload
from tests.support.files import SAMPLES
from tests.support.storage import everywhere

TEXT_KEYS = [
    "data",
    "id",
    "message_from",
    "message_to",
    "message",
    "viewed",
    "time",
    "is_deleted_from",
    "is_deleted_to",
]
FILE_KEYS = [
    *TEXT_KEYS[:7],
    "file:attachment",
    *TEXT_KEYS[7:],
    *["attachment_guid", "attachment_name", "type_of_attachment", "attachment_url"],
]


def test_a_text_message(api: API) -> None:
    answer = api.send()
    payload = answer["payload"]
    message = Message.objects.get()
    assert answer["merchant"] == "testserver"
    assert answer["url"] == "http://testserver/"
    assert abs(answer["time_token"] - time.time()) < 60
    assert (answer["code"], answer["message"]) == ("100", "Request successfully executed")
    assert list(payload) == TEXT_KEYS
    assert payload["data"] == {}
    assert payload["id"] == message.pk
    assert payload["message_from"] == {
        "guid": api.sender.pk,
        "fullname": "Arsalan Shah",
        "username": "arsalanshah",
        "icon": {"small": "http://testserver/avatar/arsalanshah/small/c0e15d54735a596d4e16bf1aaa999758.jpeg"},
    }
    assert payload["message_to"]["guid"] == api.recipient.pk
    assert payload["message"] == message.text == "Test"
    assert payload["viewed"] == "0"
    assert payload["time"] == int(message.created_at.timestamp())
    assert payload["is_deleted_from"] == payload["is_deleted_to"] == ""
    assert (message.sender, message.recipient) == (api.sender, api.recipient)


@everywhere
@pytest.mark.parametrize("name", SAMPLES)
def test_a_message_with_a_file(api: API, name: str, attachments_folder: Path) -> None:
    payload = api.ok(attachment=upload(name))
    attachment = Message.objects.get().attachment
    extension = name.rpartition(".")[2]
    assert list(payload) == FILE_KEYS
    assert re.fullmatch(rf"attachment/[0-9a-f]{{32}}\.{extension}", payload["file:attachment"])
    assert payload["attachment_guid"] == str(attachment.pk)
    assert payload["attachment_name"] == name
    assert payload["type_of_attachment"] == ("file" if extension in ("pdf", "docx") else "image")
    assert payload["attachment_url"].startswith(
        f"http://testserver/messages/attachment/{attachment.pk}/{name}?signature="
    )
    stored = (attachments_folder / payload["file:attachment"].removeprefix("attachment/")).read_bytes()
    assert stored == SAMPLES[name]
    assert attachment.size == len(stored)
    assert fetch(api.client, payload["attachment_url"])[1] == SAMPLES[name]


def test_get_sends_as_documented(api: API) -> None:
    answer = api.read(api.client.get(SEND, api.fields(message="by GET")))
    assert answer["code"] == "100"
    assert Message.objects.get().text == "by GET"


def test_get_can_be_closed(api: API, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"ALLOW_GET": False}
    response = api.client.get(SEND, api.fields())
    assert api.read(response, 405)["code"] == "101"
    assert response["Allow"] == "POST, OPTIONS"
    assert not Message.objects.exists()
    api.ok()


def test_a_form(api: API) -> None:
    body = urlencode(api.fields(message="ñ & 1+1=2")).encode()
    assert api.send_raw(body, "application/x-www-form-urlencoded")["code"] == "100"
    assert Message.objects.get().text == "ñ & 1+1=2"


def test_a_json_object(api: API) -> None:
    fields = {**api.fields(from_=api.sender.pk, to=api.recipient.pk, message="1 < 2"), "attachment": None}
    assert api.send_raw(json.dumps(fields).encode(), "application/json")["code"] == "100"
    assert Message.objects.get().text == "1 < 2"


def test_a_json_number_is_a_text(api: API) -> None:
    assert api.send_raw(json.dumps(api.fields(message=0)).encode(), "application/json; charset=utf-8")["code"] == "100"
    assert Message.objects.get().text == "0"


def test_parameters_in_the_query_and_the_body_wins(api: API) -> None:
    query = urlencode(api.fields(message="in the query"))
    body = urlencode({"message": "in the body"}).encode()
    assert api.send_raw(body, "application/x-www-form-urlencoded", query)["code"] == "100"
    assert Message.objects.get().text == "in the body"


def test_without_a_body_the_query_will_do(api: API) -> None:
    assert api.read(api.client.post(f"{SEND}?{urlencode(api.fields())}"))["code"] == "100"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_head_and_options_send_nothing(api: API, method: str) -> None:
    response = api.client.generic(method, f"{SEND}?{urlencode(api.fields())}")
    assert response.status_code == (405 if method == "HEAD" else 200)
    assert response["Allow"] == "POST, GET, OPTIONS"
    assert not Message.objects.exists()


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_other_methods(api: API, method: str) -> None:
    response = api.client.generic(method, SEND, urlencode(api.fields()), "application/x-www-form-urlencoded")
    answer = api.read(response, 405)
    assert answer["code"] == "101"
    assert response["Allow"] == "POST, GET, OPTIONS"
    assert not Message.objects.exists()


class TestOrderOfChecks:
    """Each request has all that is wrong with those after it as well."""

    def test_1_the_key(self, api: API, settings: Settings) -> None:
        settings.OSSN_MESSAGING = {"ENABLED": False}
        texts = {api.fails("106", api_key_token=key, message="", to="0") for key in (None, "", "nope", api.key[:-1])}
        assert texts == {"The API key is missing or not valid"}

    def test_2_switched_off(self, api: API, settings: Settings) -> None:
        settings.OSSN_MESSAGING = {"ENABLED": False}
        assert api.fails("201", message="", to="0") == "OssnMessages component not found"

    @pytest.mark.parametrize("text", [None, "", "   ", "\n\r\n", "\t", "\0", " \0 ", "\u2003"])
    def test_3_a_blank_message(self, api: API, text: str | None) -> None:
        assert api.fails("106", message=text, to="0", attachment=upload("dummy.pdf")) == "Message text cannot be blank"

    @pytest.mark.parametrize("name", ["from_", "to"])
    @pytest.mark.parametrize("value", [None, "", " ", "0", " 00 "])
    def test_4_a_blank_user(self, api: API, name: str, value: str | None) -> None:
        other = {"from_": "to", "to": "from_"}[name]
        assert api.fails("106", **{name: value, other: "abc"}) == "Either `to` or `from` is blank"

    @pytest.mark.parametrize("name", ["from_", "to"])
    @pytest.mark.parametrize(
        "value",
        [
            "999999999",
            str(2**31),
            str(2**63 - 1),
            str(2**63),
            "9" * 5000,
            "-2",
            "+2",
            "abc",
            "2.0",
            "1e0",
            "2 2",
            "\u0661",
            "\u00b2",
        ],
    )
    def test_5_an_unknown_user(self, api: API, name: str, value: str) -> None:
        assert api.fails("103", attachment=upload("a.exe", b""), **{name: value}) == "Either user not found"

    @pytest.mark.parametrize("name", ["from_", "to"])
    def test_5_what_has_an_id_in_it(self, api: API, name: str) -> None:
        user = {"from_": api.sender, "to": api.recipient}[name]
        for value in (f"X{user.pk}", f"{user.pk}X", f"0X{user.pk}", f"{user.pk}.", f"#{user.pk}"):
            api.fails("103", **{name: value})

    def test_5_a_user_who_is_not_active(self, api: API, stranger: User) -> None:
        User.objects.filter(pk=stranger.pk).update(is_active=False)
        for name in ("to", "from_"):
            api.fails("103", **{name: stranger.pk})
            api.fails("103", **{name: stranger.pk}, attachment=[upload("dummy.pdf"), upload("photo.png")])

    def test_6_to_oneself(self, api: API) -> None:
        assert api.fails("200", to=api.sender.pk).startswith("Message send failed: ")

    def test_6_the_sites_own_rule(self, api: API, stranger: User, settings: Settings) -> None:
        settings.OSSN_MESSAGING = {"CAN_SEND": "tests.site.only_to_recipients_named_s"}
        assert api.fails("200", to=stranger.pk).startswith("Message send failed: ")
        api.ok()

    def test_6_a_text_too_long(self, api: API, settings: Settings) -> None:
        settings.OSSN_MESSAGING = {"MAX_MESSAGE_LENGTH": 5}
        api.ok(message=" 12345 ")
        assert api.fails("200", message="123456").startswith("Message send failed: ")
        assert [message.text for message in Message.objects.all()] == ["12345"]

    def test_6_a_bad_attachment(self, api: API, attachments_folder: Path) -> None:
        refused = "Message send failed: the attachment"
        text = api.fails("200", attachment=upload("a.exe", b"MZ"))
        assert text == "Message send failed: the extension of the attachment's file name is not allowed"
        text = api.fails("200", attachment=upload("a.pdf", b"MZ"))
        assert text == f"{refused} is not a PDF"
        assert not Message.objects.exists()
        assert not attachments_folder.exists()


def test_ids_may_be_padded(api: API) -> None:
    api.ok(to=f" {api.recipient.pk}\n")
    api.ok(to=f"000{api.recipient.pk}")
    api.ok(to="0" * 10_000 + str(api.recipient.pk))


def test_a_key_in_the_header(api: API) -> None:
    answer = api.send(api_key_token=None, headers={"Authorization": f"Api-Key {api.key}"})
    assert answer["code"] == "100"


def test_an_ended_key_is_as_if_unknown(api: API) -> None:
    unknown = api.fails("106", api_key_token="nope")
    APIKey.objects.get().revoke()
    assert api.fails("106") == unknown


@pytest.mark.parametrize(
    ("sent", "stored", "shown"),
    [
        ("  padded \n", "padded", "padded"),
        ("a    b\tc", "a    b\tc", "a    b\tc"),
        ("C:\\new\\temp", "C:\\new\\temp", "C:\\new\\temp"),
        ("one\ntwo", "one\ntwo", "one<br />\ntwo"),
        ("one\rtwo", "one\rtwo", "one<br />\rtwo"),
        ("one\r\n\r\ntwo", "one\r\n\r\ntwo", "one<br />\r\n<br />\r\ntwo"),
        ("a\0b", "ab", "ab"),
        ("<b>&amp;'\"", "<b>&amp;'\"", "&lt;b&gt;&amp;amp;&#039;&quot;"),
        (
            "👨\u200d👩\u200d👧 \u202e e\u0301 你好",
            "👨\u200d👩\u200d👧 \u202e e\u0301 你好",
            "👨\u200d👩\u200d👧 \u202e e\u0301 你好",
        ),
        ("%s {} {0} %(a)s", "%s {} {0} %(a)s", "%s {} {0} %(a)s"),
        ("0", "0", "0"),
    ],
)
def test_text_is_kept_and_shown_as_html(api: API, sent: str, stored: str, shown: str) -> None:
    payload = api.ok(message=sent)
    assert Message.objects.get().text == stored
    assert payload["message"] == shown
    assert html.unescape(shown.replace("<br />", "")) == stored


def test_text_as_it_was_stored(api: API, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"MESSAGE_FORMAT": "text"}
    assert api.ok(message="<b>\n&")["message"] == "<b>\n&"


def test_the_answer_is_in_utf_8(api: API) -> None:
    response = api.client.post(SEND, api.fields(message="отчёт"))
    assert "отчёт".encode() in response.content


def test_a_user_without_a_full_name(api: API, stranger: User) -> None:
    assert api.ok(to=stranger.pk)["message_to"]["fullname"] == "stranger"


@pytest.mark.parametrize("username", ["", "two\nlines", "\u202e%2F?#"])
def test_no_user_name_is_in_the_way(api: API, stranger: User, username: str) -> None:
    User.objects.filter(pk=stranger.pk).update(username=username)
    url = api.ok(to=stranger.pk)["message_to"]["icon"]["small"]
    assert api.client.get(url).status_code == 200


def test_names_that_are_not_texts(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a lazy translation, or the object of a telephone-number field."""
    monkeypatch.setattr(User, "get_full_name", lambda user: gettext_lazy("Name"))
    monkeypatch.setattr(User, "get_username", lambda user: Path("+49 30"))
    assert api.ok()["message_to"]["fullname"] == "Name"
    assert api.ok()["message_to"]["username"] == "+49 30"


def test_an_icon_by_default_is_a_picture(api: API, stranger: User) -> None:
    User.objects.filter(pk=stranger.pk).update(username="anna@example.com/x +é")
    url = api.ok(to=stranger.pk)["message_to"]["icon"]["small"]
    digest = hashlib.md5("anna@example.com/x +ésmall".encode()).hexdigest()
    assert url == f"http://testserver/avatar/anna%40example.com/x%20%2B%C3%A9/small/{digest}.jpeg"
    response = api.client.get(url)
    assert response["Content-Type"] == "image/jpeg"
    assert response["Cache-Control"] == "public, max-age=86400"
    assert response.content.startswith(b"\xff\xd8\xff")
    assert api.client.head(url).status_code == 200


@pytest.mark.parametrize("path", ["/avatar/a/small/0.jpeg", f"/avatar/a/huge/{hashlib.md5(b'ahuge').hexdigest()}.jpeg"])
def test_an_icon_that_nobody_was_given(api: API, path: str) -> None:
    assert api.read(api.client.get(path), 404)["message"] == "Not found"


@pytest.mark.parametrize(
    ("own", "start"),
    [("own_icon", "http://testserver/icons/"), ("own_icon_of_the_host", "http://icons.testserver/")],
)
def test_the_sites_own_icons(api: API, settings: Settings, own: str, start: str) -> None:
    settings.OSSN_MESSAGING = {"USER_AVATAR": f"tests.site.{own}"}
    payload = api.ok()
    assert payload["message_from"]["icon"]["small"] == f"{start}{api.sender.pk}-small.png"
    assert payload["message_to"]["icon"]["small"].startswith("http://testserver/avatar/testuser/")


@pytest.mark.parametrize("url", ["https://example.com/SITES/X", "https://example.com/SITES/X/"])
def test_site_name_and_url(api: API, settings: Settings, url: str) -> None:
    settings.OSSN_MESSAGING = {"SITE_NAME": "My site", "SITE_URL": url}
    answer = api.send(attachment=upload("dummy.pdf"))
    assert (answer["merchant"], answer["url"]) == ("My site", "https://example.com/SITES/X/")
    assert answer["payload"]["message_from"]["icon"]["small"].startswith("https://example.com/SITES/X/avatar/")
    assert answer["payload"]["attachment_url"].startswith("https://example.com/SITES/X/messages/attachment/")


def test_behind_a_proxy(api: API, settings: Settings) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    answer = api.send(headers={"Host": "testserver", "X-Forwarded-Proto": "https"})
    assert answer["url"] == "https://testserver/"
    assert answer["payload"]["message_to"]["icon"]["small"].startswith("https://testserver/avatar/")


def test_under_a_prefix(api: API, settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.urls_prefixed"
    payload = api.read(api.client.post(f"/community{SEND}", api.fields(attachment=upload("dummy.pdf"))))["payload"]
    for url in (payload["attachment_url"], payload["message_from"]["icon"]["small"]):
        assert url.startswith("http://testserver/community/")
        assert fetch(api.client, url)[0].status_code == 200


def test_under_a_script_name(api: API) -> None:
    set_script_prefix("/app/")
    try:
        answer = api.send(attachment=upload("dummy.pdf"))
    finally:
        clear_script_prefix()
    assert answer["url"] == "http://testserver/app/"
    assert answer["payload"]["attachment_url"].startswith("http://testserver/app/messages/attachment/")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 200),
        ({"api_key_token": "nope"}, 401),
        ({"message": ""}, 400),
        ({"to": ""}, 400),
        ({"to": "abc"}, 404),
        ({"attachment": "text"}, 422),
    ],
)
def test_rest_statuses(api: API, settings: Settings, changes: dict[str, str], status: int) -> None:
    settings.OSSN_MESSAGING = {"HTTP_STATUS": "rest"}
    response = api.client.post(SEND, api.fields(**changes))
    api.read(response, status)
    assert response.get("WWW-Authenticate") == ('Api-Key realm="api"' if status == 401 else None)


def test_rest_statuses_of_the_settings(api: API, stranger: User, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"HTTP_STATUS": "rest", "ENABLED": False}
    api.send(status=503)
    settings.OSSN_MESSAGING = {"HTTP_STATUS": "rest", "CAN_SEND": "tests.site.only_to_recipients_named_s"}
    api.send(status=403, to=stranger.pk)
    settings.OSSN_MESSAGING = {"HTTP_STATUS": "rest", "MAX_MESSAGE_LENGTH": 1}
    api.send(status=413)
    settings.OSSN_MESSAGING = {"HTTP_STATUS": "rest", "ATTACHMENT_MAX_SIZE": 1}
    api.send(status=413, attachment=upload("dummy.pdf"))


def statements(context: CaptureQueriesContext) -> list[str]:
    return [query["sql"] for query in context if query["sql"] not in ("BEGIN", "COMMIT")]


@pytest.mark.parametrize("earlier_messages", [0, 3])
def test_the_cost_of_a_message(api: API, earlier_messages: int) -> None:
    for _ in range(earlier_messages):
        api.ok()
    APIKey.objects.touch()  # which is written once in a while
    with CaptureQueriesContext(connection) as text:
        api.ok()
    with CaptureQueriesContext(connection) as file:
        api.ok(attachment=upload("dummy.pdf"))
    assert len(statements(text)) == 4, statements(text)
    assert len(statements(file)) == 5, statements(file)


def test_neither_csrf_nor_a_login_is_asked_for(api: API) -> None:
    strict = API(Client(enforce_csrf_checks=True), api.key, api.sender, api.recipient)
    strict.ok()


def test_the_answer_comes_after_the_commit(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ATOMIC_REQUESTS, Django would commit only after the view has answered."""
    in_transaction = []

    def note(*args: Any) -> dict[str, Any]:
        in_transaction.append(connection.in_atomic_block)
        return sent_object(*args)

    monkeypatch.setattr("ossn_messaging.api.views.sent_object", note)
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    api.ok()
    assert in_transaction == [False]


def test_a_file_in_another_part_is_refused(api: API) -> None:
    api.fails("200", file=upload("dummy.pdf"))
    api.fails("106", message=upload("dummy.pdf"))
    assert not Message.objects.exists()


def test_two_attachments_are_refused(api: API) -> None:
    api.fails("200", attachment=[upload("dummy.pdf"), upload("photo.png")])
    api.fails("200", attachment=["text", upload("photo.png")])
    assert not Message.objects.exists()


def test_an_empty_field_is_no_attachment(api: API) -> None:
    assert list(api.ok(attachment="")) == TEXT_KEYS
    assert list(api.ok(attachment=["", upload("photo.png")])) == FILE_KEYS
    assert list(api.ok(attachment=[upload("photo.png"), ""])) == FILE_KEYS


def test_under_a_language(sender: User, settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.urls_translated"
    request = RequestFactory().get("/")
    for language in ("de", "fr"):
        with translation.override(language):
            assert avatar_url(request, sender, sender.username, "small").startswith(
                f"http://testserver/{language}/avatar/"
            )


def test_under_the_urls_that_a_middleware_chose(sender: User) -> None:
    """As ``request.urlconf`` makes Django do, with others for each host."""
    request = RequestFactory().get("/")
    try:
        for urlconf, root in (("tests.urls_prefixed", "/community/"), (None, "/")) * 2:
            set_urlconf(urlconf)
            assert avatar_url(request, sender, sender.username, "small").startswith(f"http://testserver{root}avatar/")
    finally:
        set_urlconf(None)


def test_under_a_script_name_that_is_not_ascii() -> None:
    set_script_prefix("/bücher/")
    try:
        assert site_root(RequestFactory().get("/")) == "http://testserver/b%C3%BCcher/"
    finally:
        clear_script_prefix()
