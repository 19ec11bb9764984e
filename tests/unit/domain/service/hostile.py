"""Malicious or mistaken overrides. Each must be rejected with an error that names the field."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

Wire = dict[str, Any]

# The template that the overrides apply to.
TEMPLATE: Wire = {
    "image": "web:1",
    "ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
    "volumes": [
        {"target": "/data", "source": "data"},
        {"target": "/settings", "type": "config", "source": "settings"},
    ],
    "env": [{"name": "TZ", "value": "Etc/UTC"}, {"name": "PASSWORD", "value": "s3cret-canary", "secret": True}],
    "configFiles": [{"path": "/etc/app/app.conf", "content": "x"}],
}


class RejectedBy(Enum):
    """Check that rejects an override."""

    STRICT = auto()  # strict field validation, because the schema has no such field; otherwise the field is pruned
    SERVER = auto()  # the API server by the CRD schema and its rules, and `find_problems`
    OPERATOR = auto()  # `find_problems`, because only the effective service shows the problem


@dataclass(frozen=True, slots=True)
class HostileOverride:
    """Overrides, and the field that the error must name."""

    overrides: Wire
    field: str
    by: RejectedBy


def _strict(overrides: Wire, field: str) -> HostileOverride:
    return HostileOverride(overrides, field, RejectedBy.STRICT)


def _server(overrides: Wire, field: str) -> HostileOverride:
    return HostileOverride(overrides, field, RejectedBy.SERVER)


def _operator(overrides: Wire, field: str) -> HostileOverride:
    return HostileOverride(overrides, field, RejectedBy.OPERATOR)


def _file(path: str = "/etc/app/x", **fields: Any) -> Wire:
    return {"configFiles": [{"path": path, **fields}]}


def _text(content: str) -> Wire:
    return _file(content=content, template=True)


def _volume(target: str = "/x", **fields: Any) -> Wire:
    return {"volumes": [{"target": target, **fields}]}


def _env(name: str = "X", **fields: Any) -> Wire:
    return {"env": [{"name": name, **fields}]}


def _label(name: str, value: str = "x") -> Wire:
    return {"labels": [{"name": name, "value": value}]}


_SECRET = {"secretKeyRef": {"name": "s", "key": "k"}}
_BIG = "x" * 262144

HOSTILE: dict[str, HostileOverride] = {
    # Fields that the schema does not have.
    "privileged": _strict({"privileged": True}, "privileged"),
    "the host's network": _strict({"hostNetwork": True}, "hostNetwork"),
    "the host's processes": _strict({"hostPID": True}, "hostPID"),
    "a foreign service account": _strict({"serviceAccountName": "admin"}, "serviceAccountName"),
    "a security context": _strict({"securityContext": {"runAsUser": 0}}, "securityContext"),
    "another image": _strict({"image": "evil:1"}, "image"),
    "another command": _strict({"command": ["sh"]}, "command"),
    "another user": _strict({"user": "0"}, "user"),
    "another security profile": _strict({"securityProfile": "Baseline"}, "securityProfile"),
    "annotations": _strict({"annotations": [{"name": "a", "value": "b"}]}, "annotations"),
    "an init container": _strict({"initContainers": [{"name": "a", "image": "evil:1"}]}, "initContainers"),
    "a node": _strict({"nodeName": "control-plane"}, "nodeName"),
    "a hostPath inside a volume": _strict(_volume(hostPath={"path": "/"}), "hostPath"),
    "a sub-path of a volume": _strict(_volume(subPath="../../etc"), "subPath"),
    "mount propagation": _strict(_volume(mountPropagation="Bidirectional"), "mountPropagation"),
    "a field of the pod as a value": _strict(
        _env(valueFrom={**_SECRET, "fieldRef": {"fieldPath": "spec.nodeName"}}), "fieldRef"
    ),
    "an HTTP healthcheck of another host": _strict(
        {"healthcheck": {"test": ["CMD", "true"], "httpGet": {"host": "169.254.169.254"}}}, "httpGet"
    ),
    "annotations of an ingress": _strict(
        {"domains": [{"domain": "a.b", "annotations": {"snippet": "x"}}]}, "annotations"
    ),
    # Volumes.
    "a path of the node": _server(_volume(type="bind", source="/"), ".type"),
    "the container runtime's socket": _server(
        _volume("/var/run/docker.sock", type="bind", source="/var/run/docker.sock"), ".type"
    ),
    "an unknown kind of volume": _server(_volume(type="hostPath"), "type"),
    "a mount with .. in its path": _server(_volume("/data/../etc"), "target"),
    "a relative mount": _server(_volume("etc"), "target"),
    "a path instead of a volume name": _operator(_volume(source="/etc"), "volumes[/x].source"),
    "a relative path instead of a volume name": _operator(_volume(source="../etc"), "volumes[/x].source"),
    "a home directory": _operator(_volume(source="~/.ssh"), "volumes[/x].source"),
    "a mount over the image": _operator(_volume("/"), "volumes[/].target"),
    "a mount over /proc": _operator(_volume("/proc/sys"), "volumes[/proc/sys].target"),
    "a mount over the service account token": _operator(
        _volume("/var/run/secrets/kubernetes.io/serviceaccount"), ".target"
    ),
    "a mount with an option": _operator(_volume("/x:rw,exec"), ".target"),
    "a mount with a line break": _operator(_volume("/x\ny"), ".target"),
    "a mount with a path that is not normalized": _operator(_volume("/./data"), ".target"),
    "two mounts at one path": _operator(_volume("/data/"), "volumes[/data/].target"),
    "two volumes with one claim name": _operator(_volume(source="DATA"), "volumes[/x].source"),
    "an external claim given as a path": _operator(_volume(external=True, source="a/b"), "volumes[/x].source"),
    "a claim without a name": _server(_volume(external=True), "source"),
    "a ConfigMap without a name": _operator(_volume(type="config"), "volumes[/x].source"),
    "an external tmpfs": _operator(_volume(type="tmpfs", external=True, source="a"), "volumes[/x].external"),
    "a size that is no quantity": _server(_volume(size="1Gi; rm -rf /"), "size"),
    "a size of zero": _operator(_volume(size="0"), "volumes[/x].size"),
    "a size of half a byte": _operator(_volume(size="500m"), "volumes[/x].size"),
    # Files.
    "a file with .. in its path": _server(_file("/etc/../../root/.ssh/authorized_keys"), "path"),
    "a file with .. at the end of its path": _server(_file("/etc/app/.."), "path"),
    "a relative file": _server(_file("etc/passwd"), "path"),
    "a file over /dev": _operator(_file("/dev/shm/x"), "configFiles[/dev/shm/x].path"),
    "a file in /proc": _operator(_file("/proc/1/environ"), ".path"),
    "a file path that is a directory": _operator(_file("/etc/"), ".path"),
    "a file below a file": _operator(_file("/etc/app/app.conf/x"), ".path"),
    "a file at the path of a volume": _operator(_file("/data"), ".path"),
    "a file in a ConfigMap's volume": _operator(_file("/settings/x"), ".path"),
    "a file with a zero byte in its name": _operator(_file("/etc/x\0y"), ".path"),
    "a file mode with setuid": _server(_file(mode="4755"), "mode"),
    "a huge file": _server(_file(content=_BIG + "x"), "content"),
    "small files that are huge after rendering": _operator(
        {
            "env": [{"name": "BIG", "value": "x" * 32768}],
            "configFiles": [
                {"path": f"/etc/app/{n}", "content": "{{ env.BIG }}" * 16, "template": True} for n in range(3)
            ],
        },
        "configFiles",
    ),
    "a file that is huge after rendering": _operator(
        {"env": [{"name": "BIG", "value": "x" * 32768}], **_text("{{ env.BIG }}" * 17)}, ".content"
    ),
    # Templated files.
    "a loop": _operator(_text("{% for i in ports %}x{% endfor %}"), ".content"),
    "an endless loop": _operator(_text("{% for a in range(999999999) %}x{% endfor %}"), ".content"),
    "a call": _operator(_text("{{ instance.name.upper() }}"), ".content"),
    "Python classes through a literal": _operator(_text("{{ ''.__class__.__mro__[1].__subclasses__() }}"), ".content"),
    "Python classes through a filter": _operator(_text("{{ instance|attr('__class__') }}"), ".content"),
    "Python globals through a value": _operator(_text("{{ instance.__init__.__globals__ }}"), ".content"),
    "the environment of the operator": _operator(_text("{{ environ.KUBERNETES_SERVICE_HOST }}"), ".content"),
    "the template object of a template engine": _operator(_text("{{ self.__init__ }}"), ".content"),
    "a file of the operator": _operator(_text("{% include '/etc/passwd' %}"), ".content"),
    "an import": _operator(_text("{% import 'os' as os %}"), ".content"),
    "a macro that calls itself": _operator(_text("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}"), ".content"),
    "a huge power": _operator(_text("{{ 9 ** 9 ** 9 }}"), ".content"),
    "a huge repeated text": _operator(_text("{{ 'x' * 999999999 }}"), ".content"),
    "deeply nested brackets": _operator(_text("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}"), ".content"),
    "a value that does not exist": _operator(_text("{{ instance.uid }}"), ".content"),
    "a text that grows with each filter": _operator(_text("{{ instance.name" + "|tojson" * 38 + " }}"), ".content"),
    "a file from a Secret of another namespace": _operator(
        _file(contentFrom={"secretKeyRef": {"name": "kube-system/token", "key": "k"}}), "secretKeyRef.name"
    ),
    "a file from a key with ..": _operator(_file(contentFrom={"secretKeyRef": {"name": "s", "key": "../x"}}), ".key"),
    "a file from an empty source": _server(_file(contentFrom={}), "contentFrom"),
    "a file with content and a source": _server(_file(content="x", contentFrom=_SECRET), "contentFrom"),
    "a template from a Secret": _server(_file(template=True, contentFrom=_SECRET), "template"),
    # Environment.
    "the address of the API server": _server(_env("KUBERNETES_SERVICE_HOST", value="evil"), "name"),
    "a variable of the operator": _server(_env("HOPPER_TOKEN", value="x"), "name"),
    "an invalid variable name": _server(_env("A=B", value="x"), "name"),
    "a value and a reference": _server(_env(value="x", valueFrom=_SECRET), "valueFrom"),
    "an empty reference": _server(_env(valueFrom={}), "valueFrom"),
    "a secret from a ConfigMap": _server(
        _env(secret=True, valueFrom={"configMapKeyRef": {"name": "c", "key": "k"}}), "secret"
    ),
    "neither value nor reference": _operator(_env("TZ"), "env[TZ]"),
    "a Secret of another namespace": _operator(
        _env(valueFrom={"secretKeyRef": {"name": "kube-system/token", "key": "k"}}), "secretKeyRef.name"
    ),
    "a key with ..": _operator(_env(valueFrom={"secretKeyRef": {"name": "s", "key": "../x"}}), ".key"),
    "a value with a zero byte": _operator(_env(value="a\0b"), "env[X].value"),
    "a reference cycle": _operator(
        {"env": [{"name": "A", "value": "$(B)"}, {"name": "B", "value": "$(A)"}]}, "env[A].value"
    ),
    "a huge value": _server(_env(value="x" * 32769), "value"),
    "huge values": _operator({"env": [{"name": f"A{n}", "value": "x" * 32768} for n in range(30)]}, "env"),
    # Labels.
    "the label of another instance": _server(_label("hopper.dev/instance", "other"), "name"),
    "the label of paused instances": _server(_label("hopper.dev/paused", "true"), "name"),
    "the label of the operator": _server(_label("app.kubernetes.io/managed-by", "Helm"), "name"),
    "the label of the instance": _server(_label("app.kubernetes.io/instance", "other"), "name"),
    "a label of Pod Security": _operator(_label("pod-security.kubernetes.io/enforce", "privileged"), ".name"),
    "a label of the node": _operator(_label("node-role.kubernetes.io/control-plane", ""), ".name"),
    "a label of the Deployment": _operator(_label("pod-template-hash", "1"), ".name"),
    "a label with a line break": _server(_label("a\nb"), "name"),
    "a label value with a line break": _server(_label("a", "x\ny: z"), "value"),
    "a label value that is too long": _server(_label("a", "x" * 64), "value"),
    "a label prefix that is too long": _operator(_label("a" * 100 + ".b/x"), ".name"),
    # Ports, domains, healthcheck.
    "one Service port twice": _operator({"ports": [{"containerPort": 81, "hostPort": 80}]}, "ports[81/TCP].hostPort"),
    "an invalid IP address": _operator({"ports": [{"containerPort": 80, "hostIP": "$(id)"}]}, ".hostIP"),
    "a port out of range": _server({"ports": [{"containerPort": 0}]}, "containerPort"),
    "a domain with a path": _server({"domains": [{"domain": "a.b/c"}]}, "domain"),
    "a domain that is an address": _operator({"domains": [{"domain": "169.254.169.254"}]}, "domains["),
    "a domain label that is too long": _operator({"domains": [{"domain": "a" * 64 + ".b"}]}, "domains["),
    "a domain to an unknown port": _operator(
        {"domains": [{"domain": "a.b", "proxyPort": 22}]}, "domains[a.b].proxyPort"
    ),
    "a domain to a UDP port": _operator({"domains": [{"domain": "a.b", "proxyPort": 53}]}, "domains[a.b].proxyPort"),
    "a healthcheck of an unknown kind": _server({"healthcheck": {"test": ["EXEC", "rm", "-rf", "/"]}}, "healthcheck"),
    "a healthcheck with words after NONE": _operator({"healthcheck": {"test": ["NONE", "sh"]}}, "healthcheck.test"),
    "a healthcheck without program": _operator({"healthcheck": {"test": ["CMD"]}}, "healthcheck.test"),
    "a healthcheck with two command lines": _operator(
        {"healthcheck": {"test": ["CMD-SHELL", "a", "b"]}}, "healthcheck.test"
    ),
    "a healthcheck with a zero byte": _operator({"healthcheck": {"test": ["CMD", "a\0b"]}}, "healthcheck.test"),
    "a healthcheck without interval": _server(
        {"healthcheck": {"test": ["CMD", "a"], "intervalSeconds": 0}}, "intervalSeconds"
    ),
}
