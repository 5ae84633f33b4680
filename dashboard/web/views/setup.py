"""Making the first administrator, once."""

from __future__ import annotations

from django.contrib.auth import login
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from dashboard.audit.actions import AuditAction
from dashboard.audit.trail import record
from dashboard.web.forms import FirstAdministratorForm
from dashboard.web.requests import Request
from dashboard.web.setup import is_needed, key_is_good


@require_http_methods(["GET", "HEAD", "POST"])
def first_administrator(request: Request, key: str) -> HttpResponse:
    """Show and take the form; 404 for a wrong or old key, and for everybody once there is a user."""
    if not (is_needed() and key_is_good(key)):
        raise Http404
    form = FirstAdministratorForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = _make(request, form)
        if user is None:
            raise Http404
        login(request, user)
        return redirect("home")
    return render(request, "setup.html", {"form": form}, status=422 if form.is_bound else 200)


def _make(request: Request, form: FirstAdministratorForm) -> User | None:
    """Create the administrator unless another process was faster."""
    with transaction.atomic():
        # A row every instance has, locked: of two set-up forms sent at once, the second sees the first one's user.
        ContentType.objects.select_for_update().get(app_label="auth", model="user")
        if not is_needed():
            return None
        user = User.objects.create_superuser(form.cleaned_data["username"], "", form.cleaned_data["password1"])
        record(AuditAction.INSTANCE_SET_UP, actor=user, origin=request.origin)
    return user
