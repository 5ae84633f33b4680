"""Pass a creation or an answer through, and show one element."""

from __future__ import annotations

import json
from collections.abc import Callable

import requests
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from requests.adapters import HTTPAdapter

# One pool for the process, as large as it has threads.
kept_open = requests.Session()
kept_open.trust_env = False
kept_open.mount("http://", HTTPAdapter(pool_maxsize=256))


def create(request: HttpRequest) -> HttpResponse:
    """The plainest way: a call as `requests` documents it, with a connection of its own."""
    return _passed_on(request, requests.post)


def create_kept_open(request: HttpRequest) -> HttpResponse:
    """The fastest way: connections that stay open between calls."""
    return _passed_on(request, kept_open.post)


def _passed_on(request: HttpRequest, post: Callable[..., requests.Response]) -> HttpResponse:
    """Make the call the form asks for, answer what came back."""
    answer = post(
        f"{settings.UPSTREAM}/api/v1/chat",
        params={"project_id": request.POST["project_id"]},
        json={"index_ids": request.POST.getlist("index_ids"), "shared_access": request.POST["shared_access"]},
        headers={"Authorization": "Bearer llx-benchmark"},
        timeout=10,
    )
    return HttpResponse(json.dumps(answer.json()), content_type="application/json", status=answer.status_code)


def ask(request: HttpRequest) -> StreamingHttpResponse:
    """Ask a question and hand on the bytes of the answer as they come; nothing is read, kept or shown."""
    answer = kept_open.post(
        f"{settings.UPSTREAM}/api/v1/chat/{request.POST['session_id']}/messages/stream",
        params={"project_id": request.POST["project_id"]},
        json={"index_ids": request.POST.getlist("index_ids"), "prompt": request.POST["prompt"]},
        headers={"Authorization": "Bearer llx-benchmark"},
        stream=True,
        timeout=60,
    )
    return StreamingHttpResponse(answer.iter_content(None), content_type="text/event-stream")


def page(request: HttpRequest) -> HttpResponse:
    """One element."""
    return HttpResponse("<!DOCTYPE html><html lang=en><title>Bare</title><p>New session</p></html>")


urlpatterns = [
    path("create/", create),
    path("create-kept-open/", create_kept_open),
    path("ask/", ask),
    path("", page),
]
