"""Adds the app's URLs to the OpenAPI schema of the site, if ``drf_spectacular`` is in ``INSTALLED_APPS``.

Only this package imports drf-spectacular. Without drf-spectacular, this package is not imported.
"""

from ossn_messaging.api.endpoints import EnvelopeView
from ossn_messaging.api.openapi.operations import OperationSchema


def describe() -> None:
    """Add the app's URLs to every schema of the site."""
    EnvelopeView.schema = OperationSchema()
