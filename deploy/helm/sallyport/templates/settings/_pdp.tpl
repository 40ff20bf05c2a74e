{{- /* pdp.yaml. Only health and metrics are beyond the pod's own loopback. */ -}}

{{- define "sallyport.pdpAddress" -}}
{{- ternary "unix:/run/sallyport/pdp.sock" "127.0.0.1:7351" .Values.pdp.socket -}}
{{- end -}}

{{- define "sallyport.auditSettings" -}}
{{- dict
      "directory" "/var/lib/sallyport/audit"
      "signing_key" "/etc/sallyport/audit-keys/signing.key"
      "masking_key" "/etc/sallyport/audit-keys/masking.key" | toJson -}}
{{- end -}}

{{- define "sallyport.pdpSettings" -}}
{{- $reload := dict "tests" .Values.policies.tests "seconds" (int .Values.policies.reloadSeconds) -}}
{{- if .Values.policies.operatorKeySecret -}}{{- $_ := set $reload "operator_key" "/etc/sallyport/operator/operator.key" -}}{{- end -}}
{{- $settings := dict
      "listen" (include "sallyport.pdpAddress" .)
      "health" (printf "%s:7352" .Values.listenAddress)
      "metrics" (printf "%s:7353" .Values.listenAddress)
      "policies" "/etc/sallyport/policies"
      "hop_key" "/run/sallyport/hop.key"
      "audit" (include "sallyport.auditSettings" . | fromJson)
      "reload" $reload
      "limits" (dict "deadline_ms" (int .Values.pdp.deadlineMs) "concurrency" (int .Values.pdp.concurrency)) -}}
{{- toYaml $settings -}}
{{- end -}}
