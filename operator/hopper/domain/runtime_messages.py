"""Safe explanations of the messages that the kubelet and the container runtime write into the status of a pod.

Such a message can contain the value of a Secret: the kubelet expands `$(NAME)` in `command` and `args`, and the runtime
repeats a command that it cannot start. A message is therefore never copied. Messages of a few fixed shapes, which
contain names of objects only, are kept. Others are replaced by an explanation of the error at their end.
"""

import re

_SEARCHED = 4096
_LONGEST_ENDING = 300
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}"
_POD = rf'( \(pod: "{_NAME}\({_NAME}\)", container: {_NAME}\))?'
_CONFIG_SHAPES = re.compile(
    "|".join(
        (
            rf'(secret|configmap) "{_NAME}" not found',
            rf"couldn't find key [A-Za-z0-9._-]{{1,253}} in (Secret|ConfigMap) {_NAME}/{_NAME}",
            r"failed to sync (secret|configmap) cache: timed out waiting for the condition",
            r"services have not yet been read at least once, cannot construct envvars",
            rf'cannot find volume "{_NAME}" to mount into container "{_NAME}"',
            rf"container has runAsNonRoot and image will run as root{_POD}",
            rf"container has runAsNonRoot and image has non-numeric user \({_NAME}\), "
            rf"cannot verify user is non-root{_POD}",
            rf"container's runAsUser breaks non-root policy{_POD}",
        )
    )
)
_BACK_OFF_SHAPE = re.compile(
    rf"(back-off (?:\d{{1,6}}[hms]){{1,3}} restarting failed container(?:={_NAME})?)"
    rf"(?: pod={_NAME}_{_NAME}\([0-9a-f-]{{1,64}}\))?"
)
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,400}(@[a-z0-9]{1,16}:[a-f0-9]{32,128})?")

# The end of a message about a container that cannot be started. Runtimes put their error after the command.
_START_ERRORS = tuple(
    (re.compile(rf"(?:{ending})(?:: unknown)?[\"'\s]*\Z", re.IGNORECASE), explanation)
    for ending, explanation in (
        (
            r"not found in \$PATH(: No such file or directory)?",
            "the command is not in the $PATH of the image",
        ),
        (r"no such file or directory", "a file or directory does not exist in the image"),
        (r"permission denied", "permission denied: the user may not execute the command or enter the directory"),
        (r"exec format error", "the program is for another CPU architecture, or a script without an interpreter line"),
        (r"is a directory", "the command is a directory"),
        (r"argument list too long", "the command line and the variables are too long"),
        (r"no command specified", "neither the template nor the image has a command"),
        (r"no matching entries in (passwd|group) file", "the user or group does not exist in the image"),
        (r"read-only file system", "the file system is read-only"),
        (r"no space left on device", "the node has no disk space left"),
        (
            r"cannot allocate memory|OOM-killed \(memory limit too low\?\)",
            "there is too little memory; raise resources.limits.memory",
        ),
        (
            r"not a directory|Are you trying to mount a directory onto a file \(or vice-versa\)\?"
            r"( Check if the specified host path exists and is the expected type)?",
            "a volume or config file is mounted over a path of another type",
        ),
        (r"context deadline exceeded", "the container runtime did not answer in time"),
    )
)
# Phrases in a message about an image. Messages of registries contain no variables of the container.
_PULL_ERRORS = tuple(
    (re.compile(phrases, re.IGNORECASE), explanation)
    for phrases, explanation in (
        (r"x509:|tls: ", "the node does not trust the certificate of the registry"),
        (r"toomanyrequests|429 Too Many Requests", "the registry limits the rate of downloads"),
        (
            r"no such host|connection refused|i/o timeout|no route to host|network is unreachable"
            r"|context deadline exceeded",
            "the node cannot reach the registry",
        ),
        (
            r"access denied|access to the resource is denied|authorization failed|unauthorized"
            r"|authentication required|no basic auth|401 Unauthorized|403 Forbidden",
            "the registry refuses access or has no such repository; check the name and imagePullSecrets",
        ),
        (r"no match for platform|no matching manifest", "the image does not support the CPU architecture of the node"),
        (r"no space left on device", "the node has no disk space left"),
        (r"present with pull policy of Never", "the image is not on the node, and its pull policy is Never"),
        (
            r"not found|manifest unknown|name unknown|no such image|manifest for .{0,600} does not exist",
            "the registry has no such image or tag",
        ),
    )
)


def explain_config_error(message: str) -> str:
    """Return why the kubelet cannot configure a container; empty if the message is not of a known shape.

    This error occurs before the kubelet expands variables.
    """
    text = message[:_SEARCHED].strip()
    return text if _CONFIG_SHAPES.fullmatch(text) else ""


def explain_start_error(message: str) -> str:
    """Return why a container cannot be created or started; empty if the message does not end with a known error."""
    return _first_match(_START_ERRORS, message[-_LONGEST_ENDING:])


def explain_back_off(message: str) -> str:
    """Return the time until the next restart of a container; empty if the message is not of a known shape."""
    shape = _BACK_OFF_SHAPE.fullmatch(message[:_SEARCHED].strip())
    return shape[1] if shape else ""


def explain_pull_error(message: str, image: str) -> str:
    """Return why an image cannot be pulled; empty if the message is not of a known shape."""
    # The name of an image can contain one of the phrases.
    text = message[:_SEARCHED].replace(image, "") if image else message[:_SEARCHED]
    return _first_match(_PULL_ERRORS, text)


def image_name(image: str) -> str:
    """Return an image with its name in quotes; without a name if that is malformed or unknown."""
    return f'image "{image}"' if _IMAGE.fullmatch(image) else "its image"


def _first_match(explanations: tuple[tuple[re.Pattern[str], str], ...], text: str) -> str:
    return next((explanation for pattern, explanation in explanations if pattern.search(text)), "")
