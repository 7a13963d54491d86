package webhook

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"
)

// checkNames refuses what cannot be the name of a namespace and of a service
// account, by Kubernetes' own rules: such names would become other paths of the
// API server.
func checkNames(namespace, account string) error {
	if len(validation.IsDNS1123Label(namespace)) > 0 {
		return fmt.Errorf("%.100q cannot be a namespace", namespace)
	}
	if len(validation.IsDNS1123Subdomain(account)) > 0 {
		return fmt.Errorf("%.300q cannot be a service account", account)
	}
	return nil
}
