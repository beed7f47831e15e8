{{/* The configuration as it is used: the database of the engine sqlite lies on the volume. */}}
{{- define "chathook.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if not (include "chathook.isShared" .) -}}
{{- $_ := set $config.journal "path" "/var/lib/chathook/journal.db" -}}
{{- end -}}
{{- include "chathook.toml" $config | trim -}}
{{- end }}

{{/*
What a running gateway does not take over: a change of it rolls the pods. Everything else goes without a restart, so
that a wrong configuration takes no pod away.
*/}}
{{- define "chathook.restart" -}}
{{- $config := omit .Values.config "app" "decide" "decider" "target" -}}
{{- $callbacks := omit .Values.config.callbacks "path" "max_body" "allow_from" "trusted_proxies" -}}
{{- merge (dict "callbacks" $callbacks) $config | toJson | sha256sum -}}
{{- end }}

{{/* Seconds of a duration such as 1500ms, 5s, 2m, rounded up. */}}
{{- define "chathook.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int64 -}}
{{- if hasSuffix "ms" . }}{{ div (add $number 999) 1000 }}{{ else if hasSuffix "m" . }}{{ mul $number 60 }}{{ else }}{{ $number }}{{ end }}
{{- end }}

{{/* The delay, the grace for callbacks and again for deliveries, and five seconds for closing the journal. */}}
{{- define "chathook.gracePeriod" -}}
{{- $shutdown := .Values.config.shutdown -}}
{{- $delay := include "chathook.seconds" $shutdown.delay -}}
{{- $grace := include "chathook.seconds" $shutdown.grace -}}
{{- add $delay $grace $grace 5 }}
{{- end }}

{{/* What the schema cannot say: keys that contradict each other. */}}
{{- define "chathook.check" -}}
{{- $journal := .Values.config.journal -}}
{{- $replicas := include "chathook.replicas" . | int -}}
{{- if include "chathook.isShared" . }}
{{- if not $journal.nats }}{{ fail "config.journal.nats: is needed with config.journal.engine jetstream" }}{{ end }}
{{- if $journal.max_size }}{{ fail "config.journal.max_size: is for config.journal.engine sqlite only" }}{{ end }}
{{- else }}
{{- if $journal.nats }}{{ fail "config.journal.nats: is for config.journal.engine jetstream only" }}{{ end }}
{{- if gt $replicas 1 }}{{ fail (printf "replicas: %d replicas need config.journal.engine jetstream; with sqlite there can be 1" $replicas) }}{{ end }}
{{- if .Values.autoscaling.enabled }}{{ fail "autoscaling.enabled: needs config.journal.engine jetstream; with sqlite there can be 1 replica" }}{{ end }}
{{- end }}
{{- with .Values.autoscaling }}
{{- if .enabled }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}{{ fail "autoscaling.minReplicas: is more than autoscaling.maxReplicas" }}{{ end }}
{{- if not (or .cpu .callbacksPerSecond) }}{{ fail "autoscaling.cpu: give it, or autoscaling.callbacksPerSecond" }}{{ end }}
{{- if and .cpu (not (dig "requests" "cpu" "" $.Values.resources)) }}{{ fail "resources.requests.cpu: is needed for autoscaling.cpu" }}{{ end }}
{{- end }}
{{- end }}
{{- if eq (include "chathook.port" .Values.config.callbacks.listen) (include "chathook.port" .Values.config.admin.listen) }}
{{- fail "config.admin.listen: has the port of config.callbacks.listen" }}
{{- end }}
{{- if and .Values.monitoring.serviceMonitor.enabled .Values.monitoring.podMonitor.enabled }}
{{- fail "monitoring.podMonitor.enabled: everything would be counted twice beside monitoring.serviceMonitor" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}{{ fail "ingress.host: is needed" }}{{ end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}{{ fail "httpRoute.parentRefs: is needed" }}{{ end }}
{{- range $secret := .Values.secrets }}
{{- range $.Values.volumes }}
{{- if eq .name (printf "secret-%s" $secret) }}{{ fail (printf "volumes: the name %s is taken by the Secret %s" .name $secret) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
