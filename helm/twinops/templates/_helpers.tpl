{{- define "twinops.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Full name: short enough that "-operator" and the like still fit behind it. */}}
{{- define "twinops.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride }}
{{- else if contains (include "twinops.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "twinops.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "twinops.selectorLabels" -}}
app.kubernetes.io/name: {{ include "twinops.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "twinops.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "twinops.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "twinops.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "twinops.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "twinops.subject" -}}
- kind: ServiceAccount
  name: {{ include "twinops.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* What the operator reads, and what it writes about what it has seen: nothing that changes a workload. */}}
{{- define "twinops.observeRules" -}}
# Patch is for the finalizer; the operator never writes a twin's spec.
- apiGroups: [twinops.dev]
  resources: [digitaltwins]
  verbs: [get, list, watch, patch]
- apiGroups: [twinops.dev]
  resources: [digitaltwins/status]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments, statefulsets, replicasets]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [replicationcontrollers]
  verbs: [get, list, watch]
- apiGroups: ["*"]
  resources: ["*/scale"]
  verbs: [get]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [list, watch]
{{- if .Values.rbac.readPods }}
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- end }}
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- with .Values.rbac.extraObserveRules }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What corrections write, and nothing else. */}}
{{- define "twinops.correctRules" -}}
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [patch]
- apiGroups: ["*"]
  resources: ["*/scale"]
  verbs: [patch]
{{- with .Values.rbac.extraCorrectRules }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What giving back needs, and letting twins go: whether or not corrections may still be made. */}}
{{- define "twinops.giveBackRules" -}}
- apiGroups: [twinops.dev]
  resources: [digitaltwins]
  verbs: [get, list, patch]
- apiGroups: [twinops.dev]
  resources: [digitaltwins/status]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get]
# Known to find what was raised where a twin's status has lost it: watched, or each twin would list them all.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, patch]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [list, watch]
- apiGroups: ["*"]
  resources: ["*/scale"]
  verbs: [get, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- with .Values.rbac.extraObserveRules }}
{{ toYaml . }}
{{- end }}
{{- with .Values.rbac.extraCorrectRules }}
{{ toYaml . }}
{{- end }}
{{- end }}
