// Speaks to a Vault with HashiCorp's own Go client, for the tests of the Vault-compatible API.
//
//	login JWT-FILE    logs in at auth/kubernetes, prints the client token
//	read  PATH        reads with VAULT_TOKEN through the KV v2 helper of the mount claviger, prints the values as JSON
//	names FILE        reads every line of the file as a path, prints one word for each
//
// An error is printed with its type, and the exit code is 1.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/api/auth/kubernetes"
)

func main() {
	client, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		fail(err)
	}
	client.SetMaxRetries(0)
	ctx := context.Background()
	switch os.Args[1] {
	case "login":
		method, err := kubernetes.NewKubernetesAuth("ci", kubernetes.WithServiceAccountTokenPath(os.Args[2]))
		if err != nil {
			fail(err)
		}
		secret, err := client.Auth().Login(ctx, method)
		if err != nil {
			fail(err)
		}
		fmt.Println(secret.Auth.ClientToken)
	case "read":
		secret, err := client.KVv2("claviger").Get(ctx, os.Args[2])
		if err != nil {
			fail(err)
		}
		text, _ := json.Marshal(secret.Data)
		fmt.Println(string(text))
	case "names":
		file, err := os.Open(os.Args[2])
		if err != nil {
			fail(err)
		}
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			if _, err := client.KVv2("claviger").Get(ctx, lines.Text()); err != nil {
				fmt.Println(kind(err))
			} else {
				fmt.Println("ok")
			}
		}
	}
}

func kind(err error) string {
	var response *api.ResponseError
	switch {
	case errors.Is(err, api.ErrSecretNotFound):
		return "ErrSecretNotFound"
	case errors.As(err, &response):
		return fmt.Sprintf("ResponseError %d", response.StatusCode)
	default:
		return "error"
	}
}

func fail(err error) {
	fmt.Printf("%s: %v\n", kind(err), err)
	os.Exit(1)
}
