from django.urls import include, path

urlpatterns = [path("community/", include("ossn_messaging.urls"))]
