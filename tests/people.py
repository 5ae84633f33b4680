"""The people of the tests: Ada and Ben are members, Cy is an administrator."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

PASSWORD = "correct horse battery staple"
"""Everybody's."""

SignIn = Callable[[User], Client]


@pytest.fixture
def ada(db: None) -> User:
    """A member."""
    return User.objects.create_user("ada", password=PASSWORD, first_name="Ada")


@pytest.fixture
def ben(db: None) -> User:
    """Another member, who must not get at what is Ada's."""
    return User.objects.create_user("ben", password=PASSWORD, first_name="Ben")


@pytest.fixture
def cy(db: None) -> User:
    """An administrator."""
    return User.objects.create_superuser("cy", password=PASSWORD, first_name="Cy")


@pytest.fixture
def signed_in() -> SignIn:
    """Answer a browser without JavaScript in which a person is signed in."""

    def sign_in(person: User) -> Client:
        client = Client()
        client.force_login(person)
        return client

    return sign_in
