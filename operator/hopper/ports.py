"""Protocols for everything outside the process, and the records and errors that they use.

`adapters` implements them. Each protocol names its users: `controller`, `gateway`, `watch`, `cli`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from hopper.api.instance import HopperInstance, InstanceStatus
from hopper.api.resources import Manifest, Resource
from hopper.api.template import HopperTemplate, TemplateStatus
from hopper.domain.plan import MetadataChange

ErrorType = TypeVar("ErrorType", bound=Exception)


@dataclass(frozen=True, slots=True)
class Cause:
    """Cause of a rejected request: the path of the field, a message, and a CamelCase reason."""

    field: str
    message: str
    reason: str


class ApiError(Exception):
    """Error of a request to the API server. `code` is the HTTP status, or 0 without a response.

    Subclasses by what the client should do:

    - `NotFoundError` (404): the object does not exist. Its subclass `ExpiredError` (410): list again.
    - `ConflictError` (409): read the object again, then retry. Its subclass `NameInUseError`: wait, then retry.
    - `RefusedError` (400, 403, 422): do not retry until the request, a policy or the permissions change.
    - `UnavailableError` (no response, 401, 429, 5xx): retry later.
    """

    def __init__(self, message: str = "", *, code: int = 0, causes: Sequence[Cause] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.causes = causes


class NotFoundError(ApiError):
    """Error for an object that does not exist."""


class ExpiredError(NotFoundError):
    """Error for a resourceVersion that the API server no longer keeps."""


class ConflictError(ApiError):
    """Error for a write to an object that another client has changed."""


class NameInUseError(ConflictError):
    """Error for a name that an object of an earlier owner still has."""


class RefusedError(ApiError):
    """Rejection of a request by the API server, an admission policy or RBAC."""


class UnavailableError(ApiError):
    """Error without a usable response. The request may have taken effect."""


class FatalError(Exception):
    """Error that ends the process on purpose. Its message says why, and what the user can do."""


def find_error(kind: type[ErrorType], error: BaseException) -> ErrorType | None:
    """Return the first error of a kind in an error or error group, or None."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, (find_error(kind, nested) for nested in error.exceptions)), None)
    return error if isinstance(error, kind) else None


class InstanceStore(Protocol):
    """Writes of HopperInstances. Used by the controller.

    Every write names the resourceVersion it was computed from. Methods raise `ApiError`. Writes return the new object.
    """

    async def write_metadata(self, instance: HopperInstance, change: MetadataChange) -> Manifest:
        """Replace ownerReferences and finalizers."""

    async def write_status(self, instance: HopperInstance, status: InstanceStatus) -> Manifest:
        """Write the difference between the instance's status and `status`."""

    async def delete(self, instance: HopperInstance) -> None:
        """Delete the instance in exactly this version, because a changed one may be meant to stay."""


class TemplateStore(Protocol):
    """Writes of HopperTemplates. Used by the controller."""

    async def write_status(self, template: HopperTemplate, status: TemplateStatus) -> Manifest:
        """Write the difference between the template's status and `status`. Raises `ApiError`."""


class OwnedObjectStore(Protocol):
    """Writes of owned objects. Used by the controller. Methods raise `ApiError` and return the new object."""

    async def read(self, manifest: Manifest) -> Manifest:
        """Read the object with the kind, namespace and name of `manifest`. Raises `NotFoundError`."""

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object with server-side apply. Raises `ConflictError` if its name is in use."""

    async def apply(self, manifest: Manifest) -> Manifest:
        """Apply an object with server-side apply, and take over fields that other field managers own."""

    async def patch(self, live: Manifest, changes: Manifest) -> Manifest:
        """Merge changes into exactly this version of an object."""

    async def json_patch(self, live: Manifest, operations: list[Manifest]) -> Manifest:
        """Apply a JSON patch (RFC 6902)."""

    async def delete(self, live: Manifest) -> None:
        """Delete the object with this uid. Succeed if it does not exist."""


class IntentStore(Protocol):
    """Writes on behalf of callers, with strict field validation. Used by the gateway.

    Methods raise `ApiError`. Create and patch return the new object.
    """

    async def read(self, resource: Resource, namespace: str, name: str) -> Manifest:
        """Read an object from the API server, for a write that needs the newest version."""

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        """Create an object. Raises `ConflictError` if the name exists."""

    async def patch(self, resource: Resource, namespace: str, name: str, changes: Manifest) -> Manifest:
        """Merge changes into an object. `metadata.resourceVersion` and `metadata.uid` act as preconditions."""

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
        """Delete the object with this uid and, if given, this version. `orphan` keeps its dependents."""


class SecretValueStore(Protocol):
    """Writes of Secrets with the secret values of callers. Used by the gateway. Methods raise `ApiError`."""

    async def create(self, namespace: str, manifest: Manifest) -> None:
        """Create a Secret."""

    async def read(self, namespace: str, name: str) -> Mapping[str, str]:
        """Return the values in a Secret that the gateway has made. Raises `NotFoundError`."""


@dataclass(frozen=True, slots=True)
class ListChunk:
    """Some objects of a list. Only the last chunk has the `version` of the list, which holds for all chunks."""

    items: list[Manifest]
    version: str = ""


# The type of a watch event (ADDED, MODIFIED, DELETED or BOOKMARK), and the object.
WatchEvent = tuple[str, Manifest]


class Lister(Protocol):
    """Lists and watches of any kind. Used by watch, gateway and cli. Methods raise `ApiError`."""

    async def serves(self, resource: Resource) -> bool:
        """Whether the API server serves the kind."""

    def chunks(self, resource: Resource, namespace: str | None, selector: str = "") -> AsyncGenerator[ListChunk, None]:
        """Yield all objects in chunks as they arrive. Close the generator to end the request early.

        Raises `UnavailableError` if the list ends before it is complete.
        """

    def watch(
        self, resource: Resource, namespace: str | None, selector: str, version: str
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent]]:
        """Open a watch that starts after a resourceVersion, and provide its events.

        The iterator ends when the API server ends the watch. It raises `ExpiredError` if the watch cannot continue from
        its last version.
        """


class HeartbeatStore(Protocol):
    """Writes of heartbeat shards (`api.heartbeat`). Used by the gateway. Methods raise `ApiError`."""

    async def merge(self, namespace: str, shard: int, changes: Mapping[str, str | None]) -> None:
        """Set the keys with a value and remove those with None. Raises `NotFoundError` if the shard does not exist."""

    async def create(self, namespace: str, shard: int, data: Mapping[str, str]) -> None:
        """Create the shard. Raises `ConflictError` if it exists."""


class EventRecorder(Protocol):
    """Kubernetes Events about instances. Used by the controller."""

    def record(self, instance: HopperInstance, *, reason: str, message: str, warning: bool = False) -> None:
        """Queue one Event. Never blocks and never fails."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """Content of a Lease. An empty `holder` means no leader; an empty `version`, that the Lease does not exist yet."""

    holder: str
    duration_seconds: int
    acquired: datetime
    renewed: datetime
    transitions: int = 0
    version: str = ""


class LeaseStore(Protocol):
    """Lease that replicas share. Used by the controller. Methods raise `ApiError`."""

    async def read(self) -> LeaseRecord | None:
        """Return the content of the Lease, or None if it does not exist."""

    async def write(self, record: LeaseRecord) -> LeaseRecord:
        """Create the Lease, or update exactly `record.version`. Return the content with its new version."""


@dataclass(frozen=True, slots=True)
class User:
    """A user as the API server authenticated it."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class AccessReviews(Protocol):
    """TokenReviews and SubjectAccessReviews. Used by the gateway. Methods raise `ApiError`."""

    async def authenticate(self, token: str) -> User | None:
        """Return the user of a token, or None if the API server rejects the token."""

    async def is_allowed(
        self, user: User, verb: str, resource: Resource, subresource: str, namespace: str, name: str = ""
    ) -> bool:
        """Whether the user may use the verb on the resource in the namespace, for all objects or only for `name`."""
