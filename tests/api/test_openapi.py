"""The app's URLs in the OpenAPI schema of a site: it is valid, and what they answer is as it says."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client, override_settings
from django.urls import include, path
from django.utils import translation
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import patched_settings
from drf_spectacular.validation import validate_schema
from pytest_django import Settings
from requests import Request
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ossn_messaging.api.endpoints import EnvelopeView
from ossn_messaging.models import APIKey, Message
from tests.site import WhoAmI
from tests.support.api import API, SEND, upload
from tests.support.files import PDF

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
every_setting = pytest.mark.parametrize("http_status", ["ossn", "rest"])


@pytest.fixture(autouse=True)
def described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests' site have drf-spectacular, and none of the apps that must not be made ready twice."""
    monkeypatch.setattr(EnvelopeView, "schema", None)
    with override_settings(
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "ossn_messaging", "drf_spectacular"]
    ):
        assert EnvelopeView.schema is not None


def generated(patterns: Any = None) -> dict[str, Any]:
    generator = SchemaGenerator(patterns=patterns, urlconf="ossn_messaging.urls")  # type: ignore[no-untyped-call]
    schema: dict[str, Any] = generator.get_schema(public=True)  # type: ignore[no-untyped-call]
    assert not GENERATOR_STATS, "it has warnings"
    return schema


@every_setting
@pytest.mark.parametrize("version", ["3.0.3", "3.1.1"])
def test_it_is_valid_in_each_version_of_openapi(settings: Settings, http_status: str, version: str) -> None:
    settings.OSSN_MESSAGING = {"HTTP_STATUS": http_status}
    with patched_settings({"OAS_VERSION": version}):
        validate_schema(generated())  # type: ignore[no-untyped-call]


def test_it_is_in_the_language_of_who_asks() -> None:
    with translation.override("de"):
        operation = generated()["paths"]["/api/v2.0/message/send"]["post"]
    assert operation["summary"] == "Eine Nachricht senden, mit oder ohne Datei"
    assert operation["tags"] == ["Nachrichten"]
    properties = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert properties["from"]["description"] == "der Benutzer, der sendet"
    assert properties["attachment"]["description"].startswith("eine Datei: jpg")


def test_it_follows_the_settings(settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"ALLOW_GET": False, "MAX_MESSAGE_LENGTH": 99, "ATTACHMENT_EXTENSIONS": ["pdf", "jpg"]}
    operations = generated()["paths"]["/api/v2.0/message/send"]
    assert list(operations) == ["post"]
    body = operations["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert body["message"]["maxLength"] == 99
    assert body["attachment"] == {"type": "string", "format": "binary", "description": "one file: jpg, pdf"}


@every_setting
def test_it_tells_what_a_session_may(settings: Settings, http_status: str) -> None:
    settings.OSSN_MESSAGING = {"SESSION_API": True, "HTTP_STATUS": http_status}
    schema = generated()
    validate_schema(schema)  # type: ignore[no-untyped-call]
    schemes = schema["components"]["securitySchemes"]
    assert schemes["ossnSession"] == {"type": "apiKey", "in": "cookie", "name": "sessionid"}
    assert schemes["ossnCSRFToken"] == {"type": "apiKey", "in": "header", "name": "X-Csrftoken"}
    keys: list[dict[str, list[str]]] = [{"ossnKeyInHeader": []}, {"ossnKeyInQuery": []}]
    by_id = operations(schema)
    assert by_id["sendMessage"]["security"] == [*keys, {"ossnSession": [], "ossnCSRFToken": []}]
    assert by_id["sendMessageByGet"]["security"] == keys
    assert by_id["listMessagesByGet"]["security"] == [*keys, {"ossnSession": []}]
    assert by_id["listMessagesV1"]["security"] == keys
    for operation, required in (("listNewMessages", ["from"]), ("listNewMessagesV1", ["to", "from"])):
        content = by_id[operation]["requestBody"]["content"]["application/json"]
        assert content["schema"]["required"] == required
        assert list(content["example"]) == required
    told = {
        name: json.dumps(schema["components"]["responses"][found["$ref"].rpartition("/")[2]])
        for name in ("sendMessage", "sendMessageV1")
        for status, found in by_id[name]["responses"].items()
        if status == "403"
    }
    assert "CSRFFailed" in told["sendMessage"]
    assert "CSRFFailed" not in told.get("sendMessageV1", "")
    settings.OSSN_MESSAGING = {}
    assert "ossnSession" not in json.dumps(generated())


@pytest.mark.parametrize("message_format", ["html", "text"])
def test_it_tells_html_from_plain_text(api: API, settings: Settings, message_format: str) -> None:
    settings.OSSN_MESSAGING = {"MESSAGE_FORMAT": message_format}
    name = "a&amp;b"
    User.objects.update(first_name=name, last_name="")
    sent = api.ok(message=name, attachment=upload(f"{name}.pdf", PDF))
    values = {
        "message": sent["message"],
        "attachment_name": sent["attachment_name"].removesuffix(".pdf"),
        "fullname": sent["message_from"]["fullname"],
    }
    schemas = generated()["components"]["schemas"]
    properties = schemas["OssnSent"]["properties"] | schemas["OssnUser"]["properties"]
    for key, value in values.items():
        told = properties[key]["description"]
        assert value == ("a&amp;amp;b" if told.startswith("HTML") else name), key
        assert told.startswith("HTML") == (key == "message" and message_format == "html")


def operations(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["operationId"]: each for methods in schema["paths"].values() for each in methods.values()}


def test_operation_ids_are_the_names_of_functions() -> None:
    version_2 = ["sendMessage", "listMessages", "listNewMessages", "listRecentMessages", "deleteMessage"]
    blocks = ["blockUser", "unblockUser", "listBlockedUsers"]
    others = ["countUnreadMessages", "listUpdates", *blocks]
    by_post = [*version_2, *others, *(f"{name}V1" for name in version_2)]
    by_get = [f"{name}ByGet" for name in by_post]
    assert sorted(operations(generated())) == sorted([*by_post, *by_get, "getAttachment", "getAvatar"])


def test_only_sending_has_several_types_of_body() -> None:
    """Generators of clients make one function of an operation, and a class or an error of each type of body."""
    bodies = {
        name: list(each["requestBody"]["content"])
        for name, each in operations(generated()).items()
        if "requestBody" in each
    }
    assert bodies.pop("sendMessage") == ["multipart/form-data", "application/x-www-form-urlencoded", "application/json"]
    assert bodies.pop("sendMessageV1") == ["multipart/form-data"]
    assert set(map(tuple, bodies.values())) == {("application/json",)}


def test_what_clients_should_use_is_first() -> None:
    with patched_settings({"SORT_OPERATIONS": False}):
        paths = generated()["paths"]
    versions = [name.split("/")[2] for name in paths if name.startswith("/api/")]
    assert versions == sorted(versions, reverse=True)
    assert {tuple(methods) for methods in paths.values()} == {("post", "get"), ("get",)}


STEADY = {
    "id": 4,
    "time": 1714841244,
    "time_token": 1714841244,
    "attachment_guid": "175",
    "count": 1,
    "conversations": 1,
    "after": "1-1-7-0-1714841244",
}


def steady(answer: Any, ids: dict[int, int]) -> Any:
    """Return an answer without what differs each time, and with the ids of users replaced."""
    if isinstance(answer, dict):
        return {key: STEADY.get(key, steady(value, ids)) for key, value in answer.items()}
    if isinstance(answer, list):
        return [steady(item, ids) for item in answer]
    if isinstance(answer, str):
        return re.sub(r"(?<=attachment/)\w+|(?<=:)[\w-]{6,}", "...", answer)
    return ids.get(answer, answer) if type(answer) is int else answer


def cursor_before_everything(api: API) -> str:
    """Return a cursor after which there are a message with a file, a read mark and a deletion."""
    deleted = api.ok()["id"]
    cursor: str = api.told("v2.0/message/updates", guid=api.sender.pk)["after"]
    api.told("v2.0/message/list", guid=api.recipient.pk, to=api.sender.pk, markallread=1)
    api.told("v2.0/message/delete", guid=api.sender.pk, id=deleted)
    api.ok(attachment=upload("dummy.pdf"))
    return cursor


@every_setting
@pytest.mark.parametrize("max_age", [3600, None])
def test_the_example_of_a_response_is_the_answer_to_that_of_the_request(
    api: API, settings: Settings, http_status: str, max_age: int | None
) -> None:
    site = {"SITE_NAME": "OSSN", "SITE_URL": "https://example.com/"}
    settings.OSSN_MESSAGING = {**site, "HTTP_STATUS": http_status, "ATTACHMENT_URL_MAX_AGE": max_age}
    users = {1: api.sender.pk, 2: api.recipient.pk}
    ids = {pk: example for example, pk in users.items()}
    schema = generated()
    requests = {url: methods["post"] for url, methods in schema["paths"].items() if "post" in methods}
    in_turn = sorted(requests, key=lambda url: "/user/" not in url)  # the block is gone before anything is sent
    for url in (url for url in in_turn if not url.endswith("delete")):
        media_type = next(iter(requests[url]["requestBody"]["content"].values()))
        fields = media_type["schema"]["properties"]
        given = {name: fields[name]["example"] for name in media_type["schema"]["required"]}
        assert media_type.get("example", given) == given
        given |= {name: users[given[name]] for name in given if name in ("from", "to") or name.endswith("guid")}
        given |= {"offset": 1} if "offset" in fields else {}
        given |= {"attachment": upload("dummy.pdf")} if "attachment" in fields else {}
        given |= {"after": cursor_before_everything(api)} if url.endswith("updates") else {}
        answer = api.read(api.client.post(url, {"api_key_token": api.key, **given}))
        name = requests[url]["responses"]["200"]["$ref"].rpartition("/")[2]
        example = schema["components"]["responses"][name]["content"]["application/json"]["examples"]["100"]["value"]
        if "list" in answer["payload"]:
            del answer["payload"]["list"][1:]  # the newest of those that the loop has sent
        assert json.dumps(steady(answer, ids)) == json.dumps(steady(example, {})), url


def test_under_a_prefix() -> None:
    schema = generated([path("community/", include("ossn_messaging.urls"))])
    assert "/community/api/v2.0/message/send" in schema["paths"]


def test_a_view_of_the_sites_own_behind_an_api_key() -> None:
    class Documented(WhoAmI):
        schema = AutoSchema()
        serializer_class = None

    schema = generated([path("whoami", Documented.as_view())])
    assert schema["paths"]["/whoami"]["get"]["security"] == [{"ossnKeyInHeader": []}, {"ossnKeyInQuery": []}]
    assert set(schema["components"]["securitySchemes"]) == {"ossnKeyInHeader", "ossnKeyInQuery"}


class Reader:
    """A client that takes no answer which the schema does not tell of."""

    def __init__(self, api: API) -> None:
        self.api = api
        self.schema = schemathesis.openapi.from_dict(generated())

    def check(self, template: str, response: Any) -> tuple[int, str]:
        """Return the status and the protocol's code, if there is one."""
        content = response.getvalue()
        answer = schemathesis.Response(
            response.status_code,
            {name: [value] for name, value in response.items()},
            content,
            Request(response.request["REQUEST_METHOD"], "http://testserver").prepare(),
            elapsed=0,
            verify=False,
        )
        response.close()
        method = response.request["REQUEST_METHOD"]
        documented = "GET" if method not in ("GET", "POST") else method
        case = self.schema[template][documented].Case(path_parameters=dict(response.resolver_match.kwargs))
        case.validate_response(answer, checks=CHECKS)
        envelope = json.loads(content) if response.get("Content-Type") == "application/json" else {}
        return response.status_code, envelope.get("code", "")

    def ask(self, path: str, **given: Any) -> Iterator[tuple[int, str]]:
        """Ask by GET, and by each form of POST that can have this."""
        url = f"/api/{path}"
        headers = {"Authorization": f"Api-Key {given.pop('key', self.api.key)}"}
        fields = {name.rstrip("_"): value for name, value in given.items()}
        yield self.check(url, self.api.client.post(url, fields, headers=headers))
        if "attachment" not in fields:
            yield self.check(url, self.api.client.get(url, fields, headers=headers))
            yield self.check(url, self.api.client.post(url, fields, "application/json", headers=headers))


@every_setting
def test_every_answer_is_as_the_schema_says(api: API, settings: Settings, stranger: User, http_status: str) -> None:
    settings.OSSN_MESSAGING = {"HTTP_STATUS": http_status}
    reader, one, two = Reader(api), api.sender.pk, api.recipient.pk

    def codes(path: str, **given: Any) -> set[str]:
        return {code for _status, code in reader.ask(path, **given)}

    for version in ("v1.0/message_", "v2.0/message/"):
        assert codes(f"{version}list", guid=one, to=two) == {"100"}, "of nothing"
        assert codes(f"{version}new", to=two, from_=one) == {"100"}
        assert codes(f"{version}recent", guid=one) == {"100"}
        send = "v1.0/message_add" if version.startswith("v1") else "v2.0/message/send"
        assert codes(send, from_=one, to=two, message="Test") == {"100"}
        assert codes(send, from_=one, to=two, message="Test", idempotency_key=version) == {"100"}
        assert codes(send, from_=one, to=two, message="Another", idempotency_key=version) == {"200"}
        assert codes(send, from_=one, to=two, message=" ") == {"106"}
        assert codes(send, from_=one, to="", message="Test") == {"106"}
        assert codes(send, from_=one, to=999999999, message="Test") == {"103"}
        assert codes(send, from_=one, to=one, message="Test") == {"200"}
        assert codes(send, from_=one, to=two, message="Test", key="nope") == {"106"}
        refused = codes(send, from_=one, to=two, message="Test", attachment=upload("dummy.pdf", b"no PDF"))
        assert refused == {"200"}
        for name in ("dummy.pdf", "photo.png"):
            api.ok(attachment=upload(name))
        api.ok(from_=two, to=one)
        deleted = api.ok(attachment=upload("dummy.pdf"))["id"]
        assert codes(f"{version}delete", guid=two, id=deleted) == {"200"}
        assert "100" in codes(f"{version}delete", guid=one, id=deleted)
        assert codes(f"{version}list", guid=one, to=two, offset=1) == {"100"}
        assert codes(f"{version}list", guid=one, to=two, before=deleted) == {"100"}
        assert codes(f"{version}list", guid=one, to=999999999) == {"200"}
        assert codes(f"{version}new", to=two, from_=one, markallread=1) == {"100"}
        assert codes(f"{version}recent", guid=one, offset=1) == {"100"}
    assert codes("v2.0/message/send", from_=one, to=two, message="Test", attachment=upload("photo.png")) == {"100"}
    assert codes("v2.0/message/unread", guid=two) == {"100"}
    assert codes("v2.0/message/delete", guid=one, id=1, for_="none") == {"200"}
    reading = APIKey.objects.create_key("reads", scopes=["read"])[1]
    assert codes("v2.0/message/send", from_=one, to=two, message="Test", key=reading) == {"200"}

    key = {"Authorization": f"Api-Key {api.key}"}
    assert reader.check(SEND, api.client.put(SEND)) == (405, "101")
    assert reader.check(SEND, api.client.post(SEND, "text", "text/plain", headers=key)) == (415, "200")
    assert reader.check(SEND, api.client.post(SEND, "{", "application/json", headers=key))[1] == "200"
    settings.OSSN_MESSAGING |= {"ENABLED": False}
    assert codes("v2.0/message/unread", guid=two) == {"201"}
    settings.OSSN_MESSAGING |= {"ENABLED": True, "THROTTLE_RATES": {"key": "1/day"}}
    assert (429, "200") in set(reader.ask("v2.0/message/unread", guid=two))


@pytest.mark.parametrize(("error", "status"), [(OperationalError, 503), (ZeroDivisionError, 500)])
def test_what_is_the_servers_fault(
    api: API, monkeypatch: pytest.MonkeyPatch, error: type[Exception], status: int
) -> None:
    def fail(**kwargs: Any) -> None:
        raise error

    reader = Reader(api)
    monkeypatch.setattr(Message.objects, "send", fail)
    assert reader.check(SEND, api.client.post(SEND, api.fields())) == (status, "200")


def test_files(api: API) -> None:
    reader, client, payload = Reader(api), Client(), api.ok(attachment=upload("dummy.pdf"))
    url, template = payload["attachment_url"], "/messages/attachment/{guid}/{name}"
    etag = client.head(url)["ETag"]
    for status, headers in (
        (200, {}),
        (206, {"Range": "bytes=0-3"}),
        (304, {"If-None-Match": etag}),
        (412, {"If-Match": '"another"'}),
        (416, {"Range": f"bytes={len(PDF)}-"}),
    ):
        assert reader.check(template, client.get(url, headers=headers))[0] == status
    assert reader.check(template, client.get(url.partition("?")[0]))[0] == 404
    avatar, template = payload["message_from"]["icon"]["small"], "/avatar/{username}/{size}/{digest}.jpeg"
    assert reader.check(template, client.get(avatar))[0] == 200
    assert reader.check(template, client.get(avatar.replace("small", "large")))[0] == 404
