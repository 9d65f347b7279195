from django.apps import AppConfig, apps
from django.core import checks
from django.utils.translation import gettext_lazy as _


class OssnMessagingConfig(AppConfig):
    name = "ossn_messaging"
    verbose_name = _("Messaging")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from ossn_messaging import redaction
        from ossn_messaging.checks import check_databases, check_settings
        from ossn_messaging.models import receivers

        checks.register(check_settings)
        checks.register(check_databases, checks.Tags.database)
        receivers.connect()
        redaction.redact_logs()
        if apps.is_installed("drf_spectacular"):
            from ossn_messaging.api import openapi

            openapi.describe()
