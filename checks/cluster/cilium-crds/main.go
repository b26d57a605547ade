// Prints Cilium's own definitions of its network policies, as they are in its module. Nothing in the tests' cluster enforces
// them; but the API server refuses what Cilium's would refuse.
package main

import (
	"fmt"
	"os"

	crds "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client/crds/v2"
)

var wanted = []string{"ciliumnetworkpolicies.yaml", "ciliumclusterwidenetworkpolicies.yaml", "ciliumendpoints.yaml"}

func main() {
	for _, name := range wanted {
		text, err := crds.EmbedFS.ReadFile(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("---\n%s", text)
	}
}
