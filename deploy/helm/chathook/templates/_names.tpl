{{- define "chathook.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for `-admin` and for the hash that a StatefulSet puts behind it. */}}
{{- define "chathook.fullname" -}}
{{- $name := include "chathook.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 47 | trimSuffix "-" }}
{{- end }}

{{- define "chathook.serviceAccount" -}}
{{- $name := .Values.serviceAccount.name -}}
{{- if .Values.serviceAccount.create }}{{ default (include "chathook.fullname" .) $name }}{{ else }}{{ default "default" $name }}{{ end }}
{{- end }}

{{- define "chathook.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest }}{{ printf "%s@%s" $image.repository $image.digest }}{{ else }}{{ printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) }}{{ end }}
{{- end }}

{{/* What never changes in the life of a release. */}}
{{- define "chathook.selector" -}}
app.kubernetes.io/name: {{ include "chathook.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end }}

{{/* Takes a list: the context, and the component. */}}
{{- define "chathook.labels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "chathook.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Whether the journal is shared, and any number of replicas may run. */}}
{{- define "chathook.isShared" -}}
{{- if eq .Values.config.journal.engine "jetstream" }}true{{ end }}
{{- end }}

{{- define "chathook.replicas" -}}
{{- if kindIs "invalid" .Values.replicas }}{{ ternary 2 1 (eq (include "chathook.isShared" .) "true") }}{{ else }}{{ int .Values.replicas }}{{ end }}
{{- end }}

{{/* The port at the end of an address. */}}
{{- define "chathook.port" -}}
{{- splitList ":" . | last }}
{{- end }}
