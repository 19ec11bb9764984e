"""Applies manifests as `kubectl apply --server-side` does, and tells what became of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from hopper.adapters.kube import APPLY_PATCH
from hopper.api.names import GROUP, LABEL_APP_PART_OF
from hopper.api.resources import INSTANCES, OWNED_RESOURCES, TEMPLATES, Manifest
from hopper.ports import ApiError, ConflictError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from hopper.adapters.kube import KubeClient


_RESOURCES = {**OWNED_RESOURCES, INSTANCES.kind: INSTANCES, TEMPLATES.kind: TEMPLATES}


class Change(StrEnum):
    """What an apply did to an object."""

    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Applied:
    """One object: what became of it, or why it could not be applied."""

    name: str
    change: Change | None = None
    error: str = ""

    def __str__(self) -> str:
        """What kubectl would print."""
        return f"{self.name} {self.change or self.error}"


@dataclass(frozen=True, slots=True)
class Applier:
    """Writes into one namespace as one field manager. `force` takes fields over from other managers."""

    kube: KubeClient
    namespace: str
    field_manager: str
    force: bool = False
    dry_run: bool = False

    async def apply(self, manifests: Iterable[Manifest]) -> AsyncIterator[Applied]:
        """Apply one object after another; what is refused does not keep the rest from being applied.

        Raises `UnavailableError` where the API server does not answer.
        """
        for manifest in manifests:
            name = _name(manifest)
            try:
                yield Applied(name, await self._apply(manifest))
            except UnavailableError:
                raise
            except ApiError as error:
                yield Applied(name, error=_explained(error))

    async def belonging_to_others(self, manifests: Iterable[Manifest]) -> list[Applied]:
        """Return those objects that exist already as a part of another stack. Raises `ports.ApiError`."""
        found = []
        for manifest in manifests:
            theirs = _part_of(await self._live(manifest) or {})
            if theirs is not None and theirs != _part_of(manifest):
                message = f"belongs to the stack {theirs}: choose another namespace (-n), or rename the service"
                found.append(Applied(_name(manifest), error=f"{message}. To take it over: --force-conflicts"))
        return found

    async def _live(self, manifest: Manifest) -> Manifest | None:
        resource = _RESOURCES[manifest["kind"]]
        path = resource.path(self.namespace, manifest["metadata"]["name"])
        try:
            found: Manifest = await self.kube.request("GET", path, resource=resource.plural)
        except NotFoundError:
            return None
        return found

    async def _apply(self, manifest: Manifest) -> Change:
        resource = _RESOURCES[manifest["kind"]]
        path = resource.path(self.namespace, manifest["metadata"]["name"])
        before = await self._live(manifest)
        query = {"fieldManager": self.field_manager, "force": str(self.force).lower(), "fieldValidation": "Strict"}
        if self.dry_run:
            query["dryRun"] = "All"
        after = await self.kube.request(
            "PATCH",
            path,
            resource=resource.plural,
            body=manifest,
            content_type=APPLY_PATCH,
            query=urlencode(query),
        )
        if before is None:
            return Change.CREATED
        same = _without_record(before) == _without_record(after)
        return Change.UNCHANGED if same else Change.CONFIGURED


def _name(manifest: Manifest) -> str:
    resource = _RESOURCES[manifest["kind"]]
    group = f".{GROUP}" if resource in (INSTANCES, TEMPLATES) else ""
    return f"{manifest['kind'].lower()}{group}/{manifest['metadata']['name']}"


def _part_of(manifest: Manifest) -> str | None:
    label: str | None = manifest.get("metadata", {}).get("labels", {}).get(LABEL_APP_PART_OF)
    return label


def _without_record(found: Manifest) -> Manifest:
    """Leave out what the API server itself keeps about an object: a dry run changes it, and says nothing."""
    kept = {key: value for key, value in found["metadata"].items() if key not in ("managedFields", "resourceVersion")}
    return {**found, "metadata": {**kept, "generation": None}}


def _explained(error: ApiError) -> str:
    if isinstance(error, NotFoundError) and "could not find the requested resource" in str(error):
        return f"{error}: install the definitions first, with kubectl apply --server-side -f crds/"
    if isinstance(error, ConflictError):
        return f"{error}. To take these fields over: --force-conflicts"
    return str(error)
