# A managed control plane takes no flags. If its own issuer is public, AWS can read it, and nothing needs to change.

# 1. The issuer of the cluster:
kubectl get --raw /.well-known/openid-configuration

#    AKS:  az aks show --resource-group GROUP --name CLUSTER --query oidcIssuerProfile.issuerUrl --output tsv
#          (if it is empty: az aks update --resource-group GROUP --name CLUSTER --enable-oidc-issuer)
#    GKE:  https://container.googleapis.com/v1/projects/PROJECT/locations/LOCATION/clusters/CLUSTER
#    EKS:  has IAM roles for service accounts itself: eksctl utils associate-iam-oidc-provider --cluster CLUSTER --approve
#    Others, DigitalOcean among them: as the document says.

# 2. Is it public? This must print the same document, without credentials:
curl --fail ISSUER/.well-known/openid-configuration

# 3. If so: the provider and the webhook, which is all that is missing. Otherwise this control plane cannot be used.
{{.Setup}} up --context CONTEXT --issuer-url ISSUER --image IMAGE
