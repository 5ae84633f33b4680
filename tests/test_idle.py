"""A process that falls asleep in the middle of a transaction."""

from __future__ import annotations

import threading
import time

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from dashboard import idle

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def test_its_rows_are_free_again_after_a_while(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer, whatever it does")
    monkeypatch.setattr(idle, "SLEEPS", 1)
    holds, failed = threading.Event(), list[str]()

    def sleeper() -> None:
        try:
            with transaction.atomic():
                User.objects.filter(pk=ada.pk).update(first_name="Asleep")
                holds.set()
                time.sleep(3)
                User.objects.filter(pk=ada.pk).update(first_name="Awake")
        except DatabaseError as error:
            failed.append(type(error).__name__)
        connection.close()

    thread = threading.Thread(target=sleeper)
    thread.start()
    assert holds.wait(20)
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '10s'")
    User.objects.filter(pk=ada.pk).update(first_name="Ada")
    thread.join()
    connection.close()

    ada.refresh_from_db()
    assert ada.first_name == "Ada"
    assert failed, "the sleeper's second statement must not go through"
