{{- define "job" -}}
backoffLimit: 6
activeDeadlineSeconds: 3600
podFailurePolicy:
  rules:
    - action: FailJob
      onExitCodes: {containerName: verify, operator: In, values: [1, 2, 3]}
template:
  metadata:
    labels:
      app.kubernetes.io/name: tritonize-verify
      app.kubernetes.io/instance: {{ .Values.name | quote }}
  spec:
    restartPolicy: Never
    automountServiceAccountToken: false
    enableServiceLinks: false
    securityContext:
      runAsNonRoot: true
      runAsUser: 1000
      runAsGroup: 1000
      seccompProfile: {type: RuntimeDefault}
    containers:
      - name: verify
        image: {{ .Values.verifier | quote }}
        {{- $host := printf "%s-replicas" .Values.name }}
        {{- $urls := list "--url" (printf "http://%s:8000" $host) "--url" (printf "grpc://%s:8001" $host) }}
        args: {{ concat .golden.arguments $urls | toJson }}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {drop: ["ALL"]}
        volumeMounts:
          - {name: golden, mountPath: /golden, readOnly: true}
          - {name: tmp, mountPath: /tmp}
    volumes:
      - name: golden
        {{- if .Values.verification.goldenClaim }}
        persistentVolumeClaim: {claimName: {{ .Values.verification.goldenClaim | quote }}, readOnly: true}
        {{- else }}
        configMap: {name: {{ .golden.name | quote }}}
        {{- end }}
      - name: tmp
        emptyDir: {}
{{- end }}
