// Package e2e tests the whole as its users meet it: processes of the built binary, their command lines, and HTTP.
package e2e
