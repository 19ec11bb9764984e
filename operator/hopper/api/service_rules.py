"""CEL rules for the seven kinds of entries that templates and overrides share.

CEL cannot name the field `$remove`, because `$` is not allowed in identifiers. So these rules apply to removals too:
they check the keys, and values that a removal does not need. Only the rule for health checks looks up `$remove` by key.
"""

from hopper.api.cel import FieldErrorReason, Rule, Rules
from hopper.api.enums import VolumeType
from hopper.api.names import GROUP, OWN_LABELS, RESERVED_ENV


def service_rules(node: str) -> Rules:
    """Return the rules for the seven kinds of entries below `node`, such as `spec.overrides`."""
    return {f"{node}.{path}": rules for kind in _KINDS for path, rules in kind.items()}


def _path_rules(field: str) -> tuple[Rule, ...]:
    return (
        Rule(f"self.{field}.startsWith('/')", f"{field} is not absolute; start it with '/'", field=field),
        Rule(
            f"!self.{field}.contains('/../') && !self.{field}.endsWith('/..')",
            f"{field} contains '..'; set the path without it",
            field=field,
        ),
        Rule(
            f"!self.{field}.contains('//')",
            f"{field} contains '//'; set the path with single slashes",
            field=field,
        ),
    )


_VOLUMES: Rules = {
    "volumes[]": (
        *_path_rules("target"),
        Rule(
            f"self.type != '{VolumeType.BIND}'",
            "type bind is not supported, because it would mount a path of the node; use volume, tmpfs or config",
            FieldErrorReason.FORBIDDEN,
            "type",
        ),
        Rule(
            "!has(self.external) || !self.external || has(self.source)",
            "source is required for an external volume; set source, or remove external",
            FieldErrorReason.REQUIRED,
            "source",
        ),
    ),
    "volumes[].size": (Rule(None, "size is not a quantity; set a number with a unit, such as 1Gi"),),
}

_ENV: Rules = {
    "env[]": (
        Rule(
            "!has(self.value) || !has(self.valueFrom)",
            "value and valueFrom are mutually exclusive; remove one of them",
            FieldErrorReason.FORBIDDEN,
            "valueFrom",
        ),
        Rule(
            "!has(self.secret) || !self.secret || !has(self.valueFrom) || !has(self.valueFrom.configMapKeyRef)",
            "secret does not apply to a value from a ConfigMap; use secretKeyRef, or remove secret",
            FieldErrorReason.FORBIDDEN,
            "secret",
        ),
    ),
    "env[].name": (
        Rule(
            None,
            "name is not a valid variable name; start it with a letter or '_', followed by letters, digits, '_', '.' "
            "and '-'",
        ),
        *(
            Rule(
                f"!self.startsWith('{prefix}')",
                f"names that start with {prefix} are reserved; rename the variable",
                FieldErrorReason.FORBIDDEN,
            )
            for prefix in RESERVED_ENV
        ),
    ),
    "env[].valueFrom": (
        Rule(
            "has(self.secretKeyRef) != has(self.configMapKeyRef)",
            "valueFrom needs exactly one of secretKeyRef and configMapKeyRef; set one, and remove the other",
        ),
    ),
}

_LABELS: Rules = {
    "labels[]": (
        Rule(
            f"!self.name.startsWith('{GROUP}/')",
            f"label names that start with {GROUP}/ are reserved; use another name",
            FieldErrorReason.FORBIDDEN,
            "name",
        ),
    ),
    "labels[].name": (
        Rule(
            None,
            "name is not a valid label name; use letters, digits, '-', '_' and '.', with an optional prefix and '/'",
        ),
        Rule(
            f"!(self in [{', '.join(repr(name) for name in sorted(OWN_LABELS))}])",
            "name is reserved, because the operator sets this label; use another name",
            FieldErrorReason.FORBIDDEN,
        ),
    ),
    "labels[].value": (
        Rule(
            None,
            "value is not a valid label value; use letters, digits, '-', '_' and '.', with a letter or digit at both "
            "ends",
        ),
    ),
}

_DOMAINS: Rules = {
    "domains[].domain": (
        Rule(None, "domain is not a valid host name; use lower-case letters, digits and '-', in parts joined by dots"),
    ),
}

_HEALTHCHECK: Rules = {
    "healthcheck": (
        Rule(
            "has(self.test) || '$remove' in dyn(self) && dyn(self)['$remove'] == true",
            "test is required; set one such as [CMD-SHELL, curl localhost], or [NONE] for no health check, or set "
            "$remove: true to remove the inherited health check",
            FieldErrorReason.REQUIRED,
            "test",
        ),
        Rule(
            "!has(self.test) || size(self.test) == 0 || self.test[0] in ['CMD', 'CMD-SHELL', 'NONE']",
            "test does not start with CMD, CMD-SHELL or NONE; add one, as in [CMD-SHELL, curl localhost]",
            field="test",
        ),
    ),
}

_CONFIG_FILES: Rules = {
    "configFiles[]": (
        *_path_rules("path"),
        Rule(
            "!has(self.contentFrom) || !has(self.content) || self.content == ''",
            "content and contentFrom are mutually exclusive; remove one of them",
            FieldErrorReason.FORBIDDEN,
            "contentFrom",
        ),
        Rule(
            "!has(self.contentFrom) || !has(self.template) || !self.template",
            "template does not apply to a file from contentFrom; remove template",
            FieldErrorReason.FORBIDDEN,
            "template",
        ),
    ),
    "configFiles[].contentFrom": (
        Rule(
            "has(self.secretKeyRef) != has(self.configMapKeyRef)",
            "contentFrom needs exactly one of secretKeyRef and configMapKeyRef; set one, and remove the other",
        ),
    ),
    "configFiles[].mode": (Rule(None, "mode is not an octal file mode; set one such as 0644"),),
}

_KINDS = (_VOLUMES, _ENV, _LABELS, _DOMAINS, _HEALTHCHECK, _CONFIG_FILES)
