"""The names of a user that other users see."""

from django.contrib.auth.base_user import AbstractBaseUser

from ossn_messaging.conf import conf


def has_username(user: AbstractBaseUser) -> bool:
    """Return whether the user model has usernames. Another login, such as an e-mail address, is private."""
    return getattr(type(user), "username", None) is not None


def display_names(user: AbstractBaseUser) -> tuple[str, str]:
    """Return the username and the full name that other users see: what the site's ``USER_DISPLAY`` returns.

    Without it, the username is the user's id if the user model has no usernames, and the username stands for a missing
    full name.
    """
    if conf.USER_DISPLAY:
        username, full_name = conf.USER_DISPLAY(user)
    else:
        username, full_name = _username(user), _full_name(user)
    return str(username), str(full_name or username)


def _username(user: AbstractBaseUser) -> object:
    if _has_public_login(user):
        return user.get_username()
    return getattr(user, "username", None) or user.pk


def _full_name(user: AbstractBaseUser) -> object:
    parts = [getattr(user, name, "") for name in ("first_name", "last_name")]
    if None in parts:  # Django's get_full_name() would return "None None"
        return " ".join(str(part) for part in parts if part)
    get_full_name = getattr(user, "get_full_name", None)
    full_name = get_full_name and get_full_name()
    is_login = full_name == user.get_username()
    return None if is_login and not _has_public_login(user) else full_name


def _has_public_login(user: AbstractBaseUser) -> bool:
    return getattr(user, "USERNAME_FIELD", "") == "username"
