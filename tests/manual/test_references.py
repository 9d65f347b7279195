"""What the manual names is there: what a site imports, and the tests that notice when private API changes."""

import json
import re
from importlib import import_module
from urllib.parse import urlencode

import pytest

from tests.support import ROOT
from tests.support.api import API
from tests.support.readme import pages

PUBLIC = {
    "ossn_messaging.models": ["Message", "Attachment", "Conversation", "APIKey", "Block", "Update"],
    "ossn_messaging.authentication": ["APIKeyAuthentication"],
    "ossn_messaging.context_processors": ["unread"],
    "ossn_messaging.storage": ["LocalAttachmentStorage", "S3AttachmentStorage"],
    "ossn_messaging.signals": ["message_sent"],
    "ossn_messaging.exceptions": ["MessagingError"],
    "ossn_messaging.throttling": ["KeyThrottle", "SenderThrottle", "FailedAuthThrottle"],
    "ossn_messaging.redaction": ["RedactSecretsFilter", "RedactingExceptionReporter", "redact"],
}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in PUBLIC.items() for name in names])
def test_what_a_site_imports(module: str, name: str) -> None:
    assert hasattr(import_module(module), name)
    reference = "".join(text for path, text in pages().items() if path.startswith("docs/reference/"))
    block = re.compile(rf"^from {re.escape(module)} import .*\b{name}\b", re.MULTILINE)
    assert f":: {module}.{name}" in reference or block.search(reference), "the reference does not show it"


def test_each_test_that_the_manual_names_is_there() -> None:
    functions = ""
    for file, function in re.findall(r"`(tests/\S+\.py)?(?:::(test_\w+))?`", pages()["docs/contributing.md"]):
        functions = (ROOT / file).read_text() if file else functions
        assert not function or f"def {function}(" in functions, f"{file}::{function}"


def test_the_answers_to_frequent_mistakes(api: API) -> None:
    """The section of that name in docs/reference/api.md."""
    users = {"guid": api.sender.pk, "to": api.recipient.pk}
    whole = json.dumps(api.fields())
    query = urlencode({"api_key_token": api.key})
    answers = [
        api.ask("v2.0/message/new", to=api.recipient.pk),
        api.ask("v2.0/message/list", **{**users, "guid": "anna"}),
        api.send(to="anna"),
        api.send_raw(whole[:-9].encode(), "application/json", query),
        api.send_raw(json.dumps({"message": ["Hello"]}).encode(), "application/json", query),
        api.ask("v2.0/message/list", **users, before="x"),
        api.ask("v2.0/message/delete", **users, id=1, for_="you"),
        api.ask("v2.0/message/delete", **users),
    ]
    section = pages()["docs/reference/api.md"].partition("### Frequent mistakes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| .+ \| `(\d+)` \| (.+) \|$", section, re.MULTILINE)
    assert rows == [(answer["code"], answer["message"]) for answer in answers]
