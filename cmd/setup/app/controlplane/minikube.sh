# minikube takes one value a flag. A new cluster, or one that was stopped, whose pods then get tokens anew:
#
#   minikube stop

minikube start \
{{- if .Audiences}}
  --extra-config='apiserver.api-audiences={{join .Audiences ","}}' \
{{- end}}
  --extra-config='apiserver.service-account-issuer={{index .Issuers 0}}' \
  --extra-config='apiserver.service-account-jwks-uri={{.JWKS}}'
