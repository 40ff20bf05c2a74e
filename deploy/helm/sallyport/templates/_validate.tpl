{{- /* What must not be installed, each with a sentence that says why. All of them are told at once. */ -}}

{{- define "sallyport.validate" -}}
{{- $wrong := concat
      (include "sallyport.wrong.callers" . | fromJsonArray)
      (include "sallyport.wrong.keys" . | fromJsonArray)
      (include "sallyport.wrong.network" . | fromJsonArray)
      (include "sallyport.wrong.images" . | fromJsonArray)
      (include "sallyport.wrong.networks" . | fromJsonArray)
      (include "sallyport.wrong.upstreams" . | fromJsonArray)
      (include "sallyport.wrong.assertion" . | fromJsonArray)
      (include "sallyport.wrong.limits" . | fromJsonArray)
      (include "sallyport.wrong.tools" . | fromJsonArray)
      (include "sallyport.wrong.catalog" . | fromJsonArray)
      (include "sallyport.wrong.clashes" . | fromJsonArray)
      (include "sallyport.wrong.production" . | fromJsonArray) -}}
{{- if $wrong -}}
{{- fail (printf "\nSallyport isn't installed like this:\n- %s\n" (join "\n- " $wrong)) -}}
{{- end -}}
{{- end -}}

{{- define "sallyport.wrong.callers" -}}
{{- $wrong := list -}}
{{- if not .Values.orchestrators -}}
{{- $wrong = append $wrong "orchestrators is empty: nobody could call, or anybody if this were allowed. List who may, each by certificate name and pods." -}}
{{- end -}}
{{- $forwarding := false -}}
{{- range .Values.orchestrators -}}
{{- if eq (empty .spiffe) (empty .dns) -}}
{{- $wrong = append $wrong (printf "orchestrator %q: give exactly one of spiffe and dns, the name in its certificate." .name) -}}
{{- end -}}
{{- if not .from.podLabels -}}
{{- $wrong = append $wrong (printf "orchestrator %q: from.podLabels is empty, so every pod of namespace %q could connect. Name the pods by label." .name .from.namespace) -}}
{{- end -}}
{{- $orchestrator := .name -}}
{{- range $key, $_ := .from.podLabels -}}
{{- if hasPrefix "sallyport.io/" $key -}}
{{- $wrong = append $wrong (printf "orchestrator %q: from.podLabels: %q is the chart's own: pods of the gate and its tests carry such. Use another key." $orchestrator $key) -}}
{{- end -}}
{{- end -}}
{{- if .forwardIdentity -}}{{- $forwarding = true -}}{{- end -}}
{{- end -}}
{{- if and (not .Values.issuers) (not $forwarding) -}}
{{- $wrong = append $wrong "issuers is empty and no orchestrator forwards identity: authentication would be off. List whose tokens are believed." -}}
{{- end -}}
{{- range .Values.issuers -}}
{{- $sources := list .jwks.configMap .jwks.secret .jwks.inline | compact -}}
{{- if ne (len $sources) 1 -}}
{{- $wrong = append $wrong (printf "issuer %q: jwks needs exactly one of configMap, secret and inline, or no signature could be checked." .name) -}}
{{- end -}}
{{- if regexMatch "\"(d|k)\"\\s*:" (.jwks.inline | default "") -}}
{{- $wrong = append $wrong (printf "issuer %q: jwks.inline holds a private or symmetric key: who reads the ConfigMap could sign tokens. Give the public keys only." .name) -}}
{{- end -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}

{{- define "sallyport.wrong.keys" -}}
{{- $wrong := list -}}
{{- if not .Values.tls.clientCaSecret -}}
{{- $wrong = append $wrong "tls.clientCaSecret is missing: without a CA no orchestrator's certificate can be checked. Name the Secret that holds ca.crt." -}}
{{- end -}}
{{- if eq (empty .Values.tls.secret) (not .Values.tls.certManager.enabled) -}}
{{- $wrong = append $wrong "tls: give exactly one of tls.secret and tls.certManager.enabled: the gate never serves without a certificate of its own." -}}
{{- end -}}
{{- if and .Values.tls.certManager.enabled (not .Values.tls.certManager.issuerRef.name) -}}
{{- $wrong = append $wrong "tls.certManager.issuerRef.name is missing: cert-manager must know which issuer signs." -}}
{{- end -}}
{{- if or (not .Values.audit.pepKeySecret) (not .Values.audit.pdpKeySecret) -}}
{{- $wrong = append $wrong "audit.pepKeySecret and audit.pdpKeySecret are both needed: nothing runs that can't be recorded and signed." -}}
{{- else if eq .Values.audit.pepKeySecret .Values.audit.pdpKeySecret -}}
{{- $wrong = append $wrong "audit.pepKeySecret and audit.pdpKeySecret are the same: one stolen key could rewrite both witnesses. Give each service its own." -}}
{{- end -}}
{{- if and .Values.monitoring.serviceMonitor (not .Values.monitoring.prometheus.clientSecret) -}}
{{- $wrong = append $wrong "monitoring.serviceMonitor needs monitoring.prometheus.clientSecret: the gate shows its metrics to a certificate, not to anybody." -}}
{{- end -}}
{{- with .Values.monitoring.prometheus -}}
{{- if or (not .from) (eq (empty .spiffe) (empty .dns)) -}}
{{- $wrong = append $wrong "monitoring.prometheus needs from, and exactly one of spiffe and dns: by what else is it known?" -}}
{{- else if not .from.podLabels -}}
{{- $wrong = append $wrong (printf "monitoring.prometheus: from.podLabels is empty, so every pod of namespace %q could connect. Name the pods by label." .from.namespace) -}}
{{- end -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}

{{- define "sallyport.wrong.network" -}}
{{- $wrong := list -}}
{{- range $to := include "sallyport.destinations" . | fromJsonArray -}}
{{- $network := $to.network | default dict -}}
{{- $ways := list $network.namespace $network.cidrs $network.fqdn | compact -}}
{{- if ne (len $ways) 1 -}}
{{- $wrong = append $wrong (printf "%s: network needs exactly one of namespace (with podLabels), cidrs and fqdn: no door opens by itself." $to.name) -}}
{{- end -}}
{{- if and $network.namespace (not $network.podLabels) -}}
{{- $wrong = append $wrong (printf "%s: network.podLabels is empty, so all of namespace %q could be reached. Name the pods by label." $to.name $network.namespace) -}}
{{- end -}}
{{- if and $network.fqdn (not $.Values.cilium) -}}
{{- $wrong = append $wrong (printf "%s: network.fqdn needs cilium: true; a plain NetworkPolicy knows addresses only. Give cidrs." $to.name) -}}
{{- end -}}
{{- if and $network.fqdn (ne $network.fqdn $to.host) -}}
{{- $wrong = append $wrong (printf "%s: network.fqdn is %q and the url's host %q: they must be the same." $to.name $network.fqdn $to.host) -}}
{{- end -}}
{{- with include "sallyport.wrong.host" $to.host -}}
{{- $wrong = append $wrong (printf "%s: %s" $to.name .) -}}
{{- end -}}
{{- range $cidr := $network.cidrs -}}
{{- with include "sallyport.wrong.cidr" $cidr -}}
{{- $wrong = append $wrong (printf "%s: %s" $to.name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}

{{- /* Half the internet isn't an allowlist; and the metadata service gives out the node's credentials. */ -}}
{{- define "sallyport.wrong.cidr" -}}
{{- $bits := int (regexFind "[0-9]+$" .) -}}
{{- $least := ternary 48 16 (contains ":" .) -}}
{{- $cloud := regexMatch "^(168\\.63|100\\.100|192\\.0)\\." . -}}
{{- if or (not (contains "/" .)) (lt $bits $least) -}}
{{- printf "network %q is wider than /%d: that is the internet, not an allowlist. Name the servers' own addresses." . $least -}}
{{- else if include "sallyport.nodesOwn" . -}}
{{- printf "network %q is link-local, loopback, multicast, a metadata service or IPv4 in disguise: a tool could fetch the node's credentials there. Name the servers' own addresses." . -}}
{{- else if and $cloud (not (hasSuffix "/32" .)) -}}
{{- printf "network %q is of a /16 that holds a cloud's metadata service: a tool could fetch the node's credentials there. Name each server by a /32." . -}}
{{- end -}}
{{- end -}}

{{- /* Not empty for a network that no server has: this node's, this link's, a group's, a cloud's own; or IPv4 translated to. */ -}}
{{- define "sallyport.nodesOwn" -}}
{{- $v4 := "^(0|127|169\\.254|22[4-9]|23[0-9]|24[0-9]|25[0-5])\\." -}}
{{- $v6 := "^(0?:|64:ff9b:|2001:0?:|2002:|fe[89ab][0-9a-f]:|ff[0-9a-f]{2}:|fd00:ec2:|fd20:ce:)" -}}
{{- if or (regexMatch $v4 .) (regexMatch $v6 .) (has . (list "100.100.100.200/32" "168.63.129.16/32" "192.0.0.192/32")) -}}yes{{- end -}}
{{- end -}}

{{- /* The same for the host of a url, which needs no network to be meant for it. */ -}}
{{- define "sallyport.wrong.host" -}}
{{- $quad := regexMatch "^([1-9]?[0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])(\\.([1-9]?[0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])){3}$" . -}}
{{- $network := ternary (printf "%s/128" (regexReplaceAll "(^|:)0+([0-9a-f])" . "${1}${2}")) (printf "%s/32" .) (contains ":" .) -}}
{{- $own := has . (list "metadata" "instance-data" "metadata.google.internal" "metadata.goog") -}}
{{- if or $own (regexMatch "(^|\\.)localhost$" .) (and (or $quad (contains ":" .)) (include "sallyport.nodesOwn" $network)) -}}
{{- printf "the url's host %q is the pod's own, the node's or a metadata service: a tool could fetch the node's credentials there. Name the server." . -}}
{{- else if and (not $quad) (not (contains ":" .)) (regexMatch "(^|\\.)(0x[0-9a-f]*|[0-9]+)$" .) -}}
{{- printf "the url's host %q is a number that programs read as different addresses. Write four numbers from 0 to 255, or a name." . -}}
{{- else if and (not $quad) (not (contains ":" .)) (not (regexMatch "(^|\\.)[a-z]([a-z0-9-]{0,61}[a-z0-9])?$" .)) -}}
{{- printf "the url's host %q is no name: its last part begins with a letter, and ends with one or a digit. Write the server's name." . -}}
{{- end -}}
{{- end -}}

{{- define "sallyport.wrong.images" -}}
{{- $wrong := list -}}
{{- range $name := list "pep" "pdp" -}}
{{- $image := index $.Values.images $name -}}
{{- if and (not $image.digest) $image.tag (not (regexMatch "[0-9]" $image.tag)) -}}
{{- $wrong = append $wrong (printf "images.%s.tag is %q, which names other bytes tomorrow: two pods could run different code. Give a version or a digest." $name $image.tag) -}}
{{- end -}}
{{- end -}}
{{- if not (gt (int .Values.runAsUser) 0) -}}
{{- $wrong = append $wrong "runAsUser is root: nothing here needs it, and Pod Security forbids it. Leave it at 65532." -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}

{{- define "sallyport.wrong.limits" -}}
{{- $wrong := list -}}
{{- if ge (int .Values.limits.streams) (int .Values.limits.connections) -}}
{{- $wrong = append $wrong (printf "limits.streams is %d of %d connections: streams could take them all, and no call would find one. Give fewer." (int .Values.limits.streams) (int .Values.limits.connections)) -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}

{{- define "sallyport.wrong.tools" -}}
{{- $wrong := list -}}
{{- if not (concat .Values.tools .Values.catalog.prompts .Values.catalog.resources) -}}
{{- $wrong = append $wrong "tools is empty, and so are prompts and resources of catalog: the gate would serve nothing. List at least one." -}}
{{- end -}}
{{- $shipped := include "sallyport.shippedTools" . | fromJson -}}
{{- range include "sallyport.tools" . | fromJsonArray -}}
{{- if not .provider -}}
{{- $wrong = append $wrong (printf "tools: %q is not a hosted tool; shipped are %s. Give the whole catalog entry for one of your own." .name (keys $shipped | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- if and (include "sallyport.usesDatabase" .) (not .Values.database.url) -}}
{{- $wrong = append $wrong "tools: a database tool is listed and database.url isn't set: it would have nothing to query." -}}
{{- end -}}
{{- if .Values.database.url -}}
{{- if not .Values.database.caSecret -}}
{{- $wrong = append $wrong "database.caSecret is missing: the password would go to whoever answers at that address. Name the Secret that holds ca.crt." -}}
{{- end -}}
{{- if regexMatch "//[^@/]*:[^@/]*@" .Values.database.url -}}
{{- $wrong = append $wrong "database.url holds a password, which everybody who may read the ConfigMap would see. Put it into a Secret and name that in database.passwordSecret." -}}
{{- end -}}
{{- if contains "?" .Values.database.url -}}
{{- $wrong = append $wrong "database.url has parameters: the chart sets sslmode and sslrootcert itself, so that nothing can weaken them." -}}
{{- end -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}

{{- define "sallyport.wrong.production" -}}
{{- $wrong := list -}}
{{- if eq .Values.profile "production" -}}
{{- if not .Values.audit.persistence.enabled -}}
{{- $wrong = append $wrong "audit.persistence is off: the record would die with the pod. Turn it on, or say profile: trial." -}}
{{- end -}}
{{- if lt (int .Values.replicas) 2 -}}
{{- $wrong = append $wrong "replicas is 1: a node's end would be an outage. Give two or more, or say profile: trial." -}}
{{- end -}}
{{- if and .Values.podDisruptionBudget.enabled (gt (int .Values.replicas) 1) (ge (int .Values.podDisruptionBudget.maxUnavailable) (int .Values.replicas)) -}}
{{- $wrong = append $wrong (printf "podDisruptionBudget.maxUnavailable is %d of %d replicas: a drain could end them all at once. Give fewer." (int .Values.podDisruptionBudget.maxUnavailable) (int .Values.replicas)) -}}
{{- end -}}
{{- if and (not .Values.files.claim) (include "sallyport.usesFiles" .) -}}
{{- $wrong = append $wrong "files.claim is empty and a file tool is listed: each replica would show other files and lose them. Name a claim, leave the file tools out, or say profile: trial." -}}
{{- end -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}
