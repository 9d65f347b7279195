"""What a large file costs in memory."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, encode_multipart
from PIL import Image
from pytest_django import Settings

from tests.support.files import SAMPLES, pdf, picture
from tests.support.servers import plain_environment
from tests.support.storage import everywhere

MIB = 1024 * 1024
SIZE = 25 * MIB
MAX_RISE = 16 * MIB

pytestmark = [pytest.mark.system, everywhere, pytest.mark.django_db]


def large_pdf() -> bytes:
    content = os.urandom(SIZE - 1024)
    return pdf(b"<</Length %d>>stream\n%s\nendstream" % (len(content), content))


def large_docx() -> bytes:
    file = io.BytesIO(SAMPLES["letter.docx"])
    with zipfile.ZipFile(file, "a") as package:
        package.writestr("word/media/image1.png", os.urandom(SIZE - len(file.getvalue()) - 1024))
    return file.getvalue()


def large_jpeg() -> bytes:
    size = (3200, 2700)
    return picture("JPEG", Image.frombytes("RGB", size, os.urandom(3 * size[0] * size[1])), quality=97, subsampling=0)


def large_png() -> bytes:
    size = (2900, 2900)
    return picture("PNG", Image.frombytes("RGB", size, os.urandom(3 * size[0] * size[1])), compress_level=1)


def large_gif() -> bytes:
    noise = Image.frombytes("P", (1024, 1024), os.urandom(MIB))
    noise.putpalette(os.urandom(768))
    others = [noise.rotate(90 * turn).transpose(flip) for turn in range(4) for flip in list(Image.Transpose)[:4]]
    return picture("GIF", noise, save_all=True, append_images=others, optimize=False)


LARGE = {"a.pdf": large_pdf, "a.docx": large_docx, "a.jpg": large_jpeg, "a.png": large_png, "a.gif": large_gif}


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, paths = tmp_path_factory.mktemp("bodies"), []
    for name, make in LARGE.items():
        content = make()
        assert 0.9 * SIZE < len(content) <= SIZE, f"{name} has {len(content)} bytes"
        paths.append(folder / name)
        paths[-1].write_bytes(encode_multipart(BOUNDARY, {"attachment": SimpleUploadedFile(name, content)}))
    return paths


def test_a_large_file_is_not_held_in_memory(settings: Settings, tmp_path: Path, bodies: list[Path]) -> None:
    storage = django_settings.STORAGES.get(
        "ossn_messaging",
        {
            "BACKEND": "ossn_messaging.storage.LocalAttachmentStorage",
            "OPTIONS": {"location": str(tmp_path / "attachments")},
        },
    )
    storage["OPTIONS"].pop("client_config", None)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.memory", json.dumps(storage), *bodies],
        env=plain_environment(
            DATABASE_URL=f"sqlite:///{tmp_path / 'memory.sqlite3'}",
            MALLOC_MMAP_THRESHOLD_="131072",  # or glibc keeps what the first requests took, and no rise is seen
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rises = dict(zip(LARGE, json.loads(done.stdout), strict=True))
    assert max(rises.values()) <= MAX_RISE, rises
