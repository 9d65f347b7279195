"""The app of one person: a client of a live demo, over plain HTTP."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from tests.support.demo import SECONDS
from tests.support.files import SAMPLES


@dataclass
class App:
    """The app of one person: it has a key that acts as them alone."""

    site: str
    key: str
    guid: int

    def ask(self, path: str, **parameters: Any) -> dict[str, Any]:
        given = {"api_key_token": self.key, **{name.rstrip("_"): value for name, value in parameters.items()}}
        body = encode_multipart(BOUNDARY, given)
        request = urllib.request.Request(f"{self.site}/api/{path}", body, {"Content-Type": MULTIPART_CONTENT})
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def told(self, path: str, **parameters: Any) -> Any:
        answer = self.ask(path, **parameters)
        assert answer["code"] == "100", answer
        return answer["payload"]

    def send(self, other: "App", text: str, file: str | None = None) -> dict[str, Any]:
        attachment = {"attachment": SimpleUploadedFile(file, SAMPLES[file])} if file else {}
        sent: dict[str, Any] = self.told(
            "v2.0/message/send", from_=self.guid, to=other.guid, message=text, **attachment
        )
        return sent

    def page(self, other: "App", **parameters: Any) -> list[dict[str, Any]]:
        return self.told("v2.0/message/list", guid=self.guid, to=other.guid, **parameters)["list"] or []

    def new(self, other: "App") -> list[str]:
        messages = self.told("v2.0/message/new", to=self.guid, from_=other.guid)["list"] or []
        return [message["message"] for message in messages]

    def recent(self) -> list[tuple[str, int]]:
        messages = self.told("v2.0/message/recent", guid=self.guid)["list"] or []
        return [(message["message"], message["answered"]) for message in messages]

    def unread(self) -> tuple[int, int]:
        counts = self.told("v2.0/message/unread", guid=self.guid)
        return counts["count"], counts["conversations"]

    def delete(self, message: dict[str, Any], whose: str) -> str:
        answer = self.ask("v2.0/message/delete", id=message["id"], guid=self.guid, for_=whose)
        code: str = answer["code"]
        return code

    def fetch(self, url: str) -> tuple[int, bytes]:
        """Fetch a file with the key, and no signature but the URL's own."""
        return fetch(url, {"Authorization": f"Api-Key {self.key}"})


def fetch(url: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=SECONDS) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def bare(message: dict[str, Any]) -> str:
    return str(urlsplit(message["attachment_url"])._replace(query="").geturl())


def texts(page: list[dict[str, Any]]) -> list[str]:
    return [message["message"] for message in page]
