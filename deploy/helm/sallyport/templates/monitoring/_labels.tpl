{{- /* Of what the monitoring system finds by labels; the operator's own win, and no key stands twice. */ -}}
{{- define "sallyport.monitoringLabels" -}}
{{- $own := merge (dict "app.kubernetes.io/component" "monitoring") (include "sallyport.labels" . | fromYaml) -}}
{{- mergeOverwrite $own .Values.monitoring.labels | toYaml -}}
{{- end -}}
