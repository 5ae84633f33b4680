"""What people may send, checked, and said in plain words when it does not fit."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.models import User

from dashboard.catalog.models import Index, Project
from dashboard.chats.create import SessionChoice
from dashboard.chats.models import LockState, RunState
from dashboard.templatetags.wording import SHARING, visible
from dashboard.upstream import MAX_SESSION_INDEXES

TOKEN = re.compile(r"\A[A-Za-z0-9_-]{8,100}\Z")  # anchored: Django searches
DAMAGED = "This form was damaged on its way, and is mended now. Press Create session again."
BOUND, UNBOUND = "bound", "unbound"


def new_token() -> str:
    """A fresh idempotency token: one per form shown."""
    return secrets.token_urlsafe(18)


class IdsField(forms.MultipleChoiceField):
    """Repeated ids; whether they exist is the form's question, which has better words than "not a valid choice"."""

    def valid_value(self, value: Any) -> bool:
        return isinstance(value, str) and 0 < len(value) <= 255


class NewSessionForm(forms.Form):
    """What to create a session over. Only ``index_ids`` (or ``binding=unbound``) and the token are required."""

    idempotency_token = forms.RegexField(
        TOKEN, widget=forms.HiddenInput, error_messages={"invalid": DAMAGED, "required": DAMAGED}
    )
    project_id = forms.CharField(required=False, max_length=255, widget=forms.HiddenInput)
    binding = forms.ChoiceField(required=False, choices=[(BOUND, "bound"), (UNBOUND, "unbound")])
    index_ids = IdsField(required=False)
    shared_access = forms.ChoiceField(
        required=False,
        label="Sharing",
        choices=list(SHARING.items()),
        widget=forms.Select(attrs={"aria-describedby": "sharing-hint"}),
    )
    confirm_not_ready = forms.BooleanField(required=False)
    find = forms.CharField(required=False, max_length=200)

    not_ready: list[Index] = []  # replaced, never changed in place

    def clean_index_ids(self) -> list[str]:
        """At least one unless unbound, at most ten, each once."""
        index_ids = list(dict.fromkeys(self.cleaned_data["index_ids"]))
        if self.data.get("binding") == UNBOUND:
            return []
        if not index_ids:
            raise forms.ValidationError("Choose at least one source, or choose sources with each question.")
        if len(index_ids) > MAX_SESSION_INDEXES:
            raise forms.ValidationError(
                f"You chose {len(index_ids)} sources. A session can have {MAX_SESSION_INDEXES} at most: remove some."
            )
        return index_ids

    def clean(self) -> dict[str, Any]:
        """The project must be offered, the sources must exist, be in one project, and be ready or confirmed."""
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        known = Index.named(cleaned["index_ids"])
        found = {index_id: index for index_id, index in known.items() if index.gone_at is None}
        if not self._is_offered(cleaned["project_id"], found.values()):
            self.add_error("project_id", "This project is not available any more. Choose another one.")
            return cleaned
        missing = [index_id for index_id in cleaned["index_ids"] if index_id not in found]
        if missing:
            self.add_error("index_ids", f"{_count(len(missing), 'source')} not available any more. Choose again.")
            return cleaned
        self._settle_project(list(found.values()))
        self.not_ready = [index for index in found.values() if index.readiness.needs_confirmation]
        if self.not_ready and not cleaned["confirm_not_ready"]:
            names = ", ".join(visible(index.name, 80) for index in self.not_ready)
            self.add_error("confirm_not_ready", f"Not ready yet: {names}. Tick the box if you want them anyway.")
        return cleaned

    def _is_offered(self, project_id: str, indexes: Iterable[Index]) -> bool:
        """Whether sessions can be made in this project; none given means the key's own."""
        # One with a source that was just found is, which spares nearly every submission a query.
        if not project_id or any(index.project_id == project_id for index in indexes):
            return True
        return Project.objects.offered().filter(pk=project_id).exists()

    def _settle_project(self, indexes: list[Index]) -> None:
        projects = {index.project_id for index in indexes}
        wanted = self.cleaned_data["project_id"]
        if len(projects) > 1 or (wanted and projects - {wanted}):
            self.add_error("index_ids", "All sources of a session must be in one project. Choose again.")
        elif projects:
            self.cleaned_data["project_id"] = projects.pop()
        elif not wanted:
            self.cleaned_data["project_id"] = Project.objects.offered().values_list("pk", flat=True).first() or ""

    def choice(self, *, follows_id: int | None) -> SessionChoice:
        """The valid form as what chats understands."""
        cleaned = self.cleaned_data
        unbound = cleaned["binding"] == UNBOUND
        return SessionChoice(
            index_ids=None if unbound else tuple(cleaned["index_ids"]),
            shared_access=cleaned["shared_access"],
            project_id=cleaned["project_id"],
            confirmed_not_ready=tuple(index.pk for index in self.not_ready),
            follows_id=follows_id,
        )


def _count(number: int, noun: str) -> str:
    return f"1 {noun} is" if number == 1 else f"{number} {noun}s are"


class FilterForm(forms.Form):
    """Which sessions to list; everything is optional and unknown values are ignored."""

    q = forms.CharField(required=False, max_length=200, label="Search titles", widget=forms.SearchInput)
    source = forms.ChoiceField(required=False, label="Source")
    state = forms.ChoiceField(
        required=False,
        label="Status",
        choices=[
            ("", "All but deleted"),
            ("Sources", [(state.value, state.label) for state in LockState]),
            ("Last run", [(state.value, state.label) for state in RunState]),
        ],
    )

    def __init__(self, *args: Any, sources: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["source"].choices = [("", "Any source"), *sources]  # type: ignore[attr-defined]  # a ChoiceField


class RenameForm(forms.Form):
    """A title of the team's own."""

    title = forms.CharField(
        required=False,
        max_length=200,
        label="Title",
        help_text="Only your team sees it. Leave it empty to show LlamaCloud’s own title.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class FirstAdministratorForm(BaseUserCreationForm):  # type: ignore[type-arg]  # generic only in the stubs
    """A name and a password, with Django's own password rules."""

    class Meta:
        model = User
        fields = ("username",)
