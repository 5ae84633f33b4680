"""Every environment variable Corral reads, typed and checked once, at start.

A bad or missing value stops the process with a sentence per variable that says how to mend it. No sentence ever holds
a value: a key pasted into the wrong variable must not end up in a log.

Imported by settings, wsgi, manage.py and management commands. The one thing others take from here is
:func:`upstream_client`.
"""

from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from dashboard import config_values as values
from dashboard.config_values import Network

if TYPE_CHECKING:
    from dashboard.upstream import LlamaCloud

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
FROM_FILE = ("llama_cloud_api_key", "secret_key")
"""Fields whose variable may also be given as ``<NAME>_FILE``, the way container secrets arrive."""

MEND = {
    "llama_cloud_api_key": "Set it to an API key made in LlamaCloud, or LLAMA_CLOUD_API_KEY_FILE to a file holding it.",
    "llama_cloud_base_url": "Leave it out for LlamaCloud itself, or give an address like https://api.example.com.",
    "llama_cloud_project_id": "Leave it out for the key's default project.",
    "llama_cloud_organization_id": "Leave it out for the key's default organization.",
    "llama_cloud_proxy": "Leave it out for a direct connection, or give an address like http://proxy.example.com:3128.",
    "database_url": "Leave it out for ./corral.sqlite3, or give an address like postgres://user:password@host/name.",
    "secret_key": 'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(48))", and keep it.',
    "allowed_hosts": "List the host names people type to reach Corral, with commas, like corral.example.com.",
    "csrf_trusted_origins": "Leave it out, or list addresses like https://corral.example.com, with commas.",
    "debug": "Use 1 or 0.",
    "insecure_http": "Use 1 for a trial over plain HTTP, otherwise leave it out.",
    "trusted_proxies": "List your reverse proxies like 10.0.0.5 or 10.0.0.0/24, with commas, or leave it out.",
    "url_prefix": "Give a folder like /corral, or leave it out.",
    "time_zone": "Give a name like Europe/Berlin, or leave it out for UTC.",
}
"""How to put each variable right."""


class ConfigError(Exception):
    """The environment cannot be used; the text says why, one line a variable, without any value."""


class _Problem(str):
    """Words put in place of a value that could not be read from its file."""

    __slots__ = ()


def _no_problem(value: Any) -> Any:
    if isinstance(value, _Problem):
        raise ValueError(str(value))
    return value


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads ``<NAME>_FILE``."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        name = field_name.upper()
        path = os.environ.get(f"{name}_FILE", "")
        if field_name not in FROM_FILE or not path:
            return None, field_name, False
        if os.environ.get(name):
            return _Problem(f"is given twice, as {name} and as {name}_FILE; keep one."), field_name, False
        try:
            text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError):
            return _Problem(f"cannot be read: {name}_FILE names no readable text file."), field_name, False
        return text or _Problem(f"is missing: the file {name}_FILE names is empty."), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


Secret = Annotated[SecretStr, BeforeValidator(_no_problem)]


class Config(BaseSettings):
    """The environment, checked. Field ``x_y`` is variable ``X_Y``; an empty variable counts as unset."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, validate_default=True)

    # The two switches come first: later fields are judged by them.
    debug: bool = False
    insecure_http: bool = False
    llama_cloud_api_key: Secret
    llama_cloud_base_url: str = "https://api.cloud.llamaindex.ai"
    llama_cloud_project_id: str | None = None
    llama_cloud_organization_id: str | None = None
    llama_cloud_proxy: SecretStr | None = None
    database_url: SecretStr = SecretStr("sqlite:///corral.sqlite3")
    secret_key: Secret
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    csrf_trusted_origins: Annotated[tuple[str, ...], NoDecode] = ()
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = ()
    url_prefix: str = ""
    time_zone: str = "UTC"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read files, then the environment; what the code passes in only fills gaps."""
        return _SecretFiles(settings_cls), env_settings, init_settings

    @classmethod
    def load(cls, *, secrets_needed: bool = True) -> Self:
        """Read and check the environment.

        Args:
            secrets_needed: ``False`` for commands that serve nobody (``collectstatic``): what is missing is made up
                for this process.

        Raises:
            ConfigError: something is missing or unusable.
        """
        made_up: dict[str, Any] = {}
        if not secrets_needed:
            made_up = {
                "llama_cloud_api_key": secrets.token_urlsafe(32),
                "secret_key": secrets.token_urlsafe(48),
                "allowed_hosts": LOCAL_HOSTS,
            }
        try:
            return cls(**made_up)
        except ValidationError as refused:
            # "from None": pydantic's own text quotes the values.
            raise ConfigError(_in_words(refused)) from None

    @property
    def encrypted(self) -> bool:
        """Say whether people reach Corral over HTTPS, so that cookies and redirects may insist on it."""
        return not (self.debug or self.insecure_http)

    @field_validator("llama_cloud_api_key")
    @classmethod
    def _check_api_key(cls, value: SecretStr) -> SecretStr:
        return SecretStr(values.header_safe(value.get_secret_value()))

    @field_validator("llama_cloud_project_id", "llama_cloud_organization_id")
    @classmethod
    def _check_id(cls, value: str | None) -> str | None:
        return value if value is None else values.header_safe(value)

    @field_validator("llama_cloud_base_url")
    @classmethod
    def _check_base_url(cls, value: str, info: ValidationInfo) -> str:
        return values.upstream_url(value, plain_http=info.data.get("insecure_http", False))

    @field_validator("llama_cloud_proxy")
    @classmethod
    def _check_proxy(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value is None else SecretStr(values.proxy_url(value.get_secret_value()))

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr) -> SecretStr:
        return SecretStr(values.database_url(value.get_secret_value()))

    @field_validator("secret_key")
    @classmethod
    def _check_secret_key(cls, value: SecretStr) -> SecretStr:
        return SecretStr(values.long_enough(value.get_secret_value()))

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _check_allowed_hosts(cls, value: str | tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        hosts = values.host_names(value)
        if hosts:
            return hosts
        if info.data.get("debug") or info.data.get("insecure_http"):
            return LOCAL_HOSTS
        raise ValueError("is missing.")

    @field_validator("csrf_trusted_origins", mode="before")
    @classmethod
    def _check_origins(cls, value: str | tuple[str, ...]) -> tuple[str, ...]:
        return values.origins(value)

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _check_proxies(cls, value: str | tuple[str, ...]) -> tuple[Network, ...]:
        return values.networks(value)

    @field_validator("url_prefix")
    @classmethod
    def _check_url_prefix(cls, value: str) -> str:
        return values.url_prefix(value)

    @field_validator("time_zone")
    @classmethod
    def _check_time_zone(cls, value: str) -> str:
        return values.time_zone(value)


def _in_words(refused: ValidationError) -> str:
    lines = []
    for error in refused.errors(include_input=False, include_url=False):
        field = str(error["loc"][0]).lower()
        said = error.get("ctx", {}).get("error")
        if error["type"] == "missing":
            what = "is missing."
        elif isinstance(said, ValueError):
            what = str(said)
        else:
            what = "is not a value Corral understands."
        lines.append(f"{field.upper()} {what} {MEND[field]}")
    return "\n".join(lines)


_client: LlamaCloud | None = None
_client_lock = threading.Lock()


def upstream_client() -> LlamaCloud:
    """Answer this process's client for LlamaCloud, made on first use.

    Safe across threads: they share its connection pool. A forked worker makes its own, because two processes on one
    socket would read each other's answers.
    """
    global _client
    with _client_lock:
        if _client is None:
            from django.conf import settings

            from dashboard.upstream import LlamaCloud

            config: Config = settings.CORRAL
            proxy = config.llama_cloud_proxy
            _client = LlamaCloud(
                config.llama_cloud_base_url,
                config.llama_cloud_api_key.get_secret_value(),
                project_id=config.llama_cloud_project_id,
                organization_id=config.llama_cloud_organization_id,
                proxy=proxy.get_secret_value() if proxy else None,
                # As many as one process may run turns (turns.standing.RUNNING_LIMIT): each holds one while it lasts.
                pool_size=200,
            )
        return _client


def forget_client() -> None:
    """Drop this process's client: after a fork, or when a test changes the settings."""
    global _client, _client_lock
    _client = None
    _client_lock = threading.Lock()


os.register_at_fork(after_in_child=forget_client)
