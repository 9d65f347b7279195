"""The site's own rules for attachments."""

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from pytest_django import Settings

from ossn_messaging.models import Message
from tests.support.api import API, upload
from tests.support.files import PDF, SAMPLES, exif, picture
from tests.support.storage import files_in

pytestmark = pytest.mark.django_db

seen: list[tuple[str, str, int, bytes]] = []


def note(file: Any) -> None:
    seen.append((file.name, file.content_type, file.size, file.read()))


def object_twice(file: Any) -> None:
    raise ValidationError(["too plain", "too short"])


def needs_a_defect(file: Any) -> None:
    raise ZeroDivisionError("a validator's own trouble")


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


def use(settings: Settings, *names: str) -> None:
    settings.OSSN_MESSAGING = {"ATTACHMENT_VALIDATORS": names}


@pytest.mark.sends
def test_each_sees_what_will_be_stored(api: API, settings: Settings, attachments_folder: Path) -> None:
    use(settings, f"{__name__}.note", f"{__name__}.note")
    photo = picture("JPEG", exif=exif())
    api.ok(attachment=upload("../photo.JPG", photo, content_type="text/html"))
    (stored,) = files_in(attachments_folder)
    assert len(stored.read_bytes()) < len(photo), "without its metadata"
    assert seen == [("photo.JPG", "image/jpeg", stored.stat().st_size, stored.read_bytes())] * 2


def test_a_refusal_is_told_and_nothing_stored(api: API, settings: Settings, attachments_folder: Path) -> None:
    use(settings, f"{__name__}.note", "tests.site.no_drafts", f"{__name__}.note")
    file = PDF.replace(b"1.4\n", b"1.4\n%DRAFT\n")
    text = api.fails("200", attachment=upload("plan.pdf", file))
    assert text == "Message send failed: plan.pdf is a draft"
    assert len(seen) == 1, "the first who refuses is the last who is asked"
    assert not Message.objects.exists()
    assert files_in(attachments_folder) == []


def test_they_are_asked_last(api: API, settings: Settings) -> None:
    use(settings, f"{__name__}.note")
    api.fails("200", attachment=upload("page.pdf", b"<html>"))
    api.fails("103", to="999", attachment=upload("dummy.pdf"))
    api.fails("106", message=" ", attachment=upload("dummy.pdf"))
    assert seen == []


def test_all_that_is_wrong_is_told(api: API, settings: Settings) -> None:
    use(settings, f"{__name__}.object_twice")
    assert api.fails("200", attachment=upload("dummy.pdf")) == "Message send failed: too plain; too short"


@pytest.mark.sends
def test_djangos_own_validators(api: API, settings: Settings) -> None:
    use(settings, "django.core.validators.validate_image_file_extension")
    api.ok(attachment=upload("photo.png", SAMPLES["photo.png"]))
    assert "is not allowed" in api.fails("200", attachment=upload("letter.docx"))


def test_a_defect_in_one(api: API, settings: Settings, attachments_folder: Path) -> None:
    use(settings, f"{__name__}.needs_a_defect")
    assert api.send(status=500, attachment=upload("dummy.pdf"))["code"] == "200"
    assert not Message.objects.exists()
    assert files_in(attachments_folder) == []
