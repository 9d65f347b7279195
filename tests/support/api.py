"""Requests to the app's API and admin by Django's test client, and what they lead to."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.dispatch import Signal
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.views.debug import ExceptionReporter

from tests.support import ROOT
from tests.support.files import SAMPLES
from tests.support.servers import SECONDS

SEND = "/api/v2.0/message/send"
ENVELOPE_KEYS = ["merchant", "url", "time_token", "payload", "code", "message"]


@dataclass
class API:
    """A client of the protocol, which sees what each answer must have in common with all others."""

    client: Client
    key: str
    sender: User
    recipient: User

    def fields(self, **changes: Any) -> dict[str, Any]:
        """Return the parameters of a good request, with changes; ``from_`` is ``from``, ``None`` takes one away."""
        given = {
            "api_key_token": self.key,
            "from": str(self.sender.pk),
            "to": str(self.recipient.pk),
            "message": "Test",
            **{name.rstrip("_"): value for name, value in changes.items()},
        }
        return {name: value for name, value in given.items() if value is not None}

    def read(self, response: Any, status: int = 200) -> dict[str, Any]:
        assert response.status_code == status, response.content
        assert response["Content-Type"] == "application/json"
        assert response["Cache-Control"] == "no-store"
        answer: dict[str, Any] = json.loads(response.content)
        assert list(answer) == ENVELOPE_KEYS
        assert isinstance(answer["time_token"], int)
        assert (answer["payload"] is False) == (answer["code"] != "100")
        return answer

    def send(self, headers: dict[str, str] | None = None, status: int = 200, **changes: Any) -> dict[str, Any]:
        return self.read(self.client.post(SEND, self.fields(**changes), headers=headers), status)

    def send_raw(
        self, body: bytes, content_type: str, query: str = "", status: int = 200, **extra: Any
    ) -> dict[str, Any]:
        path = f"{SEND}?{query}" if query else SEND
        return self.read(self.client.generic("POST", path, body, content_type, **extra), status)

    def ok(self, **changes: Any) -> dict[str, Any]:
        answer = self.send(**changes)
        assert answer["code"] == "100", answer
        payload: dict[str, Any] = answer["payload"]
        return payload

    def ask(self, path: str, **parameters: Any) -> dict[str, Any]:
        """Return the answer of another endpoint than ``SEND``, with ``path`` from the version on.

        ``status`` is the HTTP status that it must have, and ``get`` asks by GET.
        """
        status, get = parameters.pop("status", 200), parameters.pop("get", False)
        given = {"api_key_token": self.key, **{name.rstrip("_"): value for name, value in parameters.items()}}
        response = (self.client.get if get else self.client.post)(f"/api/{path}", given)
        return self.read(response, status)

    def told(self, path: str, **parameters: Any) -> Any:
        """Return the payload of another endpoint than ``SEND``."""
        answer = self.ask(path, **parameters)
        assert answer["code"] == "100", answer
        return answer["payload"]

    def fails(self, code: str, **changes: Any) -> str:
        answer = self.send(**changes)
        assert answer["code"] == code, answer
        text: str = answer["message"]
        return text


def staff(name: str, *permissions: str) -> Client:
    """Return the browser of somebody who may use the admin, as far as these permissions of the app go."""
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def page(client: Client, path: str, **data: Any) -> str:
    """Return a page of the app's admin."""
    response = client.get(f"/admin/ossn_messaging/{path}", data)
    assert response.status_code == 200, response
    text: str = response.content.decode()
    return text


@contextmanager
def noted(signal: Signal) -> Iterator[list[dict[str, Any]]]:
    """Yield what a signal is sent with."""
    calls: list[dict[str, Any]] = []

    def note(**kwargs: Any) -> None:
        calls.append(kwargs)

    signal.connect(note)
    try:
        yield calls
    finally:
        signal.disconnect(note)


def upload(
    name: str, content: bytes | None = None, content_type: str = "application/octet-stream"
) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, SAMPLES[name] if content is None else content, content_type)


def fetch(client: Client, url: str, **extra: Any) -> tuple[Any, bytes]:
    """Return an answer, or the one that it leads to, and its whole body, with everything closed behind it.

    As a client should, it keeps a key to itself when it is led to another server.
    """
    response = client.get(url, **extra)
    body = response.getvalue()
    response.close()
    if response.status_code == 302:
        headers = {name: value for name, value in extra.get("headers", {}).items() if name != "Authorization"}
        request = urllib.request.Request(response["Location"], headers=headers)
        with urllib.request.urlopen(request, timeout=SECONDS) as far:
            return HttpResponse(status=far.status, headers=dict(far.headers)), far.read()
    return response, body


def error_report(error: BaseException) -> str:
    """Return what an admin of the site would be mailed, without the first frames, which are a test's own."""
    trace = error.__traceback__
    while trace and Path(trace.tb_frame.f_code.co_filename).is_relative_to(ROOT / "tests"):
        trace = trace.tb_next
    assert trace is not None
    return str(ExceptionReporter(RequestFactory().get("/"), type(error), error, trace).get_traceback_html())
