"""Django's settings, derived from the environment as ``dashboard.config`` checked it.

Nothing here reads the environment itself; what a person can change is in ``Config``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import dj_database_url

from dashboard.config import Config

BASE_DIR = Path(__file__).resolve().parent.parent

SERVES_NOBODY = {"collectstatic", "help", "makemigrations", "demo", "localcloud"}
"""Commands that run before there are secrets, or bring their own."""
_command = sys.argv[1] if len(sys.argv) > 1 and Path(sys.argv[0]).name == "manage.py" else ""
_asks_for_help = Path(sys.argv[0]).name == "manage.py" and (len(sys.argv) == 1 or "--help" in sys.argv)

CORRAL = Config.load(secrets_needed=not (_command in SERVES_NOBODY or _asks_for_help))

DEBUG = CORRAL.debug
SECRET_KEY = CORRAL.secret_key.get_secret_value()
ALLOWED_HOSTS = list(CORRAL.allowed_hosts)
CSRF_TRUSTED_ORIGINS = list(CORRAL.csrf_trusted_origins)

ROOT_URLCONF = "dashboard.urls"
WSGI_APPLICATION = "dashboard.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "dashboard",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "allauth",
    "allauth.account",
    "csp",
]

MIDDLEWARE = [
    # First in, last out: every line logged and every answer below knows its request.
    "dashboard.web.middleware.RequestContextMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    # Compressed pages can leak secrets by their length (BREACH) when an attacker's text is reflected beside one.
    # Django's middleware pads the gzip header with a random length, and CSRF tokens are masked anew in every page.
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "dashboard.csp.ContentSecurityPolicyMiddleware",
    # Last, so that an error page still passes everything above.
    "dashboard.web.middleware.PageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]


# --- Database -------------------------------------------------------------------------------------------------------


def _database(url: str) -> dict[str, Any]:
    """Turn a checked address into Django's dictionary, tuned for many threads."""
    # Kept open between requests: opening costs more than most queries. A dead one is noticed before use.
    database: dict[str, Any] = {**dj_database_url.parse(url, conn_max_age=600, conn_health_checks=True)}
    if database["ENGINE"].endswith("sqlite3"):
        if database["NAME"] != ":memory:":
            # Relative to the project, not to wherever the command was typed.
            database["NAME"] = BASE_DIR / database["NAME"]
        database["OPTIONS"] = {
            "timeout": 20,  # seconds to wait for another writer
            # A transaction that reads first and writes later would fail at once instead of waiting its turn.
            "transaction_mode": "IMMEDIATE",
            # WAL lets readers go on while one writes; with it, NORMAL survives a crash of the process.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
        }
    else:
        # A cut network tells nobody, and an operating system tries for a quarter of an hour. The address may say else.
        patience = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
        database["OPTIONS"] = {**patience, "tcp_user_timeout": 20_000, **database.get("OPTIONS", {})}
    return database


DATABASES = {"default": _database(CORRAL.database_url.get_secret_value())}

# Counters of failed sign-ins, and what was asked of LlamaCloud a moment ago.
# In each process's memory: with several processes a guesser gets as many tries more.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}


# --- People ---------------------------------------------------------------------------------------------------------

# allauth's backend is Django's with sign-in rules on top; listing both would hash a wrong password twice.
AUTHENTICATION_BACKENDS = ["dashboard.accounts.Backend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_ADAPTER = "dashboard.accounts.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_RATE_LIMITS = {
    # Three hundred people behind one office address all sign in at nine; a guesser still gets five tries per name.
    "login": "600/m/ip",
    "login_failed": "120/m/ip,5/5m/key",
}


# --- Browser security -----------------------------------------------------------------------------------------------

FORCE_SCRIPT_NAME = CORRAL.url_prefix or None
_cookie_path = f"{CORRAL.url_prefix}/"
# A __Host- cookie cannot be planted by a sibling domain, but must be for the whole host and encrypted.
_cookie_prefix = "__Host-" if CORRAL.encrypted and not CORRAL.url_prefix else ""
SESSION_ENGINE = "dashboard.signed_in"
SESSION_COOKIE_NAME = f"{_cookie_prefix}corral_session"
SESSION_COOKIE_PATH = _cookie_path
SESSION_COOKIE_SECURE = CORRAL.encrypted
CSRF_COOKIE_NAME = f"{_cookie_prefix}corral_csrf"
CSRF_COOKIE_PATH = _cookie_path
CSRF_COOKIE_SECURE = CORRAL.encrypted

SECURE_SSL_REDIRECT = CORRAL.encrypted
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$"]  # probes speak plain HTTP to the process itself
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if CORRAL.encrypted else 0
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "font-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
        "require-trusted-types-for": ["'script'"],
        "trusted-types": ["corral"],
    }
}


# Corral takes no files; whatever is longer is refused before any of it is read (RequestContextMiddleware).
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024


# --- Static files ---------------------------------------------------------------------------------------------------

STATIC_URL = f"{CORRAL.url_prefix}/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "dashboard.static_bundle.BundledStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = DEBUG


# --- Time, words, logs ----------------------------------------------------------------------------------------------

USE_TZ = True
# There is one language: looking for another one with every number and word shown would cost more than showing it.
USE_I18N = False
TIME_ZONE = CORRAL.time_zone
LANGUAGE_CODE = "en"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"()": "dashboard.logs.PlainFormatter"}},
    "filters": {"refusals": {"()": "dashboard.logs.NoTracebackForRefusals"}},
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "plain",
            "filters": ["refusals"],
        },
    },
    "root": {"level": "INFO", "handlers": ["stdout"]},
    "loggers": {
        # Django's own handlers would print the same lines again, and mail them.
        "django": {"level": "INFO", "handlers": [], "propagate": True},
        "django.server": {"level": "INFO", "handlers": [], "propagate": True},
        # These print addresses and headers of calls to LlamaCloud: the pool its host at WARNING, the rest at DEBUG.
        "urllib3": {"level": "ERROR"},
        "requests": {"level": "WARNING"},
    },
}
