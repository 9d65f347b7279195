"""What an error tracker gets of requests, with the manual's recipe and without."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.readme import claimed
from tests.support.servers import plain_environment

pytestmark = pytest.mark.system

(RECIPE,) = (block.text for block in claimed("tracking.py", page="docs/howto/*"))
DEFAULTS = """
import sentry_sdk
sentry_sdk.init(dsn="https://public@sentry.example.com/1")
"""


def tracked(folder: Path, recipe: str, **options: Any) -> Any:
    """Return what is sent by a site that follows a recipe."""
    file = folder / "tracking.py"
    file.write_text(recipe)
    environment = plain_environment(
        DJANGO_SETTINGS_MODULE="tests.settings", DATABASE_URL=f"sqlite:///{folder / 'db.sqlite3'}"
    )
    command = [sys.executable, "-m", "tests.manual.tracked", str(file), json.dumps(options)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["statuses"]) == {200, 500, 503}, "good requests, and such as fail in the site and in the app"
    return found


def shown(found: Any, kind: str) -> set[str]:
    """Return which of the secrets are anywhere in what was sent of one kind."""
    content = json.dumps([item["content"] for item in found["sent"] if item["type"] == kind])
    return {name for name, secret in found["secrets"].items() if secret in content}


TRACED = [
    pytest.param({}, "transaction", id="static"),
    pytest.param({"trace_lifecycle": "stream"}, "span", id="stream"),
]


@pytest.mark.parametrize(("options", "kind"), TRACED)
def test_sentry_without_the_recipe(tmp_path: Path, options: dict[str, Any], kind: str) -> None:
    found = tracked(tmp_path, DEFAULTS, enable_logs=True, **options)
    for sent in ("event", kind, "log"):
        assert shown(found, sent) == set(found["secrets"]), sent


@pytest.mark.parametrize(("options", "kind"), TRACED)
def test_sentry_with_the_recipe(tmp_path: Path, options: dict[str, Any], kind: str) -> None:
    found = tracked(tmp_path, RECIPE, enable_logs=True, **options)
    for sent in Counter(item["type"] for item in found["sent"]):
        assert shown(found, sent) == set(), sent
    events = [item["content"] for item in found["sent"] if item["type"] == "event"]
    assert len(events) == found["statuses"].count(500) + found["statuses"].count(503), "each failure is reported"
    assert {kind, "log"} < {item["type"] for item in found["sent"]}
    raised = [event["exception"]["values"] for event in events if "exception" in event]
    assert {error["type"] for errors in raised for error in errors} == {"IntegrityError", "ValueError"}
    for errors in raised:
        assert errors[-1]["value"].startswith("no luck with {")
        assert errors[-1]["stacktrace"]["frames"][-1]["function"] == "post"
