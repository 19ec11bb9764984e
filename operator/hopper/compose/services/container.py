"""Conversion of `image`, `working_dir` and `user`."""

import re

from hopper.api.enums import SecurityProfile
from hopper.compose.project import ComposeProject
from hopper.compose.reading.tracked_text import as_text, is_blank, unresolved_variables
from hopper.compose.section import Section
from hopper.domain.service.problems.container import is_image

_MAX_IMAGE = 1024
_MAX_PATH = 1024
_USER_ID = re.compile(r"\d{1,10}")


def convert_image(name: str, section: Section, project: ComposeProject) -> str:
    """Return the image. For an image that has to be built, return the name that docker compose gives it."""
    raw = section.take("image")
    image = as_text(raw).strip()
    built = f"{project.name}-{name.lower()}:latest"
    built = built if _is_valid_image(built) else "to-be-built:latest"
    if raw is None or not image:
        if "build" in section:
            section.reporter.changed("image", f"the image is named {built} until you set another name")
        elif is_blank(raw) or "extends" in section:
            section.reporter.changed("image", f"the image is unknown, and named {built} until you set it")
        elif "provider" not in section:
            section.reporter.problem("image", "the service has neither image nor build", "add the image")
        return built
    if unresolved_variables(raw) and (image.endswith((":", "@")) or not _is_valid_image(image)):
        prefix = image.rstrip(":@")
        image = prefix if _is_valid_image(prefix) else built
        message = f"the image became {image}, because variables in it have no value"
        section.reporter.changed("image", message, "Set the correct image")
    elif not _is_valid_image(image):
        untagged = image.rpartition(":")[0].strip()
        image = untagged if _is_valid_image(untagged) else built
        advice = "Write it as in nginx:1.29, or set image in the template"
        section.reporter.dropped("image", f"the value is not an image name; the image became {image}", advice)
    return image


def convert_working_dir(section: Section) -> str | None:
    """Return the working directory, or None to keep the one of the image."""
    raw = section.take("working_dir")
    if raw is None or is_blank(raw):
        return None
    text = as_text(raw)
    if not text.startswith("/") or len(text) > _MAX_PATH:
        message = "the path is not absolute, and Hopper does not know the working directory of the image"
        section.reporter.dropped("working_dir", message, "Write a path that begins with /")
        return None
    return text


def convert_user(section: Section) -> tuple[str | None, SecurityProfile]:
    """Return the numeric user, and the security profile that it allows."""
    raw = section.take("user")
    text = as_text(raw).strip()
    user = ":".join("0" if part == "root" else part for part in text.split(":"))
    if not text or is_blank(raw):
        user = ""
    elif not all(_USER_ID.fullmatch(part) for part in user.split(":", 1)):
        # Variables without a value are reported where they are replaced.
        if not unresolved_variables(raw):
            advice = "Set user in the template to the number that `id` prints in a container of the image"
            section.reporter.dropped("user", "a user name has no meaning outside the image", advice)
        user = ""
    if user and all(int(part) for part in user.split(":")):
        return user, SecurityProfile.RESTRICTED
    message = f"{SecurityProfile.BASELINE.value}, because the container may run as root"
    advice = "If the image can run as another user, set user and securityProfile: Restricted"
    section.reporter.note("securityProfile", message, advice)
    return user or None, SecurityProfile.BASELINE


def _is_valid_image(text: str) -> bool:
    return is_image(text) and len(text) <= _MAX_IMAGE
