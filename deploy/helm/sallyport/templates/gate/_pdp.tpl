{{- /* The PDP: health is all that its port beyond loopback tells; "" is the process, the service's name its policy set. */ -}}

{{- define "sallyport.pdpContainer" -}}
image: {{ include "sallyport.image" (dict "root" . "name" "pdp") | quote }}
imagePullPolicy: {{ .Values.images.pullPolicy }}
args: [--config, /etc/sallyport/settings/pdp.yaml]
ports:
  - {name: pdp-health, containerPort: 7352}
  - {name: pdp-metrics, containerPort: 7353}
# A first policy set that can't be used must be mended, not restarted: the process is alive, and not ready.
startupProbe:
  grpc: {port: 7352, service: ""}
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 120
livenessProbe:
  grpc: {port: 7352, service: ""}
  # A busy node must not kill what is only slow: a restart would cost it more.
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  grpc: {port: 7352, service: sallyport.authz.v1.AuthorizationService}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
resources:
  {{- toYaml .Values.resources.pdp | nindent 2 }}
securityContext:
  {{- include "sallyport.containerSecurity" . | nindent 2 }}
volumeMounts:
  - {name: settings, mountPath: /etc/sallyport/settings, readOnly: true}
  - {name: policies, mountPath: /etc/sallyport/policies, readOnly: true}
  - {name: pdp-audit-keys, mountPath: /etc/sallyport/audit-keys, readOnly: true}
  {{- if .Values.policies.operatorKeySecret }}
  - {name: operator, mountPath: /etc/sallyport/operator, readOnly: true}
  {{- end }}
  - {name: run, mountPath: /run/sallyport}
  - {name: audit, mountPath: /var/lib/sallyport/audit, subPath: pdp}
{{- end -}}
