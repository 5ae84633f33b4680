"""The addresses: accounts, the admin, and everything else in ``dashboard.web``."""

from __future__ import annotations

from allauth.account import views as account
from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

# One door for everybody: the admin's own sign-in form would bypass the limits on failed sign-ins.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]  # as allauth documents it

# Only what Corral offers: accounts are made by an administrator, so there is no sign-up and no reset by e-mail.
accounts = [
    path("login/", account.login, name="account_login"),
    path("logout/", account.logout, name="account_logout"),
    path("password/change/", account.password_change, name="account_change_password"),
]

urlpatterns = [
    path("accounts/", include(accounts)),
    path("admin/", admin.site.urls),
    path("", include("dashboard.web.urls")),
]
