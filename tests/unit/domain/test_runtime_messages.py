"""Messages of the kubelet, containerd, CRI-O, Docker and runc: explained, and never copied with a value in them."""

from __future__ import annotations

from typing import Any

import pytest

from hopper.api.conditions import Reason
from hopper.domain.workload import assess_workload
from tests.unit.domain.test_workload import NOW, deployment, pod

CANARY = "canary-7f3a!bird"
IMAGE = "registry.example.com/team/web:1.2"
BACK_OFF = "back-off 5m0s restarting failed container=service pod=hopper-a-5d4f-x_fleet(6d3c0bb1-43a4-4c7e-9d0e-1)"
DESCRIBE = "see kubectl describe pod web-1"

RUNC = "OCI runtime create failed: runc create failed: unable to start container process:"
CONTAINERD = f"failed to create containerd task: failed to create shim task: {RUNC}"
CRIO = 'container create failed: time="2026-03-01T12:00:00Z" level=error msg="runc create failed: '
# Messages of runtimes about a command in which the kubelet has expanded `$(TOKEN)`, with their explanation.
START_ERRORS = (
    (
        f'{CONTAINERD} error during container init: exec: "{CANARY}": executable file not found in $PATH: unknown',
        "the command is not in the $PATH of the image",
    ),
    (
        f'{CONTAINERD} exec: "/bin/{CANARY}": stat /bin/{CANARY}: no such file or directory: unknown',
        "a file or directory does not exist in the image",
    ),
    (f'{CONTAINERD} exec: "/{CANARY}": permission denied: unknown', "permission denied: the user may not"),
    (f"{CONTAINERD} exec /{CANARY}: exec format error: unknown", "the program is for another CPU architecture"),
    (f'{CONTAINERD} exec: "/{CANARY}": is a directory: unknown', "the command is a directory"),
    (
        f'{CONTAINERD} error mounting "/var/lib/{CANARY}" to rootfs at "/etc/x": not a directory: unknown',
        "a volume or config file is mounted over a path of another type",
    ),
    (
        f"failed to create containerd task: failed to create shim task: {RUNC} container init was OOM-killed "
        "(memory limit too low?): unknown",
        "there is too little memory",
    ),
    (
        f'{CRIO}unable to start container process: exec: \\"{CANARY}\\": executable file not found in $PATH"\n',
        "the command is not in the $PATH of the image",
    ),
    (
        f"container create failed: executable file `{CANARY}` not found in $PATH: No such file or directory\n",
        "the command is not in the $PATH of the image",
    ),
    (
        'failed to start container "0123456789ab": Error response from daemon: failed to create task for container: '
        f'failed to create shim task: {RUNC} exec: "{CANARY}": executable file not found in $PATH: unknown',
        "the command is not in the $PATH of the image",
    ),
    (
        'failed to generate container "0123456789ab" spec: failed to generate spec: no command specified',
        "neither the template nor the image has a command",
    ),
    ("unable to find user app: no matching entries in passwd file", "the user or group does not exist in the image"),
    ("context deadline exceeded", "the container runtime did not answer in time"),
)
# Messages that Hopper does not know, because they come from other runtimes or versions.
UNKNOWN_ERRORS = (
    f'creating container: cannot run "{CANARY}" in the sandbox (ENOENT)',
    f'{CONTAINERD} exec: "executable file not found in $PATH {CANARY}',
    f'secret "{CANARY}" not found',
    f'secret "x" not found\n{CANARY}',
    f'{CANARY}: secret "x" not found',
    f"failed to prepare subPath for volumeMount {CANARY!r} of container service",
    f"couldn't find key {CANARY} in Secret fleet/tokens",
    f"back-off {CANARY} restarting failed container=service",
    CANARY,
    CANARY * 100_000,
)
PULLED = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": '
PULL_ERRORS = (
    (f'Back-off pulling image "{IMAGE}": ErrImagePull: {PULLED}{IMAGE}: not found', "the registry has no such image"),
    (f"rpc error: code = NotFound desc = {PULLED}{IMAGE}: not found", "the registry has no such image or tag"),
    (
        f"rpc error: code = Unknown desc = reading manifest 1.2 in {IMAGE}: manifest unknown: manifest unknown",
        "the registry has no such image or tag",
    ),
    (
        f"{PULLED}pull access denied, repository does not exist or may require authorization: server message: "
        "insufficient_scope: authorization failed",
        "the registry refuses access or has no such repository; check the name and imagePullSecrets",
    ),
    (
        f'{PULLED}failed to do request: Head "https://registry.example.com/v2/team/web/manifests/1.2": '
        "dial tcp: lookup registry.example.com on 10.96.0.10:53: no such host",
        "the node cannot reach the registry",
    ),
    (f"{PULLED}unexpected status code: 429 Too Many Requests", "the registry limits the rate of downloads"),
    (f"{PULLED}x509: certificate signed by unknown authority", "the node does not trust the certificate"),
    (f"{PULLED}no match for platform in manifest: not found", "does not support the CPU architecture"),
    (f'Container image "{IMAGE}" is not present with pull policy of Never', "its pull policy is Never"),
)
CONFIG_ERRORS = (
    'secret "tokens" not found',
    'configmap "settings.v2" not found',
    "couldn't find key API_TOKEN in Secret fleet/tokens",
    "couldn't find key level in ConfigMap fleet/settings",
    'container has runAsNonRoot and image will run as root (pod: "web-1_fleet(6d3c0bb1-43a4)", container: service)',
    "container has runAsNonRoot and image has non-numeric user (nginx), cannot verify user is non-root "
    '(pod: "web-1_fleet(6d3c0bb1-43a4)", container: service)',
    "failed to sync secret cache: timed out waiting for the condition",
)


def message_of(waiting: dict[str, str], last: dict[str, Any] | None = None, image: str = IMAGE) -> str:
    failing = pod(waiting=waiting, last=last)
    failing["status"]["containerStatuses"][0]["image"] = image
    workload = assess_workload(deployment(available=0), [failing], NOW)
    assert workload.failure is not None
    assert len(workload.failure.message) < 700
    assert CANARY not in workload.failure.message
    return workload.failure.message


def crash(message: str, reason: str = "StartError") -> dict[str, Any]:
    return {"exitCode": 128, "reason": reason, "message": message}


class TestContainersThatCannotStart:
    @pytest.mark.parametrize("reason", ["RunContainerError", "CreateContainerError", "StartError"])
    @pytest.mark.parametrize(("text", "explanation"), START_ERRORS)
    def test_a_known_error_is_explained(self, reason: str, text: str, explanation: str) -> None:
        assert message_of({"reason": reason, "message": text}).startswith(f"pod web-1: {reason}: {explanation}")

    @pytest.mark.parametrize("reason", ["StartError", "ContainerCannotRun"])
    @pytest.mark.parametrize(("text", "explanation"), START_ERRORS)
    def test_the_end_of_the_last_run_is_explained(self, reason: str, text: str, explanation: str) -> None:
        message = message_of({"reason": "CrashLoopBackOff", "message": BACK_OFF}, crash(text, reason))
        assert f"exit code 128 ({reason}): {explanation}" in message
        assert message.endswith(": back-off 5m0s restarting failed container=service")

    def test_no_message_is_copied_with_a_value(self) -> None:
        for text in (*UNKNOWN_ERRORS, *(text for text, _ in START_ERRORS)):
            for reason in (*Reason, "ErrImagePull", "CreateContainerError", "StartError"):
                waiting = {"reason": str(reason), "message": text}
                first, second = pod(waiting=waiting, last=crash(text)), pod(waiting=waiting, last=crash(text, text))
                for failing in (first, second):
                    assert CANARY not in assess_workload(deployment(available=0), [failing], NOW).message

    @pytest.mark.parametrize("text", UNKNOWN_ERRORS, ids=range(len(UNKNOWN_ERRORS)))
    def test_an_unknown_error_is_replaced_by_a_hint(self, text: str) -> None:
        for reason in ("RunContainerError", "CreateContainerConfigError"):
            assert message_of({"reason": reason, "message": text}) == f"pod web-1: {reason}: {DESCRIBE}"
        message = message_of({"reason": "CrashLoopBackOff", "message": text}, crash(text))
        assert message.endswith(f"exit code 128 (StartError): {DESCRIBE}")

    def test_an_error_without_a_message_has_a_hint(self) -> None:
        assert message_of({"reason": "RunContainerError"}) == f"pod web-1: RunContainerError: {DESCRIBE}"

    def test_the_final_output_of_a_process_is_left_out(self) -> None:
        last = {"exitCode": 3, "reason": "Error", "message": f"cannot log in with {CANARY}"}
        assert message_of({"reason": "CrashLoopBackOff", "message": BACK_OFF}, last) == (
            "pod web-1: CrashLoopBackOff: the process ended with exit code 3 (Error): "
            "back-off 5m0s restarting failed container=service"
        )


class TestContainersThatCannotBeConfigured:
    @pytest.mark.parametrize("text", CONFIG_ERRORS)
    def test_messages_with_names_only_are_kept(self, text: str) -> None:
        message = message_of({"reason": "CreateContainerConfigError", "message": text})
        assert message == f"pod web-1: CreateContainerConfigError: {text}"

    @pytest.mark.parametrize("text", CONFIG_ERRORS)
    def test_these_messages_are_not_kept_when_variables_are_expanded(self, text: str) -> None:
        for reason in ("RunContainerError", "CreateContainerError"):
            assert message_of({"reason": reason, "message": text}) == f"pod web-1: {reason}: {DESCRIBE}"


class TestImages:
    @pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
    @pytest.mark.parametrize(("text", "explanation"), PULL_ERRORS)
    def test_the_message_names_image_and_cause(self, reason: str, text: str, explanation: str) -> None:
        message = message_of({"reason": reason, "message": text})
        assert message.startswith(f'pod web-1: {reason}: image "{IMAGE}" cannot be pulled: ')
        assert explanation in message

    def test_an_unknown_cause_has_a_hint(self) -> None:
        message = message_of({"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{IMAGE}"'})
        assert message == f'pod web-1: ImagePullBackOff: image "{IMAGE}" cannot be pulled: {DESCRIBE}'

    def test_the_name_of_an_image_is_no_cause(self) -> None:
        image = "example.com/unauthorized/x509:not-found"
        message = message_of({"reason": "ErrImagePull", "message": f"{image}: i/o timeout"}, image=image)
        assert message.endswith("the node cannot reach the registry")

    @pytest.mark.parametrize("image", ["", f"u:{CANARY}@example.com/web", "x" * 600, "a b", f"http://u:{CANARY}@h/x"])
    def test_a_malformed_name_is_left_out(self, image: str) -> None:
        for reason in ("ErrImagePull", "InvalidImageName"):
            text = f'Failed to apply default image tag "{image}": couldn\'t parse image name'
            assert "its image" in message_of({"reason": reason, "message": text}, image=image)

    def test_an_invalid_name_is_named(self) -> None:
        message = message_of({"reason": "InvalidImageName", "message": "couldn't parse"}, image="Web:1")
        assert message == 'pod web-1: InvalidImageName: image "Web:1" is not a valid name'
