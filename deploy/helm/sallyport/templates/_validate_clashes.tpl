{{- /* Names that stand twice, or that are the chart's own: one of two would silently win. */ -}}

{{- define "sallyport.twice" -}}
{{- $seen := list -}}
{{- $twice := list -}}
{{- range . -}}
{{- if has . $seen -}}{{- $twice = append $twice . -}}{{- end -}}
{{- $seen = append $seen . -}}
{{- end -}}
{{- $twice | uniq | toJson -}}
{{- end -}}

{{- define "sallyport.wrong.clashes" -}}
{{- $wrong := list -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" .Release.Name) -}}
{{- $wrong = append $wrong (printf "the release's name is %q: a Service is named after it, so begin it with a letter and use a-z, 0-9 and - only." .Release.Name) -}}
{{- end -}}
{{- $lists := dict "orchestrators" list "orchestrators (spiffe, dns)" list "issuers" list "issuers (issuer)" list "upstreams" list "tools" list "catalog.prompts" list "catalog.resources" list -}}
{{- $forwarded := list -}}
{{- range .Values.orchestrators -}}
{{- $_ := set $lists "orchestrators" (append (get $lists "orchestrators") .name) -}}
{{- $_ := set $lists "orchestrators (spiffe, dns)" (append (get $lists "orchestrators (spiffe, dns)") (.spiffe | default .dns)) -}}
{{- with .forwardIdentity -}}{{- $forwarded = append $forwarded .issuer -}}{{- end -}}
{{- end -}}
{{- range .Values.issuers -}}
{{- $_ := set $lists "issuers" (append (get $lists "issuers") .name) -}}
{{- $_ := set $lists "issuers (issuer)" (append (get $lists "issuers (issuer)") .issuer) -}}
{{- if has .name $forwarded -}}
{{- $wrong = append $wrong (printf "issuer %q is also an orchestrator's forwardIdentity.issuer: one's alice would be the other's. Rename one." .name) -}}
{{- end -}}
{{- end -}}
{{- range .Values.upstreams -}}{{- $_ := set $lists "upstreams" (append (get $lists "upstreams") .name) -}}{{- end -}}
{{- range include "sallyport.tools" . | fromJsonArray -}}{{- $_ := set $lists "tools" (append (get $lists "tools") (lower .name)) -}}{{- end -}}
{{- range .Values.catalog.prompts -}}{{- $_ := set $lists "catalog.prompts" (append (get $lists "catalog.prompts") (lower .name)) -}}{{- end -}}
{{- range .Values.catalog.resources -}}{{- $_ := set $lists "catalog.resources" (append (get $lists "catalog.resources") (coalesce .uri .template .prefix "")) -}}{{- end -}}
{{- range $list, $names := $lists -}}
{{- range include "sallyport.twice" (compact $names) | fromJsonArray -}}
{{- $wrong = append $wrong (printf "%s: %q stands there twice: one would silently win. Remove or rename one." $list .) -}}
{{- end -}}
{{- end -}}
{{- range include "sallyport.policyConfigMaps" . | fromJson | values | include "sallyport.twice" | fromJsonArray -}}
{{- $wrong = append $wrong (printf "policies.existing: the ConfigMap %q is given for two parts of the set, or is the catalog's. Give each its own." .) -}}
{{- end -}}
{{- $name := include "sallyport.fullname" . -}}
{{- $taken := list (printf "%s-settings" $name) (printf "%s-issuers" $name) -}}
{{- range .Values.issuers -}}{{- $taken = append $taken .jwks.configMap -}}{{- end -}}
{{- range $part, $given := .Values.policies.existing -}}
{{- if and $given (has $given $taken) -}}
{{- $wrong = append $wrong (printf "policies.existing: the ConfigMap %q is the gate's own settings or token keys: who edits policies could change them. Give %s another." $given $part) -}}
{{- end -}}
{{- end -}}
{{- if regexMatch (printf "^audit-%s-[0-9]+$" $name) .Values.files.claim -}}
{{- $wrong = append $wrong (printf "files.claim is %q, the record of a pod: a tool could read and change it. Name another claim." .Values.files.claim) -}}
{{- end -}}
{{- range $key, $_ := .Values.podLabels -}}
{{- if or (regexMatch "apparmor|seccomp" $key) (hasPrefix "app.kubernetes.io/" $key) (hasPrefix "sallyport.io/" $key) -}}
{{- $wrong = append $wrong (printf "podLabels: %q is the chart's own: the Services and NetworkPolicies select by it. Use another key." $key) -}}
{{- end -}}
{{- end -}}
{{- range $key, $_ := .Values.podAnnotations -}}
{{- if regexMatch "apparmor|seccomp" $key -}}
{{- $wrong = append $wrong (printf "podAnnotations: %q would change what the containers are sealed with. Leave it out." $key) -}}
{{- else if or (hasPrefix "sallyport.io/" $key) (hasPrefix "checksum/" $key) (eq $key "kubectl.kubernetes.io/default-container") -}}
{{- $wrong = append $wrong (printf "podAnnotations: %q is the chart's own. Use another key." $key) -}}
{{- end -}}
{{- end -}}
{{- range .Values.policies.operators -}}
{{- if eq .name "*" -}}
{{- $wrong = append $wrong "policies.operators names \"*\": nobody is called that. Name people, or a group of them." -}}
{{- else if hasPrefix "system:" .name -}}
{{- $wrong = append $wrong (printf "policies.operators names %q: anybody could change the policies, or Kubernetes' own parts. Name people, a group of them, or an account by kind: ServiceAccount." .name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (lt (int .Values.autoscaling.maxReplicas) (int .Values.replicas)) -}}
{{- $wrong = append $wrong (printf "autoscaling.maxReplicas is %d and replicas, the fewest, is %d. Give more than that." (int .Values.autoscaling.maxReplicas) (int .Values.replicas)) -}}
{{- end -}}
{{- $set := include "sallyport.policyFiles" . | fromJson | keys | join " " -}}
{{- if and (eq .Values.policies.tests "require") (not .Values.policies.existing.policies) (not (contains ".test.yaml" $set)) -}}
{{- $wrong = append $wrong "policies.tests is require and no shipped test fits these tools: the set could never serve. Give policies.existing.policies with tests, or say ignore." -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}
