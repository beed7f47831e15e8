{{/*
TOML of a map. Helm's own toToml makes 1.400000001e+09 of an application's number, as all numbers of YAML reach it as
floating point.
*/}}
{{- define "chathook.toml" -}}
{{- range $name, $table := . }}
{{- if kindIs "map" $table }}
[{{ include "chathook.toml.key" $name }}]
{{ include "chathook.toml.table" $table }}
{{- else if kindIs "slice" $table }}
{{- range $table }}
[[{{ include "chathook.toml.key" $name }}]]
{{ include "chathook.toml.table" . }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The lines of a table. */}}
{{- define "chathook.toml.table" -}}
{{- range $key, $value := . }}
{{- if not (kindIs "invalid" $value) }}
{{- include "chathook.toml.key" $key }} = {{ include "chathook.toml.value" $value }}
{{ end }}
{{- end }}
{{- end }}

{{/* A key, in quotes where it needs them. */}}
{{- define "chathook.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toRawJson . }}{{ end }}
{{- end }}

{{/* A value on one line: strings of JSON are strings of TOML. */}}
{{- define "chathook.toml.value" -}}
{{- if kindIs "map" . -}}
{ {{- $sep := " " }}{{ range $key, $value := . }}{{ if not (kindIs "invalid" $value) }}{{ $sep }}{{ include "chathook.toml.key" $key }} = {{ include "chathook.toml.value" $value }}{{ $sep = ", " }}{{ end }}{{ end }} }
{{- else if kindIs "slice" . -}}
[{{ range $i, $item := . }}{{ if $i }}, {{ end }}{{ include "chathook.toml.value" $item }}{{ end }}]
{{- else if and (kindIs "float64" .) (eq . (floor .)) -}}
{{ printf "%.0f" . }}
{{- else -}}
{{ toRawJson . }}
{{- end -}}
{{- end }}
