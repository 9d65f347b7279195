"""What the manual says about the admin."""

import subprocess
import sys
from pathlib import Path

from django.test import Client
from pytest_django import Settings

from tests.admin.test_search import user_page
from tests.support import ROOT
from tests.support.api import API
from tests.support.demo import SECONDS
from tests.support.readme import claimed
from tests.support.servers import plain_environment

THEMED = claimed("admin.py", page="docs/howto/moderation.md")
TOOLS = claimed("templates/admin/members/member/change_form_object_tools.html", page="docs/howto/moderation.md")

VISIT = """
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

call_command("migrate", verbosity=0)
call_command("check", fail_level="WARNING")
admin_user = User.objects.create_superuser("admin")
client = Client(headers={"Host": "localhost"})
client.force_login(admin_user)
message = Message.objects.send(sender=admin_user, recipient=User.objects.create_user("anna"), text="Test")
api_key, _key = APIKey.objects.create_key("first")
paths = "message/", f"message/{message.pk}/change/", "block/", "block/add/"
for path in (*paths, "apikey/", "apikey/add/", f"apikey/{api_key.pk}/change/"):
    response = client.get(f"/admin/ossn_messaging/{path}")
    assert response.status_code == 200, path
(name,) = (line for line in response.content.decode().splitlines() if 'id="id_name"' in line)
assert "border-base-200" in name, "it has the look of the theme"
response = client.post("/admin/ossn_messaging/apikey/add/", {"name": "second", "scopes": ["read"]})
assert APIKey.objects.count() == 2 and "ossn_" in response.content.decode()
"""


def test_the_admins_with_the_forms_of_a_theme(tmp_path: Path) -> None:
    (block,) = THEMED
    done = subprocess.run(
        [sys.executable, "-c", f"import django\ndjango.setup()\n{block.text}{VISIT}"],
        cwd=ROOT,
        env=plain_environment(
            DATA_DIR=str(tmp_path), DATABASE_URL="sqlite://:memory:", DJANGO_SETTINGS_MODULE="tests.admin.unfold_site"
        ),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_user_model_of_the_site_has_the_link_to_messages(
    api: API, moderator: Client, settings: Settings, tmp_path: Path
) -> None:
    """The users of the tests are Django's, so the template takes the place of the app's."""
    (block,) = TOOLS
    file = tmp_path / block.kind.removeprefix("templates/").replace("members/member", "auth/user")
    file.parent.mkdir(parents=True)
    file.write_text(block.text)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    assert f'href="/admin/ossn_messaging/message/?q={api.sender.username}"' in user_page(moderator, api.sender)
