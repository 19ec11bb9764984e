"""Rules for the seven kinds of entry that a template and an override share.

To CEL, `$remove` is no field (a `$` is not part of any name there), so these rules hold for removals as well: they look
at keys, and at values that a removal has no use for. The one rule that has to tell them apart looks up a key by name.
"""

from hopper.api.cel import Refusal, Rule, Rules
from hopper.api.enums import VolumeType
from hopper.api.names import GROUP, OWN_LABELS, RESERVED_ENV


def service_rules(node: str) -> Rules:
    """Return the rules for everything below `node`, the place in the schema that holds the seven kinds."""
    return {f"{node}.{place}": rules for kind in _KINDS for place, rules in kind.items()}


def _path_rules(field: str) -> tuple[Rule, ...]:
    return (
        Rule(f"self.{field}.startsWith('/')", f"{field} is not absolute: begin it with /", field=field),
        Rule(
            f"!self.{field}.contains('/../') && !self.{field}.endsWith('/..')",
            f"{field} goes up with '..': write the path that is meant",
            field=field,
        ),
    )


_VOLUMES: Rules = {
    "volumes[]": (
        *_path_rules("target"),
        Rule(
            f"self.type != '{VolumeType.BIND}'",
            "type bind would mount a path of the node, which a cluster does not allow: use volume, tmpfs or config",
            Refusal.FORBIDDEN,
            "type",
        ),
        Rule(
            "!has(self.external) || !self.external || has(self.source)",
            "an external volume needs its name: set source, or leave out external",
            Refusal.REQUIRED,
            "source",
        ),
    ),
    "volumes[].size": (Rule(None, "size is not a quantity: write a number and a unit, such as 1Gi"),),
}

_ENV: Rules = {
    "env[]": (
        Rule(
            "!has(self.value) || !has(self.valueFrom)",
            "value and valueFrom exclude each other: remove one of them",
            Refusal.FORBIDDEN,
            "valueFrom",
        ),
        Rule(
            "!has(self.secret) || !self.secret || !has(self.valueFrom) || !has(self.valueFrom.configMapKeyRef)",
            "a value from a ConfigMap cannot be secret: use secretKeyRef, or leave out secret",
            Refusal.FORBIDDEN,
            "secret",
        ),
    ),
    "env[].name": (
        Rule(None, "name begins with a letter or _, followed by letters, digits, _, . and -: rename the variable"),
        *(
            Rule(
                f"!self.startsWith('{prefix}')",
                f"names that begin with {prefix} are kept for the system: rename the variable",
                Refusal.FORBIDDEN,
            )
            for prefix in RESERVED_ENV
        ),
    ),
    "env[].valueFrom": (
        Rule(
            "has(self.secretKeyRef) != has(self.configMapKeyRef)",
            "valueFrom takes exactly one of secretKeyRef and configMapKeyRef: set one, remove the other",
        ),
    ),
}

_LABELS: Rules = {
    "labels[]": (
        Rule(
            f"!self.name.startsWith('{GROUP}/')",
            f"label names below {GROUP}/ are Hopper's own: use another name",
            Refusal.FORBIDDEN,
            "name",
        ),
    ),
    "labels[].name": (
        Rule(None, "name is not a label name: use letters, digits, -, _ and ., with or without a prefix and /"),
        Rule(
            f"!(self in [{', '.join(repr(name) for name in sorted(OWN_LABELS))}])",
            "name is set by the operator, which finds its objects by it: use another name",
            Refusal.FORBIDDEN,
        ),
    ),
    "labels[].value": (
        Rule(None, "value is not a label value: use letters, digits, -, _ and ., a letter or digit at both ends"),
    ),
}

_DOMAINS: Rules = {
    "domains[].domain": (
        Rule(None, "domain is not a host name: use lower-case letters, digits and -, in parts joined by dots"),
    ),
}

_HEALTHCHECK: Rules = {
    "healthcheck": (
        Rule(
            "has(self.test) || '$remove' in dyn(self) && dyn(self)['$remove'] == true",
            "healthcheck has no test: name one as in [CMD-SHELL, curl localhost], [NONE] for no healthcheck, or "
            "$remove: true to take an inherited one away",
            Refusal.REQUIRED,
            "test",
        ),
        Rule(
            "!has(self.test) || size(self.test) == 0 || self.test[0] in ['CMD', 'CMD-SHELL', 'NONE']",
            "test does not begin with CMD, CMD-SHELL or NONE: put one first, as in [CMD-SHELL, curl localhost]",
            field="test",
        ),
    ),
}

_CONFIG_FILES: Rules = {
    "configFiles[]": (
        *_path_rules("path"),
        Rule(
            "!has(self.contentFrom) || !has(self.content) || self.content == ''",
            "content and contentFrom exclude each other: remove one of them",
            Refusal.FORBIDDEN,
            "contentFrom",
        ),
        Rule(
            "!has(self.contentFrom) || !has(self.template) || !self.template",
            "a file from another object is taken as it is: remove template",
            Refusal.FORBIDDEN,
            "template",
        ),
    ),
    "configFiles[].contentFrom": (
        Rule(
            "has(self.secretKeyRef) != has(self.configMapKeyRef)",
            "contentFrom takes exactly one of secretKeyRef and configMapKeyRef: set one, remove the other",
        ),
    ),
    "configFiles[].mode": (Rule(None, "mode is not an octal file mode: write one such as 0644"),),
}

_KINDS = (_VOLUMES, _ENV, _LABELS, _DOMAINS, _HEALTHCHECK, _CONFIG_FILES)
