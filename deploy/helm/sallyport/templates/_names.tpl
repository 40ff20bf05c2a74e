{{- /* Names, labels and images. Everything that two templates must agree on stands here once. */ -}}

{{- /* At most 40 characters; what is cut is told apart by a digest, or two releases could share what an operator owns. */ -}}
{{- define "sallyport.fullname" -}}
{{- $whole := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- if gt (len $whole) 40 -}}
{{- printf "%s-%s" ($whole | trunc 31 | trimSuffix "-") (sha256sum $whole | trunc 8) -}}
{{- else -}}
{{- $whole -}}
{{- end -}}
{{- end -}}

{{- /* What the Services select; a StatefulSet can't change it. */ -}}
{{- define "sallyport.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: gate
{{- end -}}

{{- /* The network position of the PEP: no Service selects it, so a test pod may carry it. */ -}}
{{- define "sallyport.egressSelector" -}}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
sallyport.io/egress: pep
{{- end -}}

{{- define "sallyport.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: sallyport
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end -}}

{{- define "sallyport.image" -}}
{{- $image := index .root.Values.images .name -}}
{{- $repository := list .root.Values.images.registry $image.repository | compact | join "/" -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "sallyport.resource" -}}
{{- .Values.resource | default (printf "https://%s.%s.svc:8443/mcp" (include "sallyport.fullname" .) .Release.Namespace) -}}
{{- end -}}

{{- define "sallyport.tlsSecret" -}}
{{- .Values.tls.secret | default (printf "%s-tls" (include "sallyport.fullname" .)) -}}
{{- end -}}

{{- /* The five ConfigMaps of a policy set, as JSON: {"policies": NAME, …}. */ -}}
{{- define "sallyport.policyConfigMaps" -}}
{{- $names := dict "catalog" (printf "%s-catalog" (include "sallyport.fullname" .)) -}}
{{- range $part := list "policies" "roles" "agents" "resources" -}}
{{- $given := index $.Values.policies.existing $part -}}
{{- $_ := set $names $part ($given | default (printf "%s-%s" (include "sallyport.fullname" $) $part)) -}}
{{- end -}}
{{- $names | toJson -}}
{{- end -}}

{{- define "sallyport.kind" -}}
{{- ternary "StatefulSet" "Deployment" .Values.audit.persistence.enabled -}}
{{- end -}}

{{- /* Under an autoscaler the number that it has chosen: without any, Kubernetes would take one for a while. */ -}}
{{- define "sallyport.replicas" -}}
{{- $live := dict -}}
{{- if .Values.autoscaling.enabled -}}
{{- $live = lookup "apps/v1" (include "sallyport.kind" .) .Release.Namespace (include "sallyport.fullname" .) -}}
{{- end -}}
{{- dig "spec" "replicas" .Values.replicas $live | int -}}
{{- end -}}
