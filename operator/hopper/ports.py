"""What the controller needs from outside, as protocols; `adapters` holds the real ones."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from hopper.api.instance import HopperInstance, InstanceStatus
from hopper.api.resources import Manifest, Resource
from hopper.api.template import HopperTemplate, TemplateStatus
from hopper.domain.plan import MetadataChange

E = TypeVar("E", bound=Exception)


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that the API server finds wrong with an object: the path of the field, what, and a CamelCase reason."""

    field: str
    message: str
    reason: str


class ApiError(Exception):
    """The API server answered with an error, or not at all. `code` is that of HTTP, 0 without an answer.

    The tree: `NotFoundError` (404; 410: `ExpiredError`) · `ConflictError` (409: read again; `OccupiedError`: wait) ·
    `RefusedError` (400, 403, 422: the same request will be refused again until something changes) ·
    `UnavailableError` (no answer, 401, 429, 5xx: try again later).
    """

    def __init__(self, message: str = "", *, code: int = 0, causes: Sequence[Cause] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.causes = causes


class NotFoundError(ApiError):
    """The object is gone."""


class ExpiredError(NotFoundError):
    """The API server no longer keeps the requested resourceVersion (410): list again."""


class ConflictError(ApiError):
    """Somebody else has written in between."""


class OccupiedError(ConflictError):
    """What bears the name is not gone yet."""


class RefusedError(ApiError):
    """The API server, a policy or RBAC refuses the request as it is."""


class UnavailableError(ApiError):
    """No usable answer; whether the request took effect is unknown."""


class GivenUpError(Exception):
    """What ends a process on purpose; the message says why, and what to do."""


def find_error(kind: type[E], error: BaseException) -> E | None:
    """Return the first error of a kind in what may be a group of errors; None where there is none."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, (find_error(kind, it) for it in error.exceptions)), None)
    return error if isinstance(error, kind) else None


class InstanceStore(Protocol):
    """Reads and writes HopperInstances. Every write names the version it was computed from.

    All methods raise `ApiError`; writes return the object as it is afterwards.
    """

    async def write_metadata(self, instance: HopperInstance, change: MetadataChange) -> dict[str, Any]:
        """Replace ownerReferences and finalizers."""

    async def write_status(self, instance: HopperInstance, status: InstanceStatus) -> dict[str, Any]:
        """Write what differs between the instance's status and `status`."""

    async def delete(self, instance: HopperInstance) -> None:
        """Delete this very object, unless it has changed: whoever has resumed or moved it wants to keep it."""


class IntentStore(Protocol):
    """Writes what users want, whatever the kind; unknown fields are refused.

    Methods raise `ApiError`; create and patch return the object as it is afterwards.
    """

    async def read(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        """Read an object past the watch, where a write depends on it."""

    async def create(self, resource: Resource, namespace: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Create an object; a `ConflictError` says that its name is taken."""

    async def patch(self, resource: Resource, namespace: str, name: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Merge changes into an object. With `metadata.resourceVersion` or `uid`, into exactly that one."""

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        version: str | None = None,
        orphan: bool = False,
    ) -> None:
        """Delete this very object; with a version, only if it is still that one. `orphan` leaves what it owns."""


class TemplateStore(Protocol):
    """Writes HopperTemplates."""

    async def write_status(self, template: HopperTemplate, status: TemplateStatus) -> dict[str, Any]:
        """Write what differs between the template's status and `status`. Raises `ApiError`."""


class ChildStore(Protocol):
    """Writes the objects that instances own. Methods raise `ApiError` and return the object as it is afterwards."""

    async def apply(self, manifest: dict[str, Any], *, force: bool) -> dict[str, Any]:
        """Apply on the server's side. With `force`, fields are taken back from whoever has changed them.

        Without it the object is to be new. One that is there and not ours (see its owner) is a `RefusedError`, one that
        is about to go an `OccupiedError`; one of ours that was not recognised any more is taken back.
        """

    async def patch(self, live: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        """Merge some changes into this very version of an object."""

    async def remove(self, live: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
        """Apply a JSON patch (RFC 6902)."""

    async def delete(self, live: dict[str, Any]) -> None:
        """Delete this very object (by uid)."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a list. All parts of one list show the same moment, whose `version` the last one tells."""

    items: list[dict[str, Any]]
    version: str = ""


class HeartbeatStore(Protocol):
    """Writes the ConfigMaps of heartbeats (`api.heartbeat`). Methods raise `ApiError`."""

    async def merge(self, namespace: str, shard: int, changes: Mapping[str, str | None]) -> None:
        """Set some keys, remove those that are None, and leave the others alone. `NotFoundError`: create it first."""

    async def create(self, namespace: str, shard: int, data: Mapping[str, str]) -> None:
        """Create it. `ConflictError` where somebody was faster."""


# The type of a watch event (ADDED, MODIFIED, DELETED or BOOKMARK), and the object.
WatchEvent = tuple[str, Manifest]


class Lister(Protocol):
    """Lists and watches objects. Used by the feeds of operator and gateway. Methods raise `ApiError`."""

    async def serves(self, resource: Resource) -> bool:
        """Tell whether the API server knows the kind."""

    def parts(self, resource: Resource, namespace: str | None, selector: str = "") -> AsyncGenerator[Part, None]:
        """Yield all objects, some at a time, as they arrive; close it if not all are taken.

        Raises where the list ends before it is complete.
        """

    def watch(
        self, resource: Resource, namespace: str | None, selector: str, version: str
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent]]:
        """Open a watch that begins after a resourceVersion, and iterate over its events.

        The iteration ends when the API server ends the watch. It raises `ExpiredError` where the watch cannot continue
        from its last version.
        """


class EventSink(Protocol):
    """Announces what happened, as Kubernetes Events. Never blocks and never fails."""

    def announce(self, instance: HopperInstance, *, reason: str, message: str, warning: bool = False) -> None:
        """Queue one Event about the instance."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """Who may write, as it is written down. No `holder` means nobody; no `version` means not written yet."""

    holder: str
    duration_seconds: int
    acquired: datetime
    renewed: datetime
    transitions: int = 0
    version: str = ""


class LeaseStore(Protocol):
    """One Lease that several processes read and write. All methods raise `ApiError`."""

    async def read(self) -> LeaseRecord | None:
        """Return what is written, None for nothing."""

    async def write(self, record: LeaseRecord) -> LeaseRecord:
        """Create it, or replace exactly the version named; return it with its new version."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody the API server knows, as a token tells."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Reviews(Protocol):
    """Asks the API server who somebody is and what they may do. Methods raise `ApiError`."""

    async def user_of(self, token: str) -> User | None:
        """Return whom a token belongs to; None where it is not accepted."""

    async def may(self, user: User, verb: str, resource: Resource, subresource: str, namespace: str) -> bool:
        """Tell whether the user may do this to the objects of a namespace."""
