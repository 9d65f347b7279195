"""Every text is translatable, and German is complete."""

import gettext
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import django
import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.utils import translation
from django.utils.functional import Promise
from pytest_django import Settings
from zeal import zeal_ignore

from ossn_messaging.models import APIKey, Message
from tests.support import ROOT
from tests.support.api import API, page, staff, upload
from tests.support.servers import absent, plain_environment

APP = ROOT / "ossn_messaging"
GERMAN = Path("locale/de/LC_MESSAGES/django.po")
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|\{\w*\}|`[^`]*`")
LETTERS = re.compile(r"[^\W\d_]{2,}")

Texts = dict[str | tuple[str, int], str]


def compiled(file: Path) -> Texts:
    """Return the texts of a compiled catalogue by their English, those with a plural once for each form."""
    with file.open("rb") as opened:
        texts: Texts = vars(gettext.GNUTranslations(opened))["_catalog"]
    return {key: text for key, text in texts.items() if key}


def run(*command: str, folder: Path) -> str:
    if shutil.which("xgettext") is None:
        absent("gettext")
    done = subprocess.run(
        command, cwd=folder, env=plain_environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def german_browser(settings: Settings, moderator: Client) -> Iterator[Client]:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    moderator.defaults["HTTP_ACCEPT_LANGUAGE"] = "de"
    with translation.override("en"):  # what a request makes the language stays it, for this thread
        yield moderator


def test_makemessages_changes_nothing(tmp_path: Path) -> None:
    copy = tmp_path / "ossn_messaging"
    shutil.copytree(APP, copy, ignore=shutil.ignore_patterns("__pycache__"))
    options = ("-l", "de", "--no-location", "--no-obsolete")
    run(sys.executable, "-m", "django", "makemessages", *options, folder=copy)
    assert (copy / GERMAN).read_text() == (APP / GERMAN).read_text()


def test_german_is_complete() -> None:
    for lacking in ("--untranslated", "--only-fuzzy", "--only-obsolete"):
        assert run("msgattrib", lacking, str(GERMAN), folder=APP) == ""


def test_german_is_compiled(tmp_path: Path) -> None:
    run("msgfmt", "--check", "-o", str(tmp_path / "django.mo"), str(GERMAN), folder=APP)
    assert compiled(tmp_path / "django.mo") == compiled((APP / GERMAN).with_suffix(".mo"))


def test_a_translation_keeps_what_is_put_in_and_the_words_of_the_protocol() -> None:
    texts = compiled((APP / GERMAN).with_suffix(".mo"))
    assert len(texts) > 150
    for key, text in texts.items():
        english = key if isinstance(key, str) else key[0]
        assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(english)), text


def test_german_says_what_django_says() -> None:
    """All catalogues of a site are one: what is here counts for Django's own pages."""
    texts = compiled((APP / GERMAN).with_suffix(".mo"))
    for file in Path(django.__file__).parent.glob(f"**/{GERMAN.with_suffix('.mo')}"):
        for key, text in compiled(file).items():
            assert texts.get(key, text) == text, file


def test_models_and_fields_have_names_to_translate() -> None:
    for model in apps.get_app_config("ossn_messaging").get_models():
        named: list[Any] = [model._meta, *(field for field in model._meta.local_fields if not field.primary_key)]
        for one in named:
            assert isinstance(one.verbose_name, Promise), one


def test_the_admin_in_german(api: API, german_browser: Client) -> None:
    number = api.ok(attachment=upload("dummy.pdf"))["id"]
    thread = f"message/conversation/{api.sender.pk}/{api.recipient.pk}/"
    for path, texts in {
        "message/": (
            "</bdi> an <bdi>",
            "Gesendet am",
            "Anhang",
            "Unterhaltung",
            "Von einem Benutzer gelöscht",
            "Letzte 7 Tage",
        ),
        f"message/{number}/change/": ("Für beide Benutzer löschen", "Anhang löschen", "Empfänger"),
        thread: ("arsalanshah und testuser", "an testuser", "ungelesen"),
        "apikey/": ("API-Schlüssel", "Läuft ab am", "jeder", "Ausgewählte API-Schlüssel widerrufen"),
        "apikey/add/": ("Nachrichten senden und löschen", "darf er für jeden Benutzer handeln."),
        "": ("Nachrichten",),
    }.items():
        text = page(german_browser, path)
        for german in texts:
            assert german in text, path


def test_the_history_is_in_the_language_of_who_reads_it(api: API, german_browser: Client) -> None:
    number = api.ok(attachment=upload("dummy.pdf"))["id"]
    for action in ("delete_attachments", "delete_for_both"):
        data = {"action": action, "_selected_action": [number], "confirmed": "yes"}
        assert german_browser.post("/admin/ossn_messaging/message/", data).status_code == 302
    key = APIKey.objects.get().pk
    revoke = {"action": "revoke", "_selected_action": [key], "confirmed": "yes"}
    german_browser.post("/admin/ossn_messaging/apikey/", revoke)
    for path, german, english in (
        (f"message/{number}/history/", "Anhang gelöscht.", "Attachment deleted."),
        (f"message/{number}/history/", "Für beide Benutzer gelöscht.", "Deleted for both users."),
        (f"apikey/{key}/history/", "Widerrufen.", "Revoked."),
    ):
        assert german in page(german_browser, path)
        german_browser.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
        assert english in page(german_browser, path)
        german_browser.defaults["HTTP_ACCEPT_LANGUAGE"] = "de"


def test_the_api_tells_its_reasons_in_german_and_the_rest_in_its_own_words(api: API, german_browser: Client) -> None:
    api.client.defaults["HTTP_ACCEPT_LANGUAGE"] = "de"
    text = api.fails("200", attachment=upload("x.pdf", b"nothing of the kind"))
    assert text == "Message send failed: der Anhang ist kein PDF"
    assert api.fails("103", to=9999) == "Either user not found"


def test_a_log_is_in_one_language(
    api: API, german_browser: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ossn_messaging.api.views.clean_text", fail)
    api.client.defaults["HTTP_ACCEPT_LANGUAGE"] = "de"
    answer = api.send(status=500)
    assert answer["message"] == "Message send failed: ein interner Fehler ist aufgetreten"
    assert "Message send failed: an internal error occurred" in caplog.text


class Shown(HTMLParser):
    """Collects what a page shows, also to those who hear it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.silent = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        names = ["title", "aria-label", "placeholder", "data-done"]
        names += ["alt"] if tag == "img" else []
        names += ["value"] if given.get("type") == "submit" else []
        self.texts += [text for name in names if (text := given.get(name))]
        if tag in {"script", "style"}:
            self.silent = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self.silent:
            self.silent = ""

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.texts.append(data)


def unmarked(html: str) -> str:
    """Return what a page shows without what is marked as translated, which may hold more of it."""
    text = " ".join(Shown(html).texts)
    while text != (text := re.sub(r"⟦[^⟦⟧]*⟧", " ", text)):
        pass
    return text


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every text that is translated be marked as such."""
    with translation.override("en"):
        translation.gettext("")  # loads what is patched here
        backend: Any = translation._trans  # type: ignore[attr-defined]
        for name in ("gettext", "ngettext", "pgettext", "npgettext"):
            monkeypatch.setattr(backend, name, partial(_marked, getattr(backend, name)))
        yield


def _marked(translate: Callable[..., str], *args: Any) -> str:
    return f"⟦{translate(*args)}⟧"


DATA = ("arsalanshah", "testuser", "moderator", "clerk", "dummy.pdf", "photo.png", "the tests", "Some words")
"""What the database has."""
NAMES = {"ID", "read", "send"}
"""What Django calls each primary key, and the names of the scopes, which are the protocol's."""
DJANGOS = {"Search", "False"}
"""What Django's own templates have in English alone."""


def untranslated(html: str) -> set[str]:
    assert "⟦" in html
    shown = unmarked(html)
    for known in DATA:
        shown = shown.replace(known, "")
    return set(LETTERS.findall(shown)) - NAMES - DJANGOS


def test_no_text_of_the_admin_is_left_out(api: API, moderator: Client, stranger: User, marked: None) -> None:
    api.ok(message="Some words", attachment=upload("dummy.pdf"), idempotency_key="once")
    api.ok(message="Some words", attachment=upload("photo.png"))
    Message.objects.filter(pk=api.ok(message="Some words")["id"]).delete_for(api.sender)
    numbers = list(Message.objects.values_list("pk", flat=True))
    assert untranslated(page(staff("clerk clerk", "view_message"), "message/")) == set()
    for browser in (moderator, staff("clerk", "view_message", "moderate_message", "view_user")):
        for path in (
            *("", "message/", "message/?q=nobody", "message/?q=", "message/?state=viewed", "message/?sent=today"),
            *(f"message/{number}/change/" for number in numbers),
            f"message/conversation/{api.sender.pk}/{api.recipient.pk}/",
            f"message/conversation/{api.sender.pk}/{stranger.pk}/",
        ):
            assert untranslated(page(browser, path)) == set(), path
        for action in ("delete_for_both", "delete_attachments"):
            data = {"action": action, "_selected_action": numbers}
            response = browser.post("/admin/ossn_messaging/message/", data)
            assert untranslated(response.content.decode()) == set(), action


def test_no_text_about_keys_is_left_out(api: API, moderator: Client, marked: None) -> None:
    key = APIKey.objects.get().pk
    for path in ("apikey/", "apikey/add/", f"apikey/{key}/change/"):
        assert untranslated(page(moderator, path)) == set(), path
    rotation = {"action": "rotate", "_selected_action": [key]}
    asked = moderator.post("/admin/ossn_messaging/apikey/", rotation).content.decode()
    assert untranslated(asked) == set()
    made = moderator.post("/admin/ossn_messaging/apikey/", rotation | {"rotate": "yes", "days": 7}).content.decode()
    assert untranslated(re.sub(r"ossn_[\w-]{43}", "", made)) == set()
    moderator.post("/admin/ossn_messaging/apikey/", {"action": "revoke", "_selected_action": [key]})
    assert untranslated(page(moderator, f"apikey/{key}/history/")) == set()


def test_no_text_about_the_messages_of_a_user_is_left_out(api: API, moderator: Client, marked: None) -> None:
    api.ok(attachment=upload("dummy.pdf"), idempotency_key="once")
    with zeal_ignore():  # the admin gets the session's user, and then the user whose page it is
        response = moderator.get(f"/admin/auth/user/{api.sender.pk}/delete/")
    shown = response.content.decode()
    assert all(name in shown for name in ("⟦idempotency record", "⟦message", "⟦attachment", "⟦conversation"))
    assert untranslated(shown) == set()
