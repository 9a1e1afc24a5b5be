{{/* Names and other shared values. */}}
{{- define "claviger.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "claviger.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "claviger.name" .) -}}
{{- else -}}
{{- required "serviceAccount.name: must be set where create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "claviger.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "claviger.labels" -}}
{{ include "claviger.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "claviger.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The Secret with certificate and key. */}}
{{- define "claviger.tlsSecret" -}}
{{- if eq (include "claviger.tlsMode" .) "secret" -}}
{{- required "tls.secret: must be set where tls.mode is secret" .Values.tls.secret -}}
{{- else -}}
{{- .Values.tls.secret | default (printf "%s-tls" (include "claviger.name" .)) -}}
{{- end -}}
{{- end -}}

{{/* No default: plain HTTP must be chosen explicitly. */}}
{{- define "claviger.tlsMode" -}}
{{- .Values.tls.mode | required "tls.mode: must be set: certManager, secret, or none for plain HTTP, where the network can read tokens and secrets" -}}
{{- end -}}

{{- define "claviger.port" -}}
{{- if eq (include "claviger.tlsMode" .) "none" }}8080{{ else }}8443{{ end -}}
{{- end -}}

{{/* The URL by which build pods reach the API listener. */}}
{{- define "claviger.url" -}}
{{- $scheme := ternary "http" "https" (eq (include "claviger.tlsMode" .) "none") -}}
{{- printf "%s://%s.%s.svc:%s" $scheme (include "claviger.name" .) .Release.Namespace (include "claviger.port" .) -}}
{{- end -}}

{{/* IP families of a Service. */}}
{{- define "claviger.families" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A setting: the value of the variable in extraEnv, which takes precedence, or that in config. Arguments: the root context, the
variable's name, the value in config. */}}
{{- define "claviger.setting" -}}
{{- $root := index . 0 -}}
{{- $variable := index . 1 -}}
{{- $setting := index . 2 | default "" -}}
{{- range $root.Values.extraEnv -}}
{{- if eq .name $variable -}}
{{- $setting = .value | default "" -}}
{{- end -}}
{{- end -}}
{{- $setting -}}
{{- end -}}

{{/* The ports of the OTLP receiver, if one is configured: that of the endpoint, and that of its pods. */}}
{{- define "claviger.otlpPorts" -}}
{{- $configured := dig "telemetry" "otlpEndpoint" "" .Values.config -}}
{{- $endpoint := include "claviger.setting" (list . "CLAVIGER__TELEMETRY__OTLPENDPOINT" $configured) -}}
{{- if $endpoint -}}
{{- $url := urlParse $endpoint -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- list (int $port) (int (.Values.networkPolicy.otlpPort | default $port)) | uniq | toJson -}}
{{- end -}}
{{- end -}}

{{/* Seconds of a duration such as 90s, 2m or 1h30m. */}}
{{- define "claviger.seconds" -}}
{{- if not (regexMatch "^([0-9]+[hms])+$" .) -}}
{{- fail (printf "config.tickets.maxTtl: %s is not like 90s, 2m or 1h30m; or set terminationGracePeriodSeconds" .) -}}
{{- end -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+[hms]" . -1 -}}
{{- $unit := get (dict "h" 3600 "m" 60 "s" 1) (substr (int (sub (len .) 1)) (len .) .) -}}
{{- $sum = add $sum (mul (int (regexFind "[0-9]+" .)) $unit) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{- define "claviger.gracePeriod" -}}
{{- if .Values.terminationGracePeriodSeconds -}}
{{- .Values.terminationGracePeriodSeconds -}}
{{- else -}}
{{- $longest := include "claviger.setting" (list . "CLAVIGER__TICKETS__MAXTTL" (dig "tickets" "maxTtl" "" .Values.config)) -}}
{{- add (include "claviger.seconds" ($longest | default "15m")) .Values.preStopSeconds 10 -}}
{{- end -}}
{{- end -}}
