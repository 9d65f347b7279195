"""A plain site that has the app. DATABASE_URL names the database: SQLite's in memory where it is not set."""

from pathlib import Path

import environ

from tests.support import new_project

env = environ.Env()

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "the tests'"
DEBUG = False
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "tests.urls"
USE_TZ = True
STATIC_URL = "static/"

INSTALLED_APPS = [*new_project.INSTALLED_APPS, "zeal", "ossn_messaging"]
MIDDLEWARE = [
    "zeal.middleware.zeal_middleware",
    *new_project.MIDDLEWARE,
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
]
TEMPLATES = new_project.TEMPLATES
DATABASES = {"default": env.db_url("DATABASE_URL", default="sqlite://:memory:")}
match DATABASES["default"]["ENGINE"]:
    case "django.db.backends.postgresql":
        DATABASES["default"]["ENGINE"] = "tests.postgresql"
        DATABASES["default"]["OPTIONS"] = {"options": "-c synchronous_commit=off"}
    case "django.db.backends.mysql":
        DATABASES["default"]["TEST"] = {"CHARSET": "utf8mb4"}
        SILENCED_SYSTEM_CHECKS = ["models.W037"]  # as the README says
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Whatever a site says of its own API, this app's views do not hear it.
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.StaticHTMLRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FileUploadParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.BasicAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"anon": "0/day"},
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning",
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "tests.hostile.BrokenNegotiation",
    "EXCEPTION_HANDLER": "tests.hostile.broken_exception_handler",
    "UNAUTHENTICATED_USER": None,
    "ALLOWED_VERSIONS": ["7"],
}
