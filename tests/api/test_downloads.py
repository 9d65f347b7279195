"""Who may have a file, and how it is given out."""

import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Permission, User
from django.db import OperationalError
from django.test import Client
from django.test.utils import isolate_apps
from pytest_django import Settings

from ossn_messaging.attachments.names import clean_name
from ossn_messaging.models import APIKey, Attachment, Message
from tests.api.test_reading import Shown
from tests.support.api import API, fetch, upload
from tests.support.files import PDF
from tests.support.storage import everywhere

pytestmark = everywhere


@pytest.fixture
def url(api: API) -> str:
    """The URL of an attachment with its signature."""
    signed: str = api.ok(attachment=upload("dummy.pdf"))["attachment_url"]
    return signed


@pytest.fixture
def bare(url: str) -> str:
    return urlsplit(url).path


def status(client: Client, url: str, **extra: str) -> int:
    response, body = fetch(client, url, **extra)
    assert (body == PDF) == (response.status_code == 200)
    assert response.status_code == 200 or b"%PDF" not in body
    return int(response.status_code)


def test_the_signature_opens_it_for_anyone(url: str) -> None:
    assert status(Client(), url) == 200


def test_a_signature_that_is_not_valid(api: API, url: str, bare: str) -> None:
    other = api.ok(attachment=upload("dummy.pdf"))["attachment_url"]
    for query in (
        "",
        "?signature=",
        "?signature=abc",
        "?" + url[-1::-1],
        f"?{urlsplit(other).query}",
        f"?{urlsplit(url).query}x",
    ):
        assert status(Client(), bare + query) == 404


def test_a_signature_grows_old(url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.OSSN_MESSAGING = {"ATTACHMENT_URL_MAX_AGE": 100}
    now = time.time()
    for age, expected in ((98, 200), (101, 404)):
        with monkeypatch.context() as later:
            later.setattr("django.core.signing.time.time", lambda age=age: now + age)
            assert status(Client(), url) == expected


@pytest.mark.parametrize(
    "signature",
    [
        "from:1vb66i:oRb27pYCfAw-T0XNh-jFKPOxOcrj4dhAEpsEFC5z_1Q",
        "to:1vb66i:IBS2qaCqX1TY4WII-cNVpsguioY_bldk9GlhWKjhAsQ",
    ],
)
def test_a_url_from_before_an_upgrade(url: str, settings: Settings, signature: str) -> None:
    """What is signed, and how, stays as it was on the first of January 2026."""
    settings.SECRET_KEY = "the secret key of a site"
    settings.OSSN_MESSAGING = {"ATTACHMENT_URL_MAX_AGE": 10**9}
    Attachment.objects.update(id=7, file="attachment/earlier.pdf")
    for given, expected in ((signature, (200, 302)), (f"{signature}x", (404,))):
        assert Client().head(f"/messages/attachment/7/dummy.pdf?signature={given}").status_code in expected


def test_a_signature_does_not_outlive_its_file(api: API, url: str, bare: str) -> None:
    """Nor open another that got the same number."""
    attachment = Attachment.objects.get()
    Attachment.objects.filter(pk=attachment.pk).update(file="attachment/another.pdf")
    assert status(Client(), url) == 404


def test_urls_without_signatures(api: API, url: str, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"ATTACHMENT_URL_MAX_AGE": None}
    payload = api.ok(attachment=upload("dummy.pdf"))
    assert payload["attachment_url"] == f"http://testserver/messages/attachment/{payload['attachment_guid']}/dummy.pdf"
    assert status(Client(), payload["attachment_url"]) == 404
    assert status(Client(), url) == 404, "one handed out before"
    api.client.force_login(api.sender)
    assert status(api.client, payload["attachment_url"]) == 200


@pytest.mark.parametrize("side", ["sender", "recipient"])
def test_a_participant_who_has_not_deleted_the_message(api: API, bare: str, side: str) -> None:
    client = Client()
    client.force_login(getattr(api, side))
    assert status(client, bare) == 200
    other = {"sender": "recipient", "recipient": "sender"}[side]
    Message.objects.update(**{f"deleted_by_{other}": True})
    assert status(client, bare) == 200
    Message.objects.update(**{f"deleted_by_{side}": True})
    assert status(client, bare) == 404


def test_staff_with_permission(bare: str, stranger: User) -> None:
    client = Client()
    client.force_login(stranger)
    assert status(client, bare) == 404
    permission = Permission.objects.get(codename="read_message")
    stranger.user_permissions.add(permission)
    assert status(client, bare) == 404, "the permission alone is not enough"
    User.objects.filter(pk=stranger.pk).update(is_staff=True)
    assert status(client, bare) == 200
    stranger.user_permissions.clear()
    assert status(client, bare) == 404, "nor is being staff"


def test_users_of_a_site_that_has_no_staff(api: API, url: str) -> None:
    with isolate_apps():

        class Member(AbstractBaseUser):
            class Meta:
                app_label = "members"

    attachment = Attachment.objects.get()
    assert [attachment.is_open_to(Member(pk=number)) for number in (api.sender.pk, 0)] == [True, False]


def test_an_api_key(api: API, bare: str) -> None:
    assert status(Client(), f"{bare}?api_key_token={api.key}") == 200
    assert status(Client(), bare, HTTP_AUTHORIZATION=f"Api-Key {api.key}") == 200
    assert status(Client(), f"{bare}?api_key_token=nope") == 404
    APIKey.objects.get().revoke()
    assert status(Client(), f"{bare}?api_key_token={api.key}") == 404


def deactivate(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def test_a_signature_ends_with_its_user(api: API, url: str) -> None:
    listed = api.told("v2.0/message/list", guid=api.recipient.pk, to=api.sender.pk)["list"][0]["attachment_url"]
    deactivate(api.sender)
    assert [status(Client(), signed) for signed in (url, listed)] == [404, 200]
    deactivate(api.recipient)
    assert status(Client(), listed) == 404


def test_a_key_opens_what_an_active_user_may_read(api: API, bare: str) -> None:
    keys = {
        name: APIKey.objects.create_key(name, users=users)[1]
        for name, users in {"sender": [api.sender], "both": [api.sender, api.recipient], "anyone": []}.items()
    }

    def open_to() -> list[str]:
        return [name for name, key in keys.items() if status(Client(), f"{bare}?api_key_token={key}") == 200]

    assert open_to() == ["sender", "both", "anyone"]
    deactivate(api.sender)
    assert open_to() == ["both", "anyone"]
    deactivate(api.recipient)
    assert open_to() == []


def test_a_user_who_is_hidden_is_as_if_inactive(api: API, url: str, bare: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the API does not find them, no file opens for them."""
    key = APIKey.objects.create_key("bound", users=[api.recipient])[1]
    listed = api.told("v2.0/message/list", guid=api.recipient.pk, to=api.sender.pk)["list"][0]["attachment_url"]
    manager = Shown()
    manager.model = User
    monkeypatch.setattr(User._meta, "default_manager", manager)
    assert [status(Client(), signed) for signed in (url, listed)] == [200, 404]
    assert status(Client(), f"{bare}?api_key_token={key}") == 404


def test_a_login_ends_with_its_user(bare: str, api: API, stranger: User, settings: Settings) -> None:
    """Also where the site's own backend lets users in who are not active."""
    settings.AUTHENTICATION_BACKENDS = ["tests.site.Trusting"]
    User.objects.filter(pk=stranger.pk).update(is_staff=True)
    for user in (api.sender, stranger):
        client = Client()
        client.force_login(user)
        assert status(client, bare) == 200
        deactivate(user)
        assert status(client, bare) == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"data": b"{", "content_type": "application/json"},
        {"data": b"x", "content_type": "text/plain"},
        {"data": b"x", "content_type": "multipart/form-data"},
        {"QUERY_STRING": "a=1&" * 1005},
    ],
)
def test_what_is_wrong_with_a_request_does_not_tell_either(api: API, bare: str, wrong: dict[str, Any]) -> None:
    paths = (bare, bare.replace("/attachment/", "/attachment/9"))
    assert len({api.client.generic("GET", path, **wrong).status_code for path in paths}) == 1


def test_a_name_with_a_nul(api: API, bare: str) -> None:
    api.read(api.client.get(bare.replace("dummy", "%00")), 404)


def test_a_database_that_fails(api: API, bare: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("the wire was cut")

    monkeypatch.setattr(Attachment.objects, "using", fail)
    assert api.read(api.client.get(bare), 503)["message"] == (
        "Attachment read failed: the server cannot do this now, try again later"
    )


def test_what_is_closed_looks_as_if_it_were_not_there(api: API, bare: str) -> None:
    answers = [
        api.read(api.client.get(path), 404)
        for path in (bare, bare.replace("dummy", "other"), "/messages/attachment/999999999/dummy.pdf")
    ]
    assert len({str({**answer, "time_token": 0}) for answer in answers}) == 1


@pytest.mark.parametrize("cookies", [{}, {"sessionid": "0" * 32}])
def test_the_headers_do_not_tell_what_is_closed_either(bare: str, settings: Settings, cookies: dict[str, str]) -> None:
    """Where nothing but the view looks into the session."""
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "LoginRequired" not in name]
    answers = []
    for path in (bare, "/messages/attachment/999999999/dummy.pdf"):
        client = Client()
        client.cookies.load(cookies)
        response = client.get(path)
        answers.append((response.status_code, dict(response.headers), response.cookies.output()))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("path", ["-1/dummy.pdf", "one/dummy.pdf", f"{'9' * 30}/dummy.pdf", "1/a/b.pdf", "1/a%0Ab.pdf"])
def test_what_can_be_no_attachment_is_answered_alike(api: API, path: str) -> None:
    """Not by a page of the site's, and whatever the client makes of a name."""
    api.read(api.client.get(f"/messages/attachment/{path}"), 404)


def test_another_name_is_another_file(url: str) -> None:
    assert status(Client(), url.replace("dummy.pdf", "invoice.pdf")) == 404


def test_without_sessions(api: API, url: str, bare: str, settings: Settings) -> None:
    settings.MIDDLEWARE = []
    assert status(Client(), url) == 200
    assert status(Client(), bare) == 404


def test_a_deleted_message(api: API, url: str) -> None:
    Message.objects.get().delete()
    assert status(Client(), url) == 404


@pytest.mark.parametrize(
    "name",
    [
        "na me (1).pdf",
        "отчёт.pdf",
        "a&b=c#d?e%f.pdf",
        "it's.pdf",
        "100%25.pdf",
        "a+b;c.pdf",
        "2024\u202fPM.pdf",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.pdf",
        "👨\u200d👩.pdf",
        'quo"te.pdf',
    ],
)
def test_a_name_survives_its_url(api: API, name: str) -> None:
    message = Message.objects.send(sender=api.sender, recipient=api.recipient, text="x", upload=upload("dummy.pdf"))
    Attachment.objects.update(name=name)
    path = f"/messages/attachment/{message.attachment.pk}/{quote(name)}"
    _response, body = fetch(Client(), path, HTTP_AUTHORIZATION=f"Api-Key {api.key}")
    assert body == PDF
    payload = api.ok(attachment=upload(name, PDF))
    assert payload["attachment_name"] == clean_name(name)
    assert urlsplit(payload["attachment_url"]).path.endswith("/" + quote(clean_name(name)))
    assert fetch(Client(), payload["attachment_url"])[1] == PDF


def test_files_are_where_they_should_be(api: API, url: str, attachments_folder: Path) -> None:
    assert [path.name for path in attachments_folder.iterdir()] == [str(Attachment.objects.get().file).split("/")[1]]


def test_a_message_that_both_have_deleted(api: API, url: str, bare: str, stranger: User) -> None:
    User.objects.filter(pk=stranger.pk).update(is_staff=True, is_superuser=True)
    api.client.force_login(User.objects.get(pk=stranger.pk))
    assert status(api.client, bare) == 200
    for user in (api.sender, api.recipient):
        Message.objects.all().delete_for(user)
    for client in (Client(), api.client):
        assert status(client, url) == 404
        assert status(client, f"{bare}?api_key_token={api.key}") == 404


def test_a_request_for_a_file_that_can_not_be_read(api: API, bare: str, settings: Settings) -> None:
    """The protocol's code is in the answer, and the HTTP status tells clients of HTTP alone that this is no file."""
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 2
    answer = api.read(api.client.get(f"{bare}?a=1&b=2&c=3"), 400)
    assert (answer["code"], answer["message"]) == ("200", "Attachment read failed: the request could not be read")
