"""Server-side apply of manifests, with one result per object as `kubectl apply --server-side` prints it."""

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


class ApplyOutcome(StrEnum):
    """Effect of an apply on an object, named as kubectl prints it."""

    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """Result of the apply of one object: its outcome, or an error."""

    name: str
    outcome: ApplyOutcome | None = None
    error: str = ""

    def __str__(self) -> str:
        """Return the line that kubectl would print."""
        return f"{self.name} {self.outcome or self.error}"


@dataclass(frozen=True, slots=True)
class ServerSideApplier:
    """Client that applies manifests to one namespace as one field manager.

    With `force`, it takes over fields of other field managers.
    """

    kube: KubeClient
    namespace: str
    field_manager: str
    force: bool = False
    dry_run: bool = False

    async def apply(self, manifests: Iterable[Manifest]) -> AsyncIterator[ApplyResult]:
        """Apply one object after the other, also after the API server has rejected one, and yield the results.

        Raises `UnavailableError` if the API server does not answer.
        """
        for manifest in manifests:
            name = _kubectl_name(manifest)
            try:
                yield ApplyResult(name, await self._apply(manifest))
            except UnavailableError:
                raise
            except ApiError as error:
                yield ApplyResult(name, error=_apply_error(error))

    async def objects_of_other_stacks(self, manifests: Iterable[Manifest]) -> list[ApplyResult]:
        """Return an error for each object that exists as a part of another stack.

        Raises `ports.ApiError`.
        """
        errors = []
        for manifest in manifests:
            stack = _stack_of(await self._live_object(manifest) or {})
            if stack is not None and stack != _stack_of(manifest):
                message = (
                    f"belongs to the stack {stack}: choose another namespace (-n), rename the service, "
                    "or take the object over with --force-conflicts"
                )
                errors.append(ApplyResult(_kubectl_name(manifest), error=message))
        return errors

    async def _live_object(self, manifest: Manifest) -> Manifest | None:
        resource = _RESOURCES[manifest["kind"]]
        path = resource.path(self.namespace, manifest["metadata"]["name"])
        try:
            live: Manifest = await self.kube.request("GET", path, resource=resource.plural)
        except NotFoundError:
            return None
        return live

    async def _apply(self, manifest: Manifest) -> ApplyOutcome:
        resource = _RESOURCES[manifest["kind"]]
        path = resource.path(self.namespace, manifest["metadata"]["name"])
        before = await self._live_object(manifest)
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
            return ApplyOutcome.CREATED
        is_unchanged = _without_bookkeeping(before) == _without_bookkeeping(after)
        return ApplyOutcome.UNCHANGED if is_unchanged else ApplyOutcome.CONFIGURED


def _kubectl_name(manifest: Manifest) -> str:
    resource = _RESOURCES[manifest["kind"]]
    group = f".{GROUP}" if resource in (INSTANCES, TEMPLATES) else ""
    return f"{manifest['kind'].lower()}{group}/{manifest['metadata']['name']}"


def _stack_of(manifest: Manifest) -> str | None:
    label: str | None = manifest.get("metadata", {}).get("labels", {}).get(LABEL_APP_PART_OF)
    return label


def _without_bookkeeping(live: Manifest) -> Manifest:
    """Return the object without managedFields, resourceVersion and generation, which a dry run changes as well."""
    metadata = {
        key: value for key, value in live["metadata"].items() if key not in ("managedFields", "resourceVersion")
    }
    return {**live, "metadata": {**metadata, "generation": None}}


def _apply_error(error: ApiError) -> str:
    if isinstance(error, NotFoundError) and "could not find the requested resource" in str(error):
        return f"{error}: install the CRDs first: kubectl apply --server-side -f crds/"
    if isinstance(error, ConflictError):
        return f"{error}: take over these fields with --force-conflicts"
    return str(error)
