"""Every name that Hopper writes into a cluster: groups, plurals, labels, finalizers, field managers."""

GROUP = "hopper.dev"
VERSION = "v1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "hopper"

INSTANCE_KIND = "HopperInstance"
INSTANCE_PLURAL = "hopperinstances"
INSTANCE_SINGULAR = "hopperinstance"
INSTANCE_SHORT = "hi"

TEMPLATE_KIND = "HopperTemplate"
TEMPLATE_PLURAL = "hoppertemplates"
TEMPLATE_SINGULAR = "hoppertemplate"
TEMPLATE_SHORT = "ht"

# The API server itself keeps Global instances single: only this name is admitted for them.
GLOBAL_NAME = "global"

FIELD_MANAGER = "hopper-operator"
EVENT_SOURCE = "hopper-operator"
# The Lease that replicas of the operator elect their leader by.
LEASE_NAME = "hopper-operator"
FINALIZER = f"{GROUP}/ordered-deletion"
# Set by the API server on `kubectl delete --cascade=orphan` while garbage collection strips ownerReferences.
ORPHAN_FINALIZER = "orphan"

LABEL_INSTANCE = f"{GROUP}/instance"
LABEL_SCOPE = f"{GROUP}/scope"

# Everything that instances own carries this, and is watched by it.
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "hopper"
