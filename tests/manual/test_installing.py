"""The wheel in a site of somebody else's: a bare project, as ``startproject`` makes it, and the steps of the README."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.files import PDF
from tests.support.servers import plain_environment

pytestmark = pytest.mark.system

CUSTOM_USER = """
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models


class Member(AbstractBaseUser):
    number = models.AutoField(primary_key=True)
    email = models.EmailField(unique=True)
    USERNAME_FIELD = "email"
    objects = BaseUserManager()
"""

EXTENDING_USER = CUSTOM_USER.replace(
    "class Member(AbstractBaseUser):\n    number = models.AutoField(primary_key=True)",
    "class Person(models.Model):\n    pass\n\n\nclass Member(Person, AbstractBaseUser):",
)
"""Its primary key is the link to the model that it extends."""
MEMBERS = {"custom user": CUSTOM_USER, "extending user": EXTENDING_USER}

SEND = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "bare.settings"
import django
django.setup()
heavy = {"PIL", "boto3", "botocore", "drf_spectacular", "pikepdf", "pypdfium2", "storages"} & set(sys.modules)
from django.contrib.auth import get_user_model
from django.test import Client
User = get_user_model()
one, two = [User.objects.create(**{User.USERNAME_FIELD: name}) for name in ("one@example.com", "two@example.com")]
answer = Client().post(sys.argv[1] + "api/v2.0/message/send", {
    "api_key_token": sys.argv[2], "from": one.pk, "to": two.pk, "message": "Test",
    "attachment": open(sys.argv[3], "rb"),
}, headers={"Host": "localhost"})
bodies = [answer.content.decode()] + [
    Client().post(sys.argv[1] + path, {"api_key_token": sys.argv[2], "guid": two.pk, "from": one.pk, "to": to.pk},
                  headers={"Host": "localhost"}).content.decode()
    for path, to in {
        "api/v2.0/message/list": one, "api/v2.0/message/new": two, "api/v2.0/message/recent": two,
        "api/v1.0/message_list": one, "api/v1.0/message_new": two, "api/v1.0/message_recent": two,
    }.items()
]
import ossn_messaging
extras = [name for name in sys.modules if name.startswith("drf_spectacular")]
print(json.dumps({"answer": answer.json(), "module": ossn_messaging.__file__, "extras": extras, "heavy": [*heavy],
                  "bodies": bodies}))
"""


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "-t", str(folder), str(wheel)], check=True
    )
    return folder


def test_what_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"ossn_messaging", wheel.name.split("-py3")[0] + ".dist-info"}
    app = ROOT / "ossn_messaging"
    mine = {path.relative_to(ROOT) for path in app.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {Path(name) for name in names if name.startswith("ossn_messaging/")} == mine
    assert {path.suffix for path in mine} == {".py", ".typed", ".html", ".css", ".js", ".svg", ".po", ".mo"}


@pytest.mark.parametrize(("kind", "prefix"), [("plain", "/"), ("custom user", "/community/"), ("extending user", "/")])
def test_a_bare_site_sends_a_message(installed: Path, tmp_path: Path, prefix: str, kind: str) -> None:
    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            cwd=tmp_path,
            env=plain_environment(PYTHONPATH=str(installed)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("-m", "django", "startproject", "bare", ".")
    settings = tmp_path / "bare/settings.py"
    text = settings.read_text().replace("INSTALLED_APPS = [", 'INSTALLED_APPS = [\n    "ossn_messaging",')
    if kind in MEMBERS:
        (tmp_path / "members").mkdir()
        (tmp_path / "members/models.py").write_text(MEMBERS[kind])
        (tmp_path / "members/__init__.py").touch()
        text = re.sub(r"    .django\.contrib\.(admin|messages).,\n", "", text)
        text = re.sub(r"    .django\.contrib\.messages\S+\n", "", text)
        text = (
            text.replace('"ossn_messaging",', '"ossn_messaging", "members",') + 'AUTH_USER_MODEL = "members.Member"\n'
        )
    settings.write_text(text)
    (tmp_path / "bare/urls.py").write_text(
        f'from django.urls import include, path\nurlpatterns = [path("{prefix[1:]}", include("ossn_messaging.urls"))]\n'
    )
    if kind in MEMBERS:
        run("manage.py", "makemigrations", "members")
    run("manage.py", "migrate")
    silenced = 'SILENCED_SYSTEM_CHECKS = ["ossn_messaging.W004"]\n' if kind in MEMBERS else ""
    settings.write_text(text + silenced)
    assert ("1 silenced" in run("manage.py", "check", "--fail-level", "WARNING")) == (kind in MEMBERS)
    key = run("manage.py", "ossn_apikey", "create", "first").strip()
    pdf = tmp_path / "dummy.pdf"
    pdf.write_bytes(PDF)
    (tmp_path / "send.py").write_text(SEND)
    printed = json.loads(run("send.py", prefix, key, str(pdf)))
    assert printed["module"].startswith(str(installed))
    assert printed["extras"] == [], "it needs none of them"
    assert printed["heavy"] == [], "a site starts without them"
    answer = printed["answer"]
    assert answer["code"] == "100", answer
    name = "1" if kind in MEMBERS else "one@example.com"
    user = answer["payload"]["message_from"]
    assert (user["username"], user["fullname"]) == (name, name)
    assert all('"code": "100"' in body for body in printed["bodies"])
    assert any("example.com" in body for body in printed["bodies"]) == (kind == "plain"), "the address is nobody's"
    assert answer["payload"]["attachment_url"].startswith(f"http://localhost{prefix}messages/attachment/1/dummy.pdf?")
    (stored,) = (tmp_path / "ossn_attachments").rglob("*.pdf")
    assert stored.read_bytes() == pdf.read_bytes()
