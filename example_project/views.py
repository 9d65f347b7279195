from typing import Any

from django.contrib.auth.views import LoginView

from ossn_messaging.models import Conversation


class Home(LoginView):
    """Show what runs here, and a login form or, to a user who is logged in, their newest messages."""

    template_name = "example_project/home.html"
    next_page = "home"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        if self.request.user.is_authenticated:
            context["conversations"] = [
                conversation.page() for conversation in Conversation.objects.recent(self.request.user)
            ]
        return context
