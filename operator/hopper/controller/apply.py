"""Apply: write the planned changes to the objects that an instance owns."""

from collections.abc import Iterator
from contextlib import contextmanager

from hopper.api.names import LABEL_INSTANCE
from hopper.api.resources import Manifest, ObjectKey
from hopper.domain.followup import FollowUp, follow_up, unblocking_patch
from hopper.domain.objects import object_key
from hopper.domain.ownership import Adoption, decide_adoption
from hopper.domain.plan import ObjectChanges
from hopper.ports import ConflictError, NameInUseError, NotFoundError, OwnedObjectStore, RefusedError
from hopper.registry import OwnedObjectIndex


class ObjectRefusedError(RefusedError):
    """Refusal of a change to the object `key`, by the API server or because of the owner of an existing object."""

    def __init__(self, key: ObjectKey, error: RefusedError) -> None:
        self.key = key
        kind, name = key
        message = str(error)
        super().__init__(message if name in message else f"{kind} {name}: {message}", code=error.code)


class ObjectApplier:
    """Writer of `ObjectChanges` through a store, which puts the answers into the index.

    All decisions are made by `domain.ownership` and `domain.followup`.
    """

    def __init__(self, index: OwnedObjectIndex, store: OwnedObjectStore) -> None:
        self._index = index
        self._store = store

    async def apply(self, changes: ObjectChanges) -> None:
        """Write the changes in their order, and stop at the first error.

        Raises `ObjectRefusedError` if a change is refused, `NameInUseError` if an object of another owner has to go
        first, and `ConflictError` if objects were adopted, because the plan was made without them.
        """
        for live, change in changes.patch:
            with _naming_object(live):
                self._put(live, await self._store.patch(live, change))
        adopted = []
        for manifest, exists in changes.apply:
            with _naming_object(manifest):
                followup = await self._apply_object(manifest, exists=exists)
            if followup.was_adopted:
                adopted.append(manifest["kind"])
        for live in changes.delete:
            with _naming_object(live):
                await self._store.delete(live)
        if adopted:
            raise ConflictError(f"adopted {', '.join(adopted)}, which the plan did not know")

    async def _apply_object(self, manifest: Manifest, *, exists: bool) -> FollowUp:
        applied = await self._write(manifest, exists=exists)
        self._put(manifest, applied)
        followup = follow_up(manifest, applied, was_known=exists)
        if followup.foreign_field_patch:
            self._put(manifest, await self._store.json_patch(applied, followup.foreign_field_patch))
        return followup

    async def _write(self, manifest: Manifest, *, exists: bool) -> Manifest:
        """Write one object; if that is refused, remove the foreign fields that may be the cause, and try once more."""
        write = self._store.apply if exists else self._create
        try:
            return await write(manifest)
        except RefusedError:
            live = self._indexed(manifest)
            operations = unblocking_patch(manifest, live)
            if live is None or not operations:
                raise
            self._put(manifest, await self._store.json_patch(live, operations))
            return await write(manifest)

    async def _create(self, manifest: Manifest) -> Manifest:
        """Create one object, or adopt the existing one of that name."""
        try:
            return await self._store.create(manifest)
        except ConflictError as conflict:
            try:
                live = await self._store.read(manifest)
            except NotFoundError:
                raise conflict from None
            (owner,) = manifest["metadata"]["ownerReferences"]
            decision = decide_adoption(live, owner)
            if decision.adoption is Adoption.WAIT:
                raise NameInUseError(decision.message) from conflict
            if decision.adoption is Adoption.REFUSE:
                raise RefusedError(decision.message) from conflict
            return await self._store.apply(manifest)

    def _indexed(self, manifest: Manifest) -> Manifest | None:
        metadata = manifest["metadata"]
        owned = self._index.of(metadata["namespace"], metadata["labels"][LABEL_INSTANCE])
        return owned.get(object_key(manifest))

    def _put(self, written: Manifest, answer: Manifest) -> None:
        self._index.put(written["kind"], answer)


@contextmanager
def _naming_object(manifest: Manifest) -> Iterator[None]:
    """Add the name of the object to a refusal."""
    try:
        yield
    except RefusedError as error:
        raise ObjectRefusedError(object_key(manifest), error) from error
