"""What the manual names is there: what a site imports, and the tests that notice when private API changes."""

import re
from importlib import import_module

import pytest

from tests.support import ROOT
from tests.support.readme import pages

PUBLIC = {
    "ossn_messaging.models": ["Message", "Attachment", "Conversation", "APIKey"],
    "ossn_messaging.authentication": ["APIKeyAuthentication"],
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
