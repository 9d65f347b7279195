from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("ossn_messaging.urls")),
    path("bare/", include("tests.benchmarks.bare")),
    path("admin/", admin.site.urls),
]
