# On one control-plane node of MicroK8s after the other.
#
{{template "rounds" .}}
# The first service-account-issuer signs. The file as it was is kept beside it.

sudo sed --in-place=.before-openirsa \
  '/^--service-account-issuer=/d; /^--service-account-jwks-uri=/d{{if .Audiences}}; /^--api-audiences=/d{{end}}' \
  /var/snap/microk8s/current/args/kube-apiserver
sudo tee --append /var/snap/microk8s/current/args/kube-apiserver <<'FLAGS'
{{- range .Issuers}}
--service-account-issuer={{.}}
{{- end}}
{{- with .JWKS}}
--service-account-jwks-uri={{.}}
{{- end}}
{{- if .Audiences}}
--api-audiences={{join .Audiences ","}}
{{- end}}
FLAGS
sudo snap restart microk8s.daemon-kubelite
