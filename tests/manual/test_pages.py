"""What the README and the manual say is so: each block of code is run by one test, here or elsewhere."""

import ast
import configparser
import importlib
import io
import json
import re
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests
from django.conf import global_settings
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.mail import EmailMessage
from django.db import DEFAULT_DB_ALIAS, connections
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from PIL import Image
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from ossn_messaging.conf import Settings as AppSettings
from ossn_messaging.models import Attachment, Conversation, Message
from ossn_messaging.signals import message_sent
from ossn_messaging.storage import LocalAttachmentStorage, S3AttachmentStorage, attachment_storage
from tests.support import ROOT
from tests.support.api import API, SEND, fetch, upload
from tests.support.files import PDF, picture
from tests.support.readme import (
    CLAIMED,
    DIRECTIVE,
    LINK,
    PICTURE,
    README,
    Block,
    anchors,
    blocks,
    claimed,
    command,
    pages,
    the_block,
)
from tests.support.servers import HOST, SECONDS, S3Server, configured_nginx, free_port, wait_until
from tests.support.storage import keep_attachments_in_s3

SETTINGS = claimed("settings.py")
SENDING = claimed("python", holding="objects.send(")
READING = claimed("python", holding="objects.recent(")
BLOCKING = claimed("python", holding="Block.objects.block(")
RULES = claimed("rules.py")
NAMES = claimed("names.py")
CLIENT = claimed("client.py")
POLLING = claimed("poll.py")
RECEIVERS = claimed("notifications.py")
TENANCY = claimed("tenancy.py")
NGINX = claimed("nginx")
COMMANDS = claimed("command")
MOST_LINES = 200
"""Of the README, which leads to the manual and does not replace it."""


def test_each_block_is_run_by_one_test() -> None:
    for file in (ROOT / "tests").rglob("test_*.py"):
        if "claimed(" in file.read_text():
            importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    assert Counter(blocks()) == CLAIMED
    for name, text in pages().items():
        outside = DIRECTIVE.sub("", text)
        for block in blocks(name):
            outside = outside.replace(block.text, "", 1)
        assert outside.count("```") == 2 * len(blocks(name)), name
        assert not re.search(r"^(    |\t|~~~)", outside, re.MULTILINE), f"code in another form in {name}"
        assert not any("```" in body for _name, body in DIRECTIVE.findall(text)), f"code in a directive in {name}"


def test_each_page_is_in_the_contents() -> None:
    found = {str(file.relative_to(ROOT)) for file in (ROOT / "docs").rglob("*.md") if "_build" not in file.parts}
    assert found == {name for name in pages() if name.startswith("docs/")}


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("name", list(pages()))
def test_every_link_leads_somewhere(name: str) -> None:
    """Sphinx checks those of the manual, too; the others are read where the repository is."""
    for link in LINK.findall(pages()[name]) + PICTURE.findall(pages()[name]):
        path, _, anchor = link.partition("#")
        if re.match(r"https?://", path):
            continue
        file = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        assert file.is_relative_to(ROOT), link
        assert file.is_file(), link
        assert not anchor or anchor in anchors(file.read_text()), link


def test_nothing_is_released_before_its_placeholders_are_replaced() -> None:
    """CONTRIBUTING.md, "Release", lists them."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    upload_is_refused = "Private :: Do Not Upload" in config["metadata"]["classifiers"]
    elsewhere = [link for link in LINK.findall(pages()["README.md"]) if not re.match(r"https?://|#", link)]
    left = {
        "the address in SECURITY.md": "TO BE SET" in pages()["SECURITY.md"],
        "project_urls in setup.cfg": "project_urls" not in config["metadata"],
        "relative links and pictures in README.md": bool(elsewhere + PICTURE.findall(pages()["README.md"])),
        "/path/to/checkout": any("/path/to/checkout" in text for text in pages().values()),
    }
    assert upload_is_refused == any(left.values()), left


def test_the_table_of_settings_is_complete() -> None:
    page = pages()["docs/reference/settings.md"]
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| `(.+?)` \|", page, re.MULTILINE))
    assert {name: ast.literal_eval(default) for name, default in rows.items()} == {
        name: setting.default for name, setting in AppSettings.all().items()
    }
    assert list(rows) == list(AppSettings.all())


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_ci_runs_the_commands_in_a_clone(block: Block) -> None:
    (name,) = (name for name in ("demo", "tests") if command(name) == block.text.rstrip("\n"))
    assert f'bash -euc "$(python -m tests.support.readme {name})"' in (ROOT / ".ci/run").read_text()


def given(block: str, **before: Any) -> dict[str, Any]:
    """Return the settings that a block makes of those before."""
    names = dict(before)
    exec(block, names)
    return {name: value for name, value in names.items() if name.isupper()}


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module that the manual names in ``ATTACHMENT_VALIDATORS``."""
    module = ModuleType("rules")
    exec(the_block("rules.py"), vars(module))
    monkeypatch.setitem(sys.modules, "rules", module)


@pytest.fixture
def tenancy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module that the manual names in ``ATTACHMENT_PREFIX``."""
    module = ModuleType("tenancy")
    exec(the_block("tenancy.py"), vars(module))
    monkeypatch.setitem(sys.modules, "tenancy", module)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module that the manual names in ``USER_DISPLAY``."""
    (block,) = NAMES
    module = ModuleType("names")
    exec(block.text, vars(module))
    monkeypatch.setitem(sys.modules, "names", module)


@pytest.mark.django_db
@pytest.mark.usefixtures("names", "rules", "tenancy")
@pytest.mark.parametrize("block", SETTINGS, ids=str)
def test_settings(block: Block, settings: Settings) -> None:
    names = given(block.in_a_site(), STORAGES=global_settings.STORAGES)
    assert "# ..." not in block.in_a_site()
    for name, value in names.items():
        assert name == "OSSN_MESSAGING" or hasattr(global_settings, name)
        setattr(settings, name, value)
    assert [found for found in run_checks() if not found.is_silenced()] == []
    assert isinstance(attachment_storage(), LocalAttachmentStorage | S3AttachmentStorage)


@pytest.mark.parametrize("block", SENDING, ids=str)
def test_python_that_sends(block: Block, sender: User, recipient: User, capsys: pytest.CaptureFixture[str]) -> None:
    exec(block.text, {"anna": sender, "ben": recipient, "file": upload("dummy.pdf")})
    message = Message.objects.get()
    assert (message.sender, message.recipient, message.text) == (sender, recipient, "Hello")
    with message.attachment.file.open() as file:
        assert file.read() == PDF
    assert capsys.readouterr().out == ""
    exec(block.text, {"anna": sender, "ben": recipient, "file": upload("a.pdf", b"no PDF")})
    assert capsys.readouterr().out.endswith("Message send failed: the attachment is not a PDF\n")


def test_python_that_reads(sender: User, recipient: User, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = READING
    Message.objects.send(sender=recipient, recipient=sender, text="Good morning")
    Message.objects.send(sender=sender, recipient=recipient, text="Hello")
    exec(block.text, {"anna": sender, "ben": recipient})
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"{recipient} 1 Hello", "1 1", "Hello False", "Good morning False"]
    (kept,) = Conversation.objects.between(sender, recipient).page()
    assert (kept.text, Conversation.objects.unread(sender).messages) == ("Hello", 0), "the oldest was deleted for one"
    assert Message.objects.count() == 2


def test_blocking(sender: User, recipient: User, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = BLOCKING
    exec(block.text, {"anna": sender, "ben": recipient})
    assert capsys.readouterr().out == f"{sender}\n"
    Message.objects.send(sender=sender, recipient=recipient, text="Test")


@pytest.mark.parametrize("block", RULES, ids=str)
def test_rules_of_the_sites_own(block: Block, api: API, settings: Settings, rules: None) -> None:
    exec(block.text, vars(sys.modules["rules"]))
    (setting,) = re.findall(r"`(\"ATTACHMENT_VALIDATORS\": .+?)`", pages()["docs/howto/validators.md"])
    settings.OSSN_MESSAGING = ast.literal_eval(f"{{{setting}}}")
    assert [found for found in run_checks() if not found.is_silenced()] == []
    assert "drafts are not sent" in api.fails("200", attachment=upload("A Draft.pdf", PDF))
    api.ok(attachment=upload("dummy.pdf"))


@pytest.mark.usefixtures("names")
def test_names_of_users(api: API, settings: Settings) -> None:
    settings.OSSN_MESSAGING = {"USER_DISPLAY": "names.public_names"}
    user = api.ok()["message_from"]
    assert (user["username"], user["fullname"]) == (f"member{api.sender.pk}", api.sender.first_name)


@pytest.mark.parametrize("block", RECEIVERS, ids=str)
def test_a_receiver_of_the_signal(block: Block, sender: User, recipient: User, mailoutbox: list[EmailMessage]) -> None:
    recipient.email = "ben@example.com"
    recipient.save()
    names: dict[str, Any] = {}
    exec(block.text, names)
    try:
        Message.objects.send(sender=sender, recipient=recipient, text="Hello")
    finally:
        assert message_sent.disconnect(names["notify"])
    assert [mail.to for mail in mailoutbox] == [["ben@example.com"]]


def test_a_client_that_polls(api: API, stranger: User, live_server: LiveServer) -> None:
    (block,) = POLLING
    names: dict[str, Any] = {}
    exec(block.text.replace("https://example.com", live_server.url), names)
    inbox = names["Inbox"](api.key, api.sender.pk)
    sent = [api.ok(message=f"message {number}")["id"] for number in range(12)]
    with_file = api.ok(from_=stranger.pk, to=api.sender.pk, attachment=upload("dummy.pdf"))["id"]
    inbox.poll()
    assert sorted(inbox.messages) == [*sent, with_file]
    api.told("v2.0/message/list", guid=api.recipient.pk, to=api.sender.pk, markallread=1)
    api.told("v2.0/message/delete", guid=api.sender.pk, id=sent[0], for_="me")
    api.told("v2.0/message/delete", guid=stranger.pk, id=with_file)
    inbox.poll()
    assert sorted(inbox.messages) == [*sent[1:], with_file]
    assert {inbox.messages[number]["viewed"] for number in sent[1:]} == {"1"}
    deleted = inbox.messages[with_file]
    assert (deleted["message"], deleted["is_deleted"]) == ("", "1")
    assert "attachment_url" not in deleted
    stranger.delete()
    inbox.poll()
    assert sorted(inbox.messages) == sent[1:]
    with pytest.raises(ValueError, match="after"):
        inbox.ask(after="x")


@pytest.mark.parametrize("block", CLIENT, ids=str)
def test_a_client_that_retries(
    block: Block, api: API, live_server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {}
    exec(block.text.replace("https://example.com", live_server.url), names)
    keys, answers, waits = list[str](), list[Any](), list[float]()
    post = requests.post

    def lossy(url: str, **options: Any) -> Any:
        """Lose the first answer, and let a server be busy before the second."""
        keys.append(options["headers"]["Idempotency-Key"])
        if len(keys) == 2:
            busy = requests.Response()
            busy.status_code, busy.headers["Retry-After"] = 429, "7"
            return busy
        answers.append(post(url, **options))
        if len(keys) == 1:
            raise requests.ConnectionError
        return answers[-1]

    monkeypatch.setattr(requests, "post", lossy)
    monkeypatch.setattr(time, "sleep", waits.append)
    answer = names["send"](api.key, api.sender.pk, api.recipient.pk, "Hello")
    message = Message.objects.get()
    assert (answer["code"], answer["payload"]["id"], message.text) == ("100", message.pk, "Hello")
    assert answers[-1].headers["Idempotent-Replayed"] == "true"
    assert len(set(keys)) == 1
    assert waits[1] >= 7
    names["send"](api.key, api.sender.pk, api.recipient.pk, "Hello")
    assert Message.objects.count() == 2, "another message, under another key"
    names["URL"] = f"http://{HOST}:{free_port()}/"
    with pytest.raises(TimeoutError):
        names["send"](api.key, api.sender.pk, api.recipient.pk, "Hello")


def test_all_of_nginx_together(
    api: API, live_server: LiveServer, settings: Settings, attachments_folder: Path, tmp_path: Path
) -> None:
    behind = given(the_block("settings.py", "SECURE_PROXY_SSL_HEADER"))
    settings.SECURE_PROXY_SSL_HEADER = behind["SECURE_PROXY_SSL_HEADER"]
    settings.OSSN_MESSAGING = behind["OSSN_MESSAGING"] | {"X_ACCEL_REDIRECT": "/protected/"}
    lines = {"http": "", "server": ""}
    for block in NGINX:
        (place,) = (place for place in lines if block.text.startswith(f"# in {place} {{ }}\n"))
        lines[place] += block.text
    log, folder = tmp_path / "access.log", tmp_path / "nginx"
    folder.mkdir()
    for old, new in {
        "127.0.0.1:8000": live_server.url.removeprefix("http://"),
        "/srv/attachments/": f"{attachments_folder.parent}/",
        "/var/log/nginx/access.log": str(log),
        "$scheme": "https",  # as if it had a certificate
    }.items():
        assert old in lines["http"] + lines["server"]
        lines = {place: text.replace(old, new) for place, text in lines.items()}
    large = picture("PNG", Image.effect_noise((1500, 1500), 100))
    assert len(large) > 2**20, "more than nginx takes of itself"
    body = encode_multipart(BOUNDARY, api.fields(attachment=upload("photo.png", large)))
    with configured_nginx(folder, **lines) as server:
        headers = {"Host": "testserver", "Content-Type": MULTIPART_CONTENT}
        request = urllib.request.Request(f"{server}{SEND}", body, headers)
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            answer = json.load(response)
        assert answer["code"] == "100", answer
        assert answer["url"] == "https://testserver/"
        path = answer["payload"]["attachment_url"].removeprefix("https://testserver")
        request = urllib.request.Request(server + path, headers={"Host": "testserver"})
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            given_out = response.read()
            assert response.headers["Content-Security-Policy"]
        with Attachment.objects.get().file.open() as stored:
            assert given_out == stored.read()
        assert Image.open(io.BytesIO(given_out)).tobytes() == Image.open(io.BytesIO(large)).tobytes()
        wait_until(lambda: "photo.png" in log.read_text())
    assert "/photo.png?******** HTTP/1.1" in log.read_text()


def test_the_clients_address_behind_nginx(api: API, settings: Settings) -> None:
    limits = given(the_block("settings.py", "THROTTLE_RATES"))["OSSN_MESSAGING"]
    settings.OSSN_MESSAGING = given(the_block("settings.py", "NUM_PROXIES"))["OSSN_MESSAGING"] | limits
    for _ in range(10):
        api.send(api_key_token="wrong", headers={"X-Forwarded-For": "192.0.2.1"})
    api.send(headers={"X-Forwarded-For": "192.0.2.1"}, status=429)
    assert api.send(headers={"X-Forwarded-For": "192.0.2.2"})["code"] == "100"


def test_urls_of_aws_name_the_host_of_the_region(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-access-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret-key")
    settings.STORAGES = given(the_block("settings.py", "region_name").replace("# ...", ""))["STORAGES"]
    storage: Any = attachment_storage()
    url = storage.presigned_url("attachment/a.pdf", method="GET", max_age=60, content_type="", disposition="")
    assert url.startswith("https://our-attachments.s3.eu-central-1.amazonaws.com/attachment/a.pdf?")


def test_any_other_server_of_s3(api: API, settings: Settings, s3: S3Server, bucket: Path) -> None:
    text = the_block("settings.py", '"endpoint_url": "https://s3.example.com"').replace("# ...", "")
    for old, new in {
        "https://s3.example.com": s3.url,
        "our-attachments": bucket.name,
        "ACCESS_KEY": s3.access_key,
        "SECRET_KEY": s3.secret_key,
    }.items():
        text = text.replace(f'"{old}"', repr(new))
    settings.STORAGES = given(text)["STORAGES"]
    payload = api.ok(attachment=upload("dummy.pdf"))
    assert fetch(api.client, payload["attachment_url"])[1] == PDF
    assert (bucket / str(Attachment.objects.get().file)).read_bytes() == PDF


def test_a_server_of_s3_that_has_another_name_for_clients(settings: Settings) -> None:
    settings.STORAGES = given(the_block("settings.py", "public_endpoint_url").replace("# ...", ""))["STORAGES"]
    storage: Any = attachment_storage()
    url = storage.presigned_url("attachment/a.pdf", method="GET", max_age=60, content_type="", disposition="")
    assert url.startswith("https://s3.example.com/our-attachments/attachment/a.pdf?")
    assert storage.connection.meta.client.meta.endpoint_url == "http://minio:9000"


@pytest.mark.parametrize("block", TENANCY, ids=str)
def test_tenants_in_one_folder(
    block: Block, api: API, settings: Settings, tenancy: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert block.text == the_block("tenancy.py")
    settings.OSSN_MESSAGING = given(the_block("settings.py", "ATTACHMENT_PREFIX"))["OSSN_MESSAGING"]
    for schema in ("anna", "ben"):
        monkeypatch.setattr(connections[DEFAULT_DB_ALIAS], "schema_name", schema, raising=False)
        payload = api.ok(attachment=upload("dummy.pdf"))
        assert fetch(api.client, payload["attachment_url"])[1] == PDF
        assert (tmp_path / "ossn_attachments" / schema / payload["file:attachment"]).read_bytes() == PDF
    monkeypatch.setattr(connections[DEFAULT_DB_ALIAS], "schema_name", "carl", raising=False)
    assert not attachment_storage().exists(payload["file:attachment"])


def test_two_sites_in_one_bucket(api: API, settings: Settings, s3: S3Server, bucket: Path) -> None:
    storages = given(the_block("settings.py", '"location": "staging"').replace("# ...", ""))["STORAGES"]
    options = storages["ossn_messaging"]["OPTIONS"]
    keep_attachments_in_s3(settings, s3, bucket, location=options["location"])
    payload = api.ok(attachment=upload("dummy.pdf"))
    assert (bucket / "staging" / payload["file:attachment"]).read_bytes() == PDF
