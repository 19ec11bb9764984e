{{/*
Every right that the operator and the gateway use, and none that they do not: tests/cluster/test_rights.py compares them
with the requests that the API server has seen. Applying an object that is not there yet takes create as well as patch.
*/}}
{{- define "hopper.operator.rules" -}}
- apiGroups: [hopper.dev]
  resources: [hopperinstances]
  verbs: [list, watch, patch, delete]
- apiGroups: [hopper.dev]
  resources: [hopperinstances/status, hoppertemplates/status]
  verbs: [patch]
# Where owners are protected (OwnerReferencesPermissionEnforcement, as on OpenShift), it takes this to block their deletion.
- apiGroups: [hopper.dev]
  resources: [hopperinstances/finalizers]
  verbs: [update]
- apiGroups: [hopper.dev]
  resources: [hoppertemplates]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [configmaps, persistentvolumeclaims, secrets, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* The Lease lies in the namespace of the release. A name cannot limit create. */}}
{{- define "hopper.operator.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [hopper-operator]
  verbs: [get, patch]
{{- end }}

{{/* What its callers may do is asked about each of them; this is what all of them together may do. */}}
{{- define "hopper.gateway.rules" -}}
- apiGroups: [hopper.dev]
  resources: [hopperinstances, hoppertemplates]
  verbs: [get, list, watch, create, patch, delete]
# Heartbeats.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [list, watch, create]
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [hopper-heartbeats-0, hopper-heartbeats-1, hopper-heartbeats-2, hopper-heartbeats-3]
  verbs: [patch]
{{- if eq .Values.gateway.auth "apikey" }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [list, watch]
{{- end }}
{{- end }}

{{/* Who somebody is, and what they may do, is asked of the whole cluster. */}}
{{- define "hopper.gateway.clusterRules" -}}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}

{{/* A role and its binding. Takes root, component, name, rules, serviceAccount, and namespace: none for the cluster. */}}
{{- define "hopper.grant" -}}
{{- $kind := ternary "Role" "ClusterRole" (hasKey . "namespace") -}}
{{- $metadata := include "hopper.metadata" . -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  {{- $metadata | nindent 2 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  {{- $metadata | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .serviceAccount }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
