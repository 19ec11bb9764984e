"""The `volumes` of a file as a whole: what each of them becomes, and which of them services share."""

from collections.abc import Iterable, Mapping
from typing import Any

from hopper.compose.names import Allocator, object_name
from hopper.compose.project import NamedVolume
from hopper.compose.reading.syntax import size_in_bytes
from hopper.compose.reading.text import as_text
from hopper.compose.report import Report, Reporter
from hopper.compose.section import Section
from hopper.compose.services.config_files import is_off
from hopper.compose.services.resources import memory_quantity
from hopper.compose.services.service import ConvertedService


def convert_named_volumes(raw: Any, about: Reporter) -> dict[str, NamedVolume]:
    """Return the named volumes by the names that services use for them."""
    names = Allocator()
    result: dict[str, NamedVolume] = {}
    for name, definition in raw.items() if isinstance(raw, dict) else ():
        section = Section(definition if isinstance(definition, dict) else {}, about, f"volumes.{name}")
        result[name] = _named_volume(name, section, names)
        section.close()
    return result


def report_sharing(services: Iterable[ConvertedService], external: set[str], file: str, report: Report) -> None:
    """Report the volumes that several services mount: each instance gets a claim of its own."""
    services = list(services)
    for service in services:
        for volume in dict.fromkeys(service.volumes):
            others = [other.service for other in services if volume in other.volumes and other is not service]
            if others and volume not in external:
                message = f"the volume {volume} is not shared with {', '.join(others)}: each instance has its own"
                advice = "Create a claim that all can mount (ReadWriteMany), and set source and external: true"
                report.about(file, service.service).dropped(f"volumes.{volume}", message, advice)


def _named_volume(name: str, section: Section, names: Allocator) -> NamedVolume:
    external, own_name = section.take("external"), section.take("name")
    driver, options = as_text(section.take("driver") or "local"), section.below("driver_opts")
    section.drop("labels", "claims carry no labels of their own", "Label them yourself")
    if not is_off(external):
        given = external.get("name") if isinstance(external, Mapping) else own_name
        source = object_name(as_text(given or name))
        section.about.changed(section.key("external"), f"the PersistentVolumeClaim {source} must exist")
        return NamedVolume(source, external=True)
    if own_name is not None:
        section.about.note(section.key("name"), "claims are named by convention")
    if driver != "local":
        advice = "Create a claim of that storage class, and set its name as source and external: true"
        section.about.dropped(section.key("driver"), f"volumes are not made by the driver {driver}", advice)
    source = names.allocate(name)
    return _with_options(source, options) if options else NamedVolume(source)


def _with_options(source: str, options: Section) -> NamedVolume:
    kind, flags = as_text(options.take("type")), as_text(options.take("o")).split(",")
    device = options.take("device")
    for key in options.unread():
        options.drop(key, "options of volume drivers have no meaning in a cluster", "Remove it")
    if kind == "tmpfs":
        size = next((flag.removeprefix("size=") for flag in flags if flag.startswith("size=")), None)
        amount = size_in_bytes(size) if size else None
        return NamedVolume(source, tmpfs=True, size=memory_quantity(amount) if amount else None)
    if kind or device is not None or any(flags):
        what = "a directory of the machine" if "bind" in flags else f"a mount of type {kind or 'unknown'}"
        advice = "Create a PersistentVolume and a claim for it, and set the claim's name as source and external: true"
        options.about.dropped(options.key("device"), f"it is {what}, and became an empty volume", advice)
    return NamedVolume(source)
