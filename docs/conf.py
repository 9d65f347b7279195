"""The manual's configuration. Build it with ``sphinx-build -W -n -b html docs OUT``."""

import django
from django.conf import settings

import ossn_messaging

# autodoc imports the app's modules, and models need settings.
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "ossn_messaging",
    ],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()

project = "ossn-messaging"
project_copyright = "the authors of ossn-messaging"
release = ossn_messaging.__version__
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
nitpicky = True
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "none"

html_theme = "furo"
html_title = f"ossn-messaging {release}"
