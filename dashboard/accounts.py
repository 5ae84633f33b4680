"""How django-allauth behaves here: no sign-up by strangers, and limits on guessing that cannot be stepped around."""

from __future__ import annotations

import unicodedata
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend
from django.contrib.auth.models import AbstractBaseUser, User
from django.http import HttpRequest

from dashboard.rows import find_one


class AccountAdapter(DefaultAccountAdapter):
    """Accounts are made by an administrator, never by the person at the door."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": "That user name or password is not right. Try again.",
        "too_many_login_attempts": "Too many wrong tries. Wait five minutes, then try again, or ask an administrator.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody signs up."""
        return False

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Count failed tries by name, wherever they come from.

        allauth adds the Host header, which whoever guesses may vary. Names are folded, because databases find them in
        more spellings than one.
        """
        login = str(credentials.get("username") or credentials.get("email") or "")
        return f"sign-in:{unicodedata.normalize('NFKC', login).casefold()}"

    def authenticate(self, request: HttpRequest, **credentials: Any) -> AbstractBaseUser | None:
        """Refuse a deactivated account like a wrong password: whoever holds the password learns nothing."""
        user: AbstractBaseUser | None = super().authenticate(request, **credentials)
        return user if user is not None and user.is_active else None


class Backend(AuthenticationBackend):
    """allauth's, with the person behind a request read the short way: every request needs it."""

    def get_user(self, user_id: int) -> User | None:
        """The person signed in, unless gone or deactivated."""
        user = find_one(User, "pk", user_id)
        return user if user is not None and self.user_can_authenticate(user) else None
