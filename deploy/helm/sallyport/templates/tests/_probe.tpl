{{- /* The pods of `helm test`. None becomes an endpoint of anything: its readiness gate never holds. */ -}}

{{- /* Objects outside the release's namespace carry a mark of it, for two releases may be called the same. */ -}}
{{- define "sallyport.testName" -}}
{{- $mark := "" -}}
{{- if ne .namespace .root.Release.Namespace -}}{{- $mark = printf "-%s" (sha256sum .root.Release.Namespace | trunc 4) -}}{{- end -}}
{{- printf "%s-test-%s%s" (include "sallyport.fullname" .root) .role $mark -}}
{{- end -}}

{{- /* On everything of the test, so that one command finds what an interrupted one left. Nothing selects by it. */ -}}
{{- define "sallyport.testLabel" -}}
sallyport.io/test: {{ include "sallyport.fullname" .root }}
{{- end -}}

{{- /* What opens a door or makes an endpoint: another for each role and render, from a seed that isn't shown, so that nobody can guess it. */ -}}
{{- define "sallyport.testDoor" -}}
{{- if not (hasKey .root "SallyportTestSeed") -}}{{- $_ := set .root "SallyportTestSeed" (randAlphaNum 32) -}}{{- end -}}
sallyport.io/test-door: {{ .role }}-{{ printf "%s %s" .root.SallyportTestSeed .role | sha256sum | trunc 16 }}
{{- end -}}

{{- /* `helm test` prints what a pod said; a failed one stays for `kubectl logs` until the next test. */ -}}
{{- define "sallyport.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- if .logs }}
helm.sh/hook-output-log-policy: hook-succeeded,hook-failed
{{- end }}
{{- end -}}

{{- define "sallyport.testNamespaces" -}}
{{- list .Release.Namespace (index .Values.orchestrators 0).from.namespace .Values.tests.otherNamespace | uniq | toJson -}}
{{- end -}}

{{- /* What every pod of the test is like, waited for or not. */ -}}
{{- define "sallyport.testSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 1
securityContext:
  {{- include "sallyport.podSecurity" .root | nindent 2 }}
  {{- if eq .command "canary" }}
  # Safe, and allowed by Pod Security restricted: the canary plays a DNS.
  sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]
  {{- end }}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: probe
    image: {{ include "sallyport.image" (dict "root" .root "name" "pep") | quote }}
    imagePullPolicy: {{ .root.Values.images.pullPolicy }}
    command: [/app/bin/python3.13, -I, /probe, {{ .command }}]
    env:
      - name: NAMESPACE
        valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
      - name: HOST_IP
        valueFrom: {fieldRef: {fieldPath: status.hostIP}}
    {{- if eq .command "canary" }}
    readinessProbe:
      tcpSocket: {port: 8080}
      periodSeconds: 1
    {{- end }}
    resources:
      requests: {cpu: 10m, memory: 32Mi}
      limits: {memory: 128Mi}
    securityContext:
      {{- include "sallyport.containerSecurity" .root | nindent 6 }}
    volumeMounts:
      - {name: probe, mountPath: /probe, readOnly: true}
      {{- range .secrets }}
      - {name: {{ .name }}, mountPath: /{{ .name }}, readOnly: true}
      {{- end }}
volumes:
  - name: probe
    configMap: {name: {{ include "sallyport.testName" (dict "root" .root "namespace" .namespace "role" "probe") }}}
  {{- range .secrets }}
  # Optional, so that the pod starts and can say what is missing.
  - name: {{ .name }}
    secret: {secretName: {{ .secret | quote }}, optional: true, defaultMode: 0440}
  {{- end }}
{{- end -}}

{{- define "sallyport.testPod" -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "sallyport.testName" . }}
  namespace: {{ .namespace | quote }}
  labels:
    {{- include "sallyport.testLabel" . | nindent 4 }}
    {{- include "sallyport.testDoor" . | nindent 4 }}
    # A mesh's sidecar would answer in the name of whoever is asked.
    sidecar.istio.io/inject: "false"
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- include "sallyport.testHook" (dict "weight" .weight "logs" true) | nindent 4 }}
    linkerd.io/inject: disabled
spec:
  restartPolicy: Never
  activeDeadlineSeconds: {{ add 240 (mul 8 (int .root.Values.tests.seconds)) }}
  # Nobody sets this condition: whatever Service selects this pod's labels sends nothing here.
  readinessGates: [{conditionType: sallyport.io/never}]
  {{- include "sallyport.testSpec" (dict "root" .root "namespace" .namespace "command" .role "secrets" .secrets) | nindent 2 }}
{{- end -}}
