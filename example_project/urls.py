from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView

from example_project.views import Home

urlpatterns = [
    path("", Home.as_view(), name="home"),
    path("logout/", LogoutView.as_view(next_page="home"), name="logout"),
    path("admin/", admin.site.urls),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(), name="docs"),
    path("api/redoc/", SpectacularRedocView.as_view(template_name="example_project/redoc.html"), name="redoc"),
    path("", include("ossn_messaging.urls")),
]
