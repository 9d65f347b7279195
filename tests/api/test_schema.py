"""The schema of the demo: the committed one is the one that is made, and schemathesis finds nothing against it."""

import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.demo import demo, manage
from tests.support.servers import plain_environment

pytestmark = pytest.mark.system

GOLDEN = ROOT / "tests/golden/openapi.yaml"
SECONDS = 300
NOT_CHECKED = (
    "ignored_auth",  # the protocol answers a missing key with HTTP 200 and the code 106
    "negative_data_rejection",  # and a bad parameter with 200 and one of its codes, or takes it as absent
)


def test_the_committed_schema_is_the_one_of_the_demo(tmp_path: Path) -> None:
    done = manage(tmp_path, "spectacular", "--validate", "--fail-on-warn")
    assert done.stdout.strip() == GOLDEN.read_text().strip(), "see Development in the README"


def test_schemathesis_against_the_live_demo(tmp_path: Path) -> None:
    with demo(tmp_path, "--port", "0", seconds=SECONDS) as site:
        command: list[str | Path] = [
            Path(sysconfig.get_path("scripts"), "schemathesis"),
            "run",
            f"{site.url}/api/schema/",
            f"--header=Authorization: Api-Key {site.key}",
            "--phases=examples,coverage,fuzzing",
            "--max-examples=5",
            "--generation-deterministic",
            f"--exclude-checks={','.join(NOT_CHECKED)}",
            "--continue-on-failure",
            "--warnings=off",
            "--no-color",
        ]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=plain_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    assert done.returncode == 0, done.stdout
    assert "32 passed" in done.stdout, "it asked every operation"
