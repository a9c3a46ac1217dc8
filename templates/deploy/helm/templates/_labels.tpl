{{- define "selector" -}}
app.kubernetes.io/name: triton
app.kubernetes.io/instance: {{ .Values.name | quote }}
{{- end }}
{{- define "labels" -}}
{{ include "selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
{{- end }}
