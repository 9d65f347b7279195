from django.contrib import admin
from django.urls import include, path

from tests import site

urlpatterns = [
    path("admin/", admin.site.urls),
    path("whoami", site.WhoAmI.as_view()),
    path("", include("ossn_messaging.urls")),
]
