"""A site as its owner deploys it: what ``startproject`` makes, with the app, under a server, with lasting connections.

The environment says the rest: DATABASE_URL the server of the database, DATA_DIR where the files are, DATABASE_NAME the
database once it is there, FILE_UPLOAD_TEMP_DIR where uploads wait, and OSSN_MESSAGING and STORAGE in JSON what differs
from the app's defaults.
"""

from pathlib import Path

import environ

from tests.support import new_project

env = environ.Env()

DATA_DIR = Path(env.str("DATA_DIR"))
SECRET_KEY = "a live site's"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
ROOT_URLCONF = "tests.live.urls"
USE_TZ = True
STATIC_URL = "static/"
MEDIA_ROOT = DATA_DIR / "media"

INSTALLED_APPS = [*new_project.INSTALLED_APPS, "ossn_messaging", "tests.benchmarks"]
MIDDLEWARE = new_project.MIDDLEWARE
TEMPLATES = new_project.TEMPLATES

DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'db.sqlite3'}")}
database = DATABASES["default"]
database["CONN_MAX_AGE"] = None
if database["ENGINE"] == "django.db.backends.sqlite3":
    database["TEST"] = {"NAME": database["NAME"]}
    database["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        "timeout": 20,
    }
else:
    database["TEST"] = {"NAME": f"ossn_live_{DATA_DIR.name}"}
    database["NAME"] = env.str("DATABASE_NAME", default=database["NAME"])
if database["ENGINE"] == "django.db.backends.mysql":
    database["TEST"]["CHARSET"] = "utf8mb4"

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "ossn_messaging": env.json(
        "STORAGE",
        default={
            "BACKEND": "ossn_messaging.storage.LocalAttachmentStorage",
            "OPTIONS": {"location": str(DATA_DIR / "attachments")},
        },
    ),
}
FILE_UPLOAD_TEMP_DIR = env.str("FILE_UPLOAD_TEMP_DIR", default=None)

OSSN_MESSAGING = env.json("OSSN_MESSAGING", default={})
