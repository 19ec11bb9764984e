{{/*
An admission policy with its binding. Takes root, name, spec (YAML without failurePolicy), and optionally actions.
A policy that cannot be evaluated rejects the request, because it guards permissions.
*/}}
{{- define "hopper.admissionPolicy" -}}
{{- $metadata := include "hopper.metadata" . -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  {{- $metadata | nindent 2 }}
spec:
  failurePolicy: Fail
  {{- .spec | nindent 2 }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  {{- $metadata | nindent 2 }}
spec:
  policyName: {{ .name }}
  validationActions: {{ .actions | default (list "Deny") | toJson }}
{{- end }}

{{/* Users for whom the policies about authors do not hold: the gateway, which authorizes its callers itself. */}}
{{- define "hopper.trustedAuthors" -}}
{{- $users := list -}}
{{- if .Values.gateway.enabled -}}
{{- $users = append $users (include "hopper.gateway.username" .) -}}
{{- end -}}
{{- concat $users .Values.admission.trustedAuthors | default list | toJson | replace "\"" "'" -}}
{{- end }}

{{- define "hopper.gateway.username" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "hopper.gateway.serviceAccount" . }}
{{- end }}

{{- define "hopper.operator.username" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "hopper.operator.serviceAccount" . }}
{{- end }}
