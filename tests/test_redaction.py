"""No log, error report or debug page shows a key or what opens an attachment."""

import html
import io
import json
import logging
import pickle
import re
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from logging.config import DictConfigurator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import django
import pytest
from django.core import mail
from django.core.servers.basehttp import WSGIRequestHandler, WSGIServer
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.client import encode_multipart
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from django.utils.log import AdminEmailHandler, ServerFormatter
from django.views.debug import ExceptionReporter
from gunicorn.glogging import SafeAtoms
from pytest_django import Settings
from rest_framework.parsers import BaseParser, FormParser, JSONParser, MultiPartParser
from rest_framework.request import Request

from ossn_messaging import redaction
from ossn_messaging.api.envelope import NoNegotiation
from ossn_messaging.authentication import APIKeyAuthentication, APIKeyUser
from ossn_messaging.models import APIKey
from ossn_messaging.redaction import (
    LOGGERS,
    REDACTED,
    RedactingExceptionReporter,
    RedactSecretsFilter,
    redact,
    redact_logs,
)
from tests.conftest import API, Secrets, upload
from tests.readme import claimed, the_block
from tests.servers import HOST, SECONDS, free_port, nginx, running, wait_until
from tests.site import WhoAmI

ROOT = Path(__file__).resolve().parent.parent
OWN = "ossn_q7Zx0Jm-3LkWv_T9yBcD4eFgHiN2oPrS5tUaVwX6z8-"
IMPORTED = "c0e15d54735a596d4e16bf1aaa999758"
ODD = "o'dd\"<k>&e%y+\\1=é"
SIGNATURE = "1uXyZa:kJh3_-mNbVcXzLkJhGfDsApOiUyTrEwQ"
URL = f"/messages/attachment/1/a.pdf?signature={SIGNATURE}"


class KeyAlone(BaseParser):
    """A parser of the site's own, of a body in which nothing tells that a key is one."""

    media_type = "text/x-key"

    def parse(self, stream: Any, *args: Any, **kwargs: Any) -> dict[str, str]:
        return {"api_key_token": stream.read().decode()}


class Broken(WhoAmI):
    """A view of the site's own, with the key in all that it has at hand when it fails."""

    parser_classes = (FormParser, JSONParser, MultiPartParser, KeyAlone)  # type: ignore[assignment]
    content_negotiation_class = NoNegotiation  # type: ignore[assignment]

    def get(self, request: Request) -> Any:
        whole = {"query": request.query_params, "data": dict(request.data)}
        raw = json.dumps(whole).encode() * 3  # long enough to be broken into lines
        key = APIKeyAuthentication().get_key(request)
        raise ValueError(f"no luck with {key}, {whole}, {raw!r}")

    post = get


def fails_early(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A middleware that fails before a view could ask for a key."""

    def middleware(request: HttpRequest) -> HttpResponse:
        unprintable = Unprintable()
        raise ValueError(f"too early for {request.body!r} of {request!r} {len([unprintable])}")

    return middleware


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("it has no form")


urlpatterns = [path("broken", Broken.as_view()), path("", include("tests.urls"))]

WAYS = ["query", "form", "JSON", "multipart", "header"]


def give(client: Client, way: str, key: str, path: str = "/broken", **extra: Any) -> Any:
    """Send a request with a key in one of the ways."""
    given = {"api_key_token": key, "from": "1", "padding": "x" * 70}
    match way:
        case "query":
            return client.get(f"{path}?{urlencode(given)}&signature={SIGNATURE}", **extra)
        case "form":
            return client.generic("POST", path, urlencode(given), "application/x-www-form-urlencoded", **extra)
        case "JSON":
            return client.generic("POST", path, json.dumps(given), "application/json", **extra)
        case "multipart":
            body = encode_multipart("boundary", given)
            return client.generic("POST", path, body, "multipart/form-data; boundary=boundary", **extra)
        case "the site's own":
            return client.generic("POST", path, key, "text/x-key", **extra)
    return client.get(path, headers={"Authorization": f"Api-Key {key}", **extra.pop("headers", {})}, **extra)


def pieces(key: str) -> Iterator[str]:
    """Yield every part of a key that is long enough to be known again."""
    return (key[start : start + 10] for start in range(len(key) - 9))


def shows(text: str, *keys: str) -> list[str]:
    """Return what of the keys is in a text or page, in whatever form."""
    texts = (text, html.unescape(text), re.sub(r"'\s+b?'", "", html.unescape(text)))
    return [
        form
        for key in (*keys, SIGNATURE)
        for piece in pieces(key)
        for form in {piece, repr(piece)[1:-1], json.dumps(piece)[1:-1], quote(piece, "")}
        if any(form in one for one in texts)
    ]


@pytest.fixture(params=[OWN, IMPORTED, ODD], ids=["own", "imported", "odd"])
def any_key(request: pytest.FixtureRequest, transactional_db: None) -> str:
    key = str(request.param)
    APIKey.objects.import_key("the tests", key)
    return key


@pytest.fixture
def mails(settings: Settings) -> Iterator[Callable[[], list[str]]]:
    """What error mails tell, from a handler such as a site has when the app is loaded."""
    owner = "owner@example.com"
    settings.ADMINS = [owner] if django.VERSION >= (6, 0) else [("Owner", owner)]
    handler = AdminEmailHandler(include_html=True)
    loggers = [logging.getLogger("django.request"), logging.getLogger("django.security.DisallowedHost")]
    for logger in loggers:
        logger.addHandler(handler)
    redact_logs()
    yield lambda: [f"{one.subject}\n{one.body}\n{getattr(one, 'alternatives', '')}" for one in mail.outbox]
    for logger in loggers:
        logger.removeHandler(handler)


TEXTS = {
    f"GET /api?api_key_token={OWN}&from=1 HTTP/1.1": f"GET /api?api_key_token={REDACTED}&from=1 HTTP/1.1",
    f"GET /api?a=1&api_key_token={IMPORTED} HTTP/1.1": f"GET /api?a=1&api_key_token={REDACTED} HTTP/1.1",
    f'"GET /api?api_key_token=a"b\'c HTTP/1.1" "http://x/?signature={SIGNATURE}" "curl"': (
        f'"GET /api?api_key_token={REDACTED} HTTP/1.1" "http://x/?signature={REDACTED}" "curl"'
    ),
    f"GET {URL} HTTP/1.1": f"GET /messages/attachment/1/a.pdf?signature={REDACTED} HTTP/1.1",
    f"api%5Fkey_tok%65n={IMPORTED}": f"api%5Fkey_tok%65n={REDACTED}",
    f"next=%2Fapi%3Fapi_key_token%3D{IMPORTED}%26from%3D1": f"next=%2Fapi%3Fapi_key_token%3D{REDACTED}%26from%3D1",
    f"next=%252Fapi%253Fapi%255Fkey_token%253Da%2526b%252526c%2526d&x={'y'}": (
        f"next=%252Fapi%253Fapi%255Fkey_token%253D{REDACTED}%2526b%252526c%2526d&x=y"
    ),
    "api_key_token=&from=1": "api_key_token=&from=1",
    f"https://s3/x?X-Amz-Signature={IMPORTED}&a=b": f"https://s3/x?X-Amz-Signature={REDACTED}&a=b",
    f"Authorization: Api-Key {IMPORTED}": f"Authorization: Api-Key {REDACTED}",
    f"{{'Authorization': 'api-key {IMPORTED}', 'a': 1}}": f"{{'Authorization': 'api-key {REDACTED}', 'a': 1}}",
    f"Api-Key%20{IMPORTED}": f"Api-Key%20{REDACTED}",
    'WWW-Authenticate: Api-Key realm="api"': 'WWW-Authenticate: Api-Key realm="api"',
    f'{{"api_key_token": "{IMPORTED}", "a": "b"}}': f'{{"api_key_token": "{REDACTED}", "a": "b"}}',
    '{"api_key_token": "a\\"b", "a": "b"}': f'{{"api_key_token": "{REDACTED}", "a": "b"}}',
    f'"{{\\"api_key_token\\":\\"{IMPORTED}\\"}}"': f'"{{\\"api_key_token\\":\\"{REDACTED}\\"}}"',
    f"<QueryDict: {{'api_key_token': ['{IMPORTED}']}}>": f"<QueryDict: {{'api_key_token': ['{REDACTED}']}}>",
    f"{{b'signature': b'{IMPORTED}'}}": f"{{b'signature': b'{REDACTED}'}}",
    f'; name="api_key_token"\r\nA: b\r\n\r\n{IMPORTED}\r\n--': (
        f'; name="api_key_token"\r\nA: b\r\n\r\n{REDACTED}\r\n--'
    ),
    repr(f'; name="api_key_token"\r\n\r\n{IMPORTED}\r\n--'): repr(f'; name="api_key_token"\r\n\r\n{REDACTED}\r\n--'),
    f"it was {OWN}.": f"it was {REDACTED}.",
    OWN.replace("_", "%5F").replace("-", "%2D"): REDACTED,
}


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_redacted(text: str) -> None:
    assert redact(text) == TEXTS[text]
    assert redact(TEXTS[text]) == TEXTS[text]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GET /api/v2.0/message/send?from=1&to=2 HTTP/1.1",
        "100%",
        "GET /a%20b?c=%26 HTTP/1.1",
        'constraint "ossn_messaging_message_sender_id_3f2c8a1b_fk_auth_user_id" failed',
        "the parameter api_key_token is missing",
    ],
)
def test_what_is_left_as_it_is(text: str) -> None:
    assert redact(text) == text


def record(message: object, *args: Any, **others: Any) -> logging.LogRecord:
    """Return a record that has passed the filter."""
    made = logging.LogRecord("a site", logging.ERROR, __file__, 1, message, args, None)
    vars(made).update(others)
    assert RedactSecretsFilter().filter(made)
    return made


def test_a_record_without_secrets_is_the_same() -> None:
    args = ("GET /api/v2.0/message/send?from=1 HTTP/1.1", 200)
    made = record("%s %s", *args)
    assert made.args == args
    assert made.msg == "%s %s"
    atoms = SafeAtoms({"r": args[0], "B": 5})
    made = record("%(r)s", atoms)
    assert made.msg == "%(r)s"
    assert made.args == atoms


def test_a_record_with_secrets() -> None:
    made = record('%s - "%s %s HTTP/%s" %d', "127.0.0.1:5", "GET", f"/?api_key_token={IMPORTED}", "1.1", 200)
    assert made.args == ("127.0.0.1:5", "GET", f"/?api_key_token={REDACTED}", "1.1", 200), (
        "uvicorn takes them one by one"
    )
    assert record(f"{OWN} 100%").getMessage() == f"{REDACTED} 100%"
    assert record("api_key_token=%s %d", IMPORTED, 5).getMessage() == f"api_key_token={REDACTED} 5"
    assert record("%s", {"api_key_token": IMPORTED}, extra=1).getMessage() == str({"api_key_token": REDACTED})
    assert record(ValueError(OWN)).getMessage() == REDACTED
    assert record("%s", OWN.encode()).getMessage() == f"b'{REDACTED}'"
    broken = record(f"%s %s {OWN}", OWN)
    assert (broken.msg, broken.args) == (f"%s %s {REDACTED}", (f"('{REDACTED}',)",))
    assert record("x", stack_info=f"Stack: {OWN}").stack_info == f"Stack: {REDACTED}"
    assert record("x", exc_text=f"Traceback: {OWN}").exc_text == f"Traceback: {REDACTED}"


def test_a_traceback_with_secrets() -> None:
    for text in (f"no luck with {OWN}", "no luck"):
        try:
            raise ValueError(text)
        except ValueError as error:
            made = record("it failed", exc_info=(ValueError, error, error.__traceback__))
        written = logging.Formatter().format(made)
        assert f"ValueError: {redact(text)}" in written
        assert not shows(written, OWN)


def test_every_logger_of_the_app_is_redacted() -> None:
    own = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in (ROOT / "ossn_messaging").rglob("*.py")
        if "getLogger(__name__)" in file.read_text()
    }
    assert own == {name for name in LOGGERS if name.startswith("ossn_messaging.")}
    for name in LOGGERS:
        assert any(isinstance(one, RedactSecretsFilter) for one in logging.getLogger(name).filters), name


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the development server writes."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(ServerFormatter("{message}", style="{"))
    logging.getLogger("django.server").addHandler(handler)
    yield text
    logging.getLogger("django.server").removeHandler(handler)


def get(url: str, **headers: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=SECONDS) as answer:
        answer.read()


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
def test_runserver(written: io.StringIO, status: str) -> None:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Sequence[bytes]:
        start_response(status, [("Content-Length", "0")])
        return [b""]

    with WSGIServer((HOST, 0), WSGIRequestHandler) as server:
        server.set_app(application)
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        try:
            get(f"http://{HOST}:{server.server_port}/?api_key_token={IMPORTED}&from=1&signature={SIGNATURE}")
        except urllib.error.HTTPError as error:
            error.close()
        thread.join()
    assert f'"GET /?api_key_token={REDACTED}&from=1&signature={REDACTED} HTTP/1.1" {status[:3]}' in written.getvalue()


GUNICORN_CONF = claimed("gunicorn.conf.py")
GUNICORN = """
bind = {bind!r}
accesslog = {log!r}
access_log_format = '"%(r)s" %(s)s %(q)s "%(f)s" %({{authorization}}i)s %({{raw_uri}}e)s'
control_socket_disable = True
"""
PLAIN = """
def application(environ, start_response):
    start_response("404 Not Found", [("Content-Length", "0")])
    return []
"""


@pytest.mark.parametrize("kind", ["the demo as it is", "another application, as the manual says"])
def test_gunicorn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "example_project.settings")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    port, log, config = free_port(), tmp_path / "access.log", tmp_path / "gunicorn_config.py"
    application, folder, more = "example_project.wsgi", ROOT, ""
    if kind.startswith("another"):
        (tmp_path / "plain.py").write_text(PLAIN)
        (block,) = GUNICORN_CONF
        more = block.text.replace("logging.StreamHandler", "logging.FileHandler", 1)
        more = more.replace('"stream": "ext://sys.stdout"', f'"filename": {str(log)!r}')
        application, folder = "plain", tmp_path
    config.write_text(GUNICORN.format(bind=f"{HOST}:{port}", log=str(log)) + more)
    command: list[str | Path] = [sys.executable, "-m", "gunicorn", "--chdir", folder, "-c", config, application]
    with running(command, port) as process:
        headers = {"Authorization": f"Api-Key {IMPORTED}", "Referer": f"http://{HOST}{URL}"}
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(f"http://{HOST}:{port}/nowhere?api_key_token={IMPORTED}&from=1", **headers)
        caught.value.close()
        wait_until(lambda: log.exists() and "nowhere" in log.read_text())
        process.terminate()
        process.wait(SECONDS)
    (line,) = log.read_text().splitlines()
    assert f'"GET /nowhere?api_key_token={REDACTED}&from=1 HTTP/1.1" 404 api_key_token={REDACTED}&from=1 "http' in line
    assert f"?signature={REDACTED}" in line
    assert f"Api-Key {REDACTED} /nowhere" in line
    assert not shows(line, IMPORTED)


def test_the_other_way_for_gunicorn() -> None:
    """The atoms that any format may name, and the class that quotes them."""
    atoms = SafeAtoms({"r": f'GET /?api_key_token=a"{IMPORTED} HTTP/1.1', "{authorization}i": f"Api-Key {OWN}", "B": 5})
    made = record("%(r)s %({AUTHORIZATION}i)s %(B)s %({absent}i)s", atoms)
    assert made.getMessage() == f"GET /?api_key_token={REDACTED} HTTP/1.1 Api-Key {REDACTED} 5 -"
    assert IMPORTED in atoms["r"], "what the caller has is left as it is"


def test_the_manuals_logging() -> None:
    names: dict[str, Any] = {}
    exec(the_block("settings.py", "LOGGING = "), names)
    given = DictConfigurator(names["LOGGING"]).config
    assert isinstance(DictConfigurator(given).configure_filter(given["filters"]["redact_secrets"]), RedactSecretsFilter)
    assert given["handlers"]["console"]["filters"] == ["redact_secrets"]


REQUESTS = {
    f"/x?api_key_token={IMPORTED}": f"GET /x?{REDACTED} HTTP/1.1",
    f"/x?from=1&api_key_token={IMPORTED}&to=2": f"GET /x?{REDACTED} HTTP/1.1",
    f"/x?from=1&api%5Fkey%5Ftoken={IMPORTED}": f"GET /x?{REDACTED} HTTP/1.1",
    f"/x?signature={SIGNATURE}&a=b": f"GET /x?{REDACTED} HTTP/1.1",
    "/x?from=1&to=%20": "GET /x?from=1&to=%20 HTTP/1.1",
    "/x": "GET /x HTTP/1.1",
}


def test_nginx(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    block = the_block("nginx", "log_format").replace("/var/log/nginx/access.log", str(log))
    with nginx(tmp_path, f"{HOST}:1", "location = /x { return 204; }", block) as server:
        for path in REQUESTS:
            get(server + path, Referer=f"http://{HOST}{path}")
        wait_until(lambda: log.read_text().count("\n") == len(REQUESTS))
    lines = log.read_text().splitlines()
    for line, (path, shown) in zip(lines, REQUESTS.items(), strict=True):
        referer = f"http://{HOST}{path}" if REDACTED not in shown else f"http://{HOST}/x?{REDACTED}"
        assert f'"{shown}" 204 0 "{referer}" "Python-urllib' in line
        assert not shows(line, IMPORTED)


@pytest.fixture
def debug(settings: Settings, client: Client) -> Client:
    settings.DEBUG = True
    settings.ROOT_URLCONF = __name__
    client.raise_request_exception = False
    return client


@pytest.mark.parametrize("way", [*WAYS, "the site's own"])
@pytest.mark.parametrize("accept", ["text/html", "text/plain"])
def test_the_debug_page_of_the_sites_own_view(debug: Client, any_key: str, way: str, accept: str) -> None:
    response = give(debug, way, any_key, headers={"Accept": accept})
    page = response.content.decode()
    assert response.status_code == 500
    assert response["Content-Type"].startswith(accept)
    assert f"no luck with {REDACTED}" in page
    assert not shows(page, any_key)


@pytest.mark.parametrize("way", [*WAYS, "the site's own"])
def test_the_error_mail_of_the_sites_own_view(
    debug: Client, settings: Settings, any_key: str, way: str, mails: Callable[[], list[str]]
) -> None:
    settings.DEBUG = False
    assert give(debug, way, any_key).status_code == 500
    reports = mails()
    assert len(reports) == 2, "of Django's own handler and of the site's"
    for report in reports:
        assert f"no luck with {REDACTED}" in report
        assert not shows(report, any_key)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("in_debug", [True, False])
def test_a_middleware_that_fails(
    debug: Client, settings: Settings, way: str, any_key: str, in_debug: bool, mails: Callable[[], list[str]]
) -> None:
    settings.DEBUG = in_debug
    settings.DEFAULT_EXCEPTION_REPORTER = "ossn_messaging.redaction.RedactingExceptionReporter"
    settings.MIDDLEWARE = [f"{__name__}.fails_early"]
    response = give(debug, way, any_key)
    assert response.status_code == 500
    for text in [*mails(), *([response.content.decode()] if in_debug else [])]:
        assert "too early" in text
        assert not shows(text, any_key)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("in_debug", [True, False])
def test_a_host_that_is_not_allowed(
    debug: Client, settings: Settings, way: str, any_key: str, in_debug: bool, mails: Callable[[], list[str]]
) -> None:
    settings.DEBUG = in_debug
    settings.DEFAULT_EXCEPTION_REPORTER = "ossn_messaging.redaction.RedactingExceptionReporter"
    response = give(debug, way, any_key, "/nowhere", headers={"Host": "elsewhere"})
    assert response.status_code == 400
    for text in [*mails(), response.content.decode()]:
        assert not shows(text, any_key)


def test_a_csrf_failure(settings: Settings, caplog: pytest.LogCaptureFixture, any_key: str) -> None:
    settings.DEBUG = True
    client = Client(enforce_csrf_checks=True)
    response = give(client, "form", any_key, "/admin/login/")
    assert response.status_code == 403
    assert not shows(response.content.decode(), any_key)
    given = urlencode({"api_key_token": any_key})
    client.post("/admin/login/", secure=True, headers={"Referer": f"https://elsewhere/?{given}"})
    assert f"https://elsewhere/?api_key_token={REDACTED}" in caplog.text


class SitesReporter(ExceptionReporter):
    def get_traceback_text(self) -> Any:
        return f"The site's own: {self.exc_value}"


def test_a_site_with_reports_of_its_own(debug: Client, settings: Settings, any_key: str) -> None:
    settings.DEFAULT_EXCEPTION_REPORTER = f"{__name__}.SitesReporter"
    page = give(debug, "query", any_key, headers={"Accept": "text/plain"}).content.decode()
    assert page.startswith(f"The site's own: no luck with {REDACTED}")
    assert not shows(page, any_key)


def test_what_else_a_site_may_name_as_its_reports() -> None:
    assert redaction.redacting_reporter(RedactingExceptionReporter) is RedactingExceptionReporter
    assert redaction.redacting_reporter(lambda *args: None) is RedactingExceptionReporter


def test_a_report_without_a_request() -> None:
    reporter = RedactingExceptionReporter(None, ValueError, ValueError(OWN), None)
    assert f"Exception Value: {REDACTED}" in reporter.get_traceback_text()
    assert REDACTED in reporter.get_traceback_html()


def test_a_key_of_one_letter_does_not_blank_the_report(debug: Client, transactional_db: None) -> None:
    page = give(debug, "query", "e", "/broken", headers={"Accept": "text/html"})
    assert page.status_code == 401, "it is no key"
    reporter = RedactingExceptionReporter(page.wsgi_request, ValueError, ValueError("every letter"), None)
    assert "every letter" in reporter.get_traceback_text()
    table = re.findall(r"<td>api_key_token</td>\s*<td class=\"code\"><pre>(.*?)</pre>", reporter.get_traceback_html())
    assert [html.unescape(value) for value in table] == [repr(REDACTED)]


def test_repr_str_and_pickle(api: API) -> None:
    api_key = APIKey.objects.get()
    holder = APIKeyUser(api_key)
    response = api.client.get("/whoami", headers={"Authorization": f"Api-Key {api.key}"})
    request: Any = response.wsgi_request
    for thing in (api_key, holder, request.user, getattr(request, "auth", None), request._ossn_messaging_keys):
        assert not shows(f"{thing} {thing!r} {getattr(thing, '__dict__', '')}", api.key)
    for thing in (api_key, holder):
        assert not shows(pickle.dumps(thing).decode("latin-1"), api.key)
        assert pickle.loads(pickle.dumps(thing)) == thing


def test_the_admin(api: API, admin_client: Client) -> None:
    api.ok()
    api_key = APIKey.objects.get()
    for place in ("", f"{api_key.pk}/change/", f"{api_key.pk}/history/", f"{api_key.pk}/delete/", "add/"):
        page = admin_client.get(f"/admin/ossn_messaging/apikey/{place}").content.decode()
        assert not shows(page, api.key, api_key.digest), place


def test_statements_in_the_log(api: API, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "django.db.backends")
    with CaptureQueriesContext(connection):
        api.ok(attachment=upload("dummy.pdf"))
    assert APIKey.objects.get().digest in caplog.text
    assert not shows(caplog.text, api.key)


def test_the_suite_finds_what_is_shown(secrets: Secrets, any_key: str) -> None:
    """What every test ends with."""
    assert secrets.shown_in(f"it was {any_key}.") == {any_key}
    assert not secrets.shown_in(redact(f"?api_key_token={quote(any_key)}"))
    assert not secrets.shown_in("ossn_messaging_message_sender_id_3f2c8a1b_fk_auth_user_id")
