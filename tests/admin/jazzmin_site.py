"""The settings of the demo with django-jazzmin."""

from example_project.settings import *  # noqa: F403
from example_project.settings import INSTALLED_APPS as OTHERS

INSTALLED_APPS = ["jazzmin", *OTHERS]
