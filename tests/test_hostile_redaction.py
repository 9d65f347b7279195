"""Whatever a request holds, redaction takes linear time, shows no secret, and leaves the path readable."""

import io
import json
import subprocess
import sys
from itertools import product
from typing import Any
from urllib.parse import urlsplit

import django
import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.test import Client, RequestFactory
from gunicorn.glogging import SafeAtoms
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from ossn_messaging.api.views import AttachmentFile
from ossn_messaging.models import APIKey
from ossn_messaging.redaction import (
    MAX_ARGUMENT_LENGTH,
    MAX_SECRET_LENGTH,
    MAX_TEXT_LENGTH,
    MAX_TRACEBACK_LENGTH,
    REDACTED,
    RedactingExceptionReporter,
    encoded_variants,
    find_secrets,
    redact,
    redact_start,
    register_secret,
)
from tests.support import ROOT
from tests.support.api import API, upload
from tests.test_redaction import IMPORTED, OWN, record

FORM = "application/x-www-form-urlencoded"
SECONDS_OF_CPU = 60
"""Many times what is needed, and far less than what anything quadratic takes."""


def run_within_limit(code: str) -> None:
    """Run code in a process that the kernel kills if it uses the processor for too long."""
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS_OF_CPU}, {SECONDS_OF_CPU}))\n{code}"
    subprocess.run([sys.executable, "-c", limited], cwd=ROOT, check=True)


def test_the_worst_texts_take_linear_time() -> None:
    run_within_limit("""
from ossn_messaging.redaction import encoded_variants, redact, redact_data
from tests.benchmarks.redaction import KEY, WORST, text_of

known = sorted(encoded_variants(KEY), key=len, reverse=True)
for pattern in [*WORST.values(), "?", "?a", "?a=", "?a?", "=?"]:
    for secrets in ((), known):
        redact(text_of(pattern, 200_000), secrets)
    redact_data([text_of(pattern, 16_000)] * 12)
""")


def test_the_keys_of_a_request_take_linear_time() -> None:
    """However long they are, and however many."""
    run_within_limit("""
import logging
from django.conf import settings
from django.test import RequestFactory
from ossn_messaging.redaction import RedactSecretsFilter, register_secret
from tests.benchmarks.redaction import KEY

settings.configure(DATA_UPLOAD_MAX_NUMBER_FIELDS=None)
request = RequestFactory().get("/" + "\\\\" * 8000, {"signature": [f"{KEY[:500]}{number}" for number in range(3000)]})
for number in range(3000):
    register_secret(request, f"{number}{KEY * 30}")
for _ in range(20):
    record = logging.makeLogRecord({"msg": "Not Found: %s", "args": (request.path,), "request": request})
    RedactSecretsFilter().filter(record)
""")


PATHS = [
    "/signature=/../etc/passwd",
    "/x&signature=/../etc/passwd",
    "/x&api_key_token%3D/../etc/passwd",
    "/Api-Key%20/etc/passwd",
    '/"signature":"/etc/passwd',
    "//elsewhere/signature=/etc/passwd",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_stays_readable_in_an_access_log(path: str) -> None:
    line = f'"GET {path} HTTP/1.1" 404'
    assert redact(line) == line
    with_query = f'"GET {path}?signature={IMPORTED}&api_key_token={IMPORTED} HTTP/1.1" 404'
    assert redact(with_query) == with_query.replace(IMPORTED, REDACTED)
    absolute = f"GET http://testserver{path} HTTP/1.1"
    assert redact(absolute) == absolute


@pytest.mark.parametrize("path", PATHS)
def test_a_path_stays_readable_in_the_arguments_of_a_log(path: str) -> None:
    args = ("127.0.0.1:5", "GET", f"{path}?signature={IMPORTED}", "1.1", 404)
    made = record('%s - "%s %s HTTP/%s" %d', *args)
    assert made.args == ("127.0.0.1:5", "GET", f"{path}?signature={REDACTED}", "1.1", 404), "as uvicorn takes them"
    atoms = SafeAtoms({"m": "GET", "U": f"/a b{path}", "q": f"signature={IMPORTED}"})
    quoted = path.replace('"', '\\"')
    assert record("%(m)s %(U)s %(q)s", atoms).getMessage() == f"GET /a b{quoted} signature={REDACTED}"


def test_a_key_of_the_apps_own_is_redacted_in_a_path_too() -> None:
    assert redact(f"GET /{OWN}/x HTTP/1.1") == f"GET /{REDACTED}/x HTTP/1.1"
    assert record("%(U)s", {"U": f"/{OWN}/x"}).getMessage() == f"/{REDACTED}/x"


FILE = "/messages/attachment/1/x"
ATTEMPTS = {
    "a part of the path": (FILE, "?api_key_token=/messages/", ""),
    "the whole path": (FILE, f"?signature={FILE}", ""),
    "the words before it": (FILE, "", f"Found: {FILE}"),
    "an escaped path": ("/nowhere/%C3%A9", "", r"nowhere/\xe9"),
    "a name in the path": ("/nowhere&signature=/../etc/passwd", "", ""),
    "a query in the path": ("/nowhere%3Fsignature=/etc/passwd", "", ""),
}


@pytest.mark.parametrize("name", ATTEMPTS)
@pytest.mark.django_db
def test_a_path_does_not_hide_itself_from_djangos_log(
    client: Client, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    path, query, key = ATTEMPTS[name]
    request = client.get(f"{path}{query}", headers={"Authorization": f"Api-Key {key}"}).wsgi_request
    escaped = request.path.encode("unicode_escape").decode()
    shown = request.path if django.VERSION == (5, 2, 0, "final", 0) else escaped  # 5.2 escapes it since its fixes
    assert caplog.messages == [f"Not Found: {shown}"]
    assert caplog.records[0].args == ("Not Found", shown)


def test_a_path_does_not_hide_itself_from_a_report(rf: RequestFactory) -> None:
    request = rf.get("/messages/attachment/1/x", {"api_key_token": "/messages/", "signature": "/messages/attachment/1"})
    reporter = RedactingExceptionReporter(request, ValueError, ValueError("no luck"), None)
    for text in (reporter.get_traceback_text(), reporter.get_traceback_html()):
        assert "http://testserver/messages/attachment/1/x" in text


def test_a_word_of_the_log_is_no_secret(rf: RequestFactory) -> None:
    for key in ("GET", "Found", "Not Found", " ", "********"):
        request = rf.get("/x", headers={"Authorization": f"Api-Key {key}"})
        assert record("Not Found: %s ********", "/x", request=request).getMessage() == "Not Found: /x ********"


def test_what_is_not_written_is_not_redacted() -> None:
    """gunicorn's access log has some sixty arguments, of which a format names ten."""
    asked = []

    class Atoms(SafeAtoms):
        def __getitem__(self, name: str) -> Any:
            asked.append(name)
            return super().__getitem__(name)

    made = record("%(h)s %(s)s", Atoms({"h": "127.0.0.1", "s": 404, "{x}i": "'signature':" + " " * 8000}))
    assert asked == []
    assert made.getMessage() == "127.0.0.1 404"
    assert asked == ["h", "s"]


def test_a_handler_may_take_all_arguments() -> None:
    atoms = record("%(h)s", {"h": "x", "{authorization}i": f"Api-Key {IMPORTED}", "B": 5}).args
    assert dict(atoms) == {"h": "x", "{authorization}i": f"Api-Key {REDACTED}", "B": 5}  # type: ignore[arg-type]
    assert len(atoms or ()) == 3


@pytest.mark.parametrize("length", [MAX_TEXT_LENGTH, MAX_TEXT_LENGTH + 1, 10**6])
def test_a_long_message_is_cut(length: int) -> None:
    message = f"GET /x{'y' * (length - 6)}"
    written = record("%s", ValueError(message)).getMessage()
    if length > MAX_TEXT_LENGTH:
        assert written.startswith(message[: MAX_TEXT_LENGTH - MAX_SECRET_LENGTH])
        assert written.endswith(f"y...[{length}-characters]")
        assert len(written) <= MAX_TEXT_LENGTH
    else:
        assert written == message


def test_long_arguments_and_tracebacks_are_cut() -> None:
    args = ("127.0.0.1:5", "GET", f"/signature={'x' * 10**6}", "1.1", 404)
    made = record('%s - "%s %s HTTP/%s" %d', *args)
    assert isinstance(made.args, tuple)
    assert len(made.args) == 5, "uvicorn takes them one by one"
    assert len(made.getMessage()) < MAX_ARGUMENT_LENGTH
    assert len(record("%(r)s", {"r": "x" * 10**6}).getMessage()) < MAX_ARGUMENT_LENGTH
    made = record("x", exc_text="x" * 10**6, stack_info="x" * 10**6)
    assert len(str(made.exc_text)) < MAX_TRACEBACK_LENGTH
    assert len(str(made.stack_info)) < MAX_TRACEBACK_LENGTH


def test_a_report_is_cut(rf: RequestFactory) -> None:
    request = rf.post("/x", {"message": "m" * 10**6})
    try:
        local = "v" * 10**6
        raise ValueError("e" * 10**6 + local)
    except ValueError as error:
        reporter = RedactingExceptionReporter(request, ValueError, error, error.__traceback__)
    for text, letters in ((reporter.get_traceback_html(), "mve"), (reporter.get_traceback_text(), "me")):
        for letter in letters:
            assert letter * 1000 in text
            assert letter * MAX_TEXT_LENGTH not in text


keys = st.text(
    st.characters(exclude_categories=("Zs", "Zl", "Zp", "Cc"), exclude_characters="*"), min_size=8, max_size=40
).filter(lambda text: text.split() == [text])


@hypothesis_settings(deadline=None)
@given(st.data(), st.lists(keys, min_size=1, max_size=3))
def test_a_known_secret_never_survives(data: st.DataObject, given_keys: list[str]) -> None:
    request = RequestFactory().get("/")
    for key in given_keys:
        register_secret(request, key)
    forms = [form for key in given_keys for form in encoded_variants(key)]
    pieces = st.one_of(
        st.sampled_from(forms), st.text(max_size=5), st.sampled_from(["signature=", "Api-Key ", "/", "'"])
    )
    text = "".join(data.draw(st.lists(pieces, max_size=12)))
    secrets = find_secrets(request)
    redacted = redact(text, secrets)
    assert not [key for key in secrets if key in redacted]


@hypothesis_settings(deadline=None)
@given(st.integers(0, 800), st.booleans())
def test_a_secret_is_not_cut_in_two(offset: int, known: bool) -> None:
    """One that begins before the end of what is written is not there, not even in part."""
    key = IMPORTED if known else OWN
    text = "." * (2000 - offset) + key + "." * 1000
    shown = redact_start(text, [IMPORTED], 2000)
    assert not [start for start in range(len(key) - 3) if key[start : start + 4] in shown]


NAMES = ["api_key_token", "signature", "from", "x-signature-not"]
values = st.text(st.characters(codec="utf-8", exclude_categories=("Zs", "Zl", "Zp", "Cc")), min_size=1, max_size=30)
fields = st.dictionaries(st.sampled_from(NAMES), values, min_size=1)


def redacted_fields(given: dict[str, str]) -> dict[str, str]:
    return {name: REDACTED if name in NAMES[:2] else value for name, value in given.items()}


def is_quiet(given: dict[str, str]) -> bool:
    """Whether no other value looks like a secret, or like its end."""
    return redact(given.get("from", "")) == given.get("from", "")


@hypothesis_settings(deadline=None)
@given(fields.filter(is_quiet))
def test_json_is_redacted_by_its_names(given: dict[str, str]) -> None:
    for ascii_only in (True, False):
        written = json.dumps(given, ensure_ascii=ascii_only)
        assert redact(written) == json.dumps(redacted_fields(given), ensure_ascii=ascii_only)
        assert redact(json.dumps(written)) == json.dumps(json.dumps(redacted_fields(given), ensure_ascii=ascii_only))


@hypothesis_settings(deadline=None)
@given(fields.filter(is_quiet))
def test_a_query_is_redacted_by_its_names(given: dict[str, str]) -> None:
    line = "GET /x?{} HTTP/1.1"
    request = WSGIRequest({"REQUEST_METHOD": "GET", "wsgi.input": io.BytesIO()})
    query = request.GET.copy()
    query.update(given)
    expected = "&".join(
        part if part.partition("=")[0] not in NAMES[:2] else f"{part.partition('=')[0]}={REDACTED}"
        for part in query.urlencode().split("&")
    )
    assert redact(line.format(query.urlencode())) == line.format(expected)


class Unread(io.BytesIO):
    """The stream of a request whose body nobody may ask for."""

    def read(self, *args: Any) -> bytes:
        raise AssertionError("the body was read")

    readline = read


@pytest.mark.parametrize("content_type", ["application/json", FORM, "multipart/form-data; boundary=b"])
def test_a_get_of_a_file_reads_no_body(api: API, rf: RequestFactory, content_type: str) -> None:
    """Neither for its key nor for anything else: it could be long, and need not be finished."""
    path = urlsplit(api.ok(attachment=upload("dummy.pdf"))["attachment_url"]).path
    ways: dict[str, Any] = {"nothing": {}, "key": {"headers": {"Authorization": f"Api-Key {api.key}"}}}
    for (way, extra), method in product(ways.items(), ("GET", "HEAD")):
        stream: Any = {"wsgi.input": Unread()}
        request = rf.generic(method, path, "{}" * 1000, content_type, **extra, **stream)
        _empty, _messages, _attachment, guid, name = path.split("/")
        response = AttachmentFile.as_view()(request, guid=guid, name=name)
        assert response.status_code == (200 if way == "key" else 404)
        response.close()


@pytest.mark.parametrize("way", ["header", "query", "form", "JSON", "a file"])
def test_a_key_that_is_too_long_is_not_looked_up(api: API, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    long = "k" * (MAX_SECRET_LENGTH + 1)
    APIKey.objects.import_key("the longest", long[:-1])

    def ask(key: str) -> Any:
        match way:
            case "header":
                return api.client.get("/whoami", headers={"Authorization": f"Api-Key {key}"})
            case "query":
                return api.client.get("/whoami", {"api_key_token": key})
            case "form":
                return api.client.post("/whoami", f"api_key_token={key}", FORM)
            case "JSON":
                return api.client.post("/whoami", {"api_key_token": key}, "application/json")
        return api.client.get("/messages/attachment/1/x", {"api_key_token": key})

    assert ask(long[:-1]).status_code == (404 if way == "a file" else 200)
    monkeypatch.setattr("ossn_messaging.models.api_keys.digest_of", None)
    response = ask(long)
    assert response.status_code == (404 if way == "a file" else 401)
    assert not hasattr(response.wsgi_request, "_ossn_messaging_keys")


def test_a_key_that_is_too_long_is_a_wrong_one(api: API, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"THROTTLE_RATES": {"failed_auth": "2/min"}}
    long = "k" * (MAX_SECRET_LENGTH + 1)
    assert [api.fails("106", api_key_token=long) for _ in range(2)]
    api.send(api_key_token=long, status=429)
