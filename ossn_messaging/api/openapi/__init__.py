"""The app's URLs in the OpenAPI schema of a site that has drf-spectacular among its ``INSTALLED_APPS``.

Nothing else of the app imports drf-spectacular, and without it this package is not imported.
"""

from ossn_messaging.api.endpoints import EnvelopeView
from ossn_messaging.api.openapi.operations import OperationSchema


def describe() -> None:
    """Let every schema of the site have the app's URLs."""
    EnvelopeView.schema = OperationSchema()
