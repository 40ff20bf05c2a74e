{{- /*
A ConfigMap of the operators: made at the first install, then never touched again by an upgrade, a rollback or an
uninstall, so that none of them brings a revoked permit back. A hook isn't part of the release's manifest, which a
rollback would restore; `lookup` keeps a second install from replacing what an earlier one left.
*/ -}}
{{- define "sallyport.keptConfigMap" -}}
{{- $name := printf "%s-%s" (include "sallyport.fullname" .root) .part -}}
{{- $given := index .root.Values.policies.existing .part -}}
{{- if and (not $given) (not (lookup "v1" "ConfigMap" .root.Release.Namespace $name)) }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}
  labels:
    {{- include "sallyport.labels" .root | nindent 4 }}
    app.kubernetes.io/component: policies
  annotations:
    helm.sh/hook: pre-install
    helm.sh/hook-weight: "-10"
    helm.sh/hook-delete-policy: hook-failed
    helm.sh/resource-policy: keep
data:
  {{- range $file, $text := .data }}
  {{ $file }}: |
    {{- $text | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}
