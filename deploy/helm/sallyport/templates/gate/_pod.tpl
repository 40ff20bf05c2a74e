{{- /* The pod of both kinds: the PDP as a native sidecar, up before the PEP and there until after it. */ -}}

{{- define "sallyport.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "sallyport.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.runAsUser }}
runAsGroup: {{ .Values.runAsUser }}
fsGroup: {{ .Values.runAsUser }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "sallyport.podTemplate" -}}
metadata:
  labels:
    {{- include "sallyport.selector" . | nindent 4 }}
    app.kubernetes.io/part-of: sallyport
    sallyport.io/egress: pep
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: pep
    sallyport.io/policy-configmaps: {{ include "sallyport.policyConfigMaps" . | squote }}
    # Settings are read at the start, so a change of them restarts; policies are live, so theirs doesn't.
    checksum/settings: {{ include (print $.Template.BasePath "/settings/configmap.yaml") . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "sallyport.fullname" . }}
  automountServiceAccountToken: {{ .Values.serviceAccount.token }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add .Values.stopSeconds.endpoints .Values.stopSeconds.drain 25 }}
  securityContext:
    {{- include "sallyport.podSecurity" . | nindent 4 }}
  {{- with .Values.images.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . | quote }}
    {{- end }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "sallyport.selector" $ | nindent 10 }}
    {{- end }}
  initContainers:
    - name: pdp
      restartPolicy: Always
      {{- include "sallyport.pdpContainer" . | nindent 6 }}
    {{- if and (include "sallyport.usesFiles" .) (not .Values.files.claim) }}
    - name: samples
      {{- include "sallyport.samplesContainer" . | nindent 6 }}
    {{- end }}
  containers:
    - name: pep
      {{- include "sallyport.pepContainer" . | nindent 6 }}
  volumes:
    {{- include "sallyport.volumes" . | nindent 4 }}
{{- end -}}
