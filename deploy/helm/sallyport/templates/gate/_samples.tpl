{{- /*
Two files in the trial's empty folder, as the sample policies know them: one that alice may read, and one that she may
not. Without the latter a denial would only show that there is no such file.
*/ -}}
{{- define "sallyport.samplesContainer" -}}
image: {{ include "sallyport.image" (dict "root" . "name" "pep") | quote }}
imagePullPolicy: {{ .Values.images.pullPolicy }}
command:
  - /app/bin/python3.13
  - -I
  - -c
  - |
    import pathlib
    for path, text in {"alice/notes.txt": "Ship the export on Thursday.", "bob/private.txt": "Bob's alone."}.items():
        file = pathlib.Path("/srv/files", path)
        file.parent.mkdir(exist_ok=True)
        file.write_text(text + "\n", encoding="utf-8")
resources:
  {{- toYaml .Values.resources.pep | nindent 2 }}
securityContext:
  {{- include "sallyport.containerSecurity" . | nindent 2 }}
volumeMounts:
  - {name: files, mountPath: /srv/files}
{{- end -}}
