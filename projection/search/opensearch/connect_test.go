package opensearch_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"auditlog/projection/search/opensearch"
	"auditlog/projection/search/opensearch/ostest"
	"auditlog/projection/search/searchtest"
)

// guarded is a proxy over TLS that lets pass what check lets pass, and a PEM file of its authority.
func guarded(t *testing.T, check func(*http.Request) bool) (p *proxy, caFile string) {
	t.Helper()
	p = newProxy(t, ostest.Address(t))
	p.all = func(w http.ResponseWriter, r *http.Request) bool {
		if check(r) {
			return false
		}
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	p.StartTLS()
	t.Cleanup(p.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
	if err := os.WriteFile(caFile, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return p, caFile
}

// tryApply applies an entry through a proxy.
func tryApply(t *testing.T, p *proxy, change func(*opensearch.Config)) error {
	t.Helper()
	log := searchtest.NewLog(t)
	cfg := config(t, ostest.Address(t), log)
	cfg.Addresses = []string{p.URL}
	cfg.Requests.Patience = 100 * time.Millisecond
	change(&cfg)
	w := &world{T: t, log: log, cfg: cfg, x: open(t, cfg)}
	w.record(3)
	if err := w.x.Apply(t.Context(), w.whole()); err != nil {
		return err
	}
	w.expect(3)
	return nil
}

func TestBasicAuthOverTLSWithItsOwnAuthority(t *testing.T) {
	t.Parallel()
	p, ca := guarded(t, func(r *http.Request) bool {
		user, password, ok := r.BasicAuth()
		return ok && user == "auditlog" && password == "p:ass wörd"
	})
	sound := func(c *opensearch.Config) { c.Username, c.Password, c.CAFile = "auditlog", "p:ass wörd", ca }
	if err := tryApply(t, p, sound); err != nil {
		t.Error(err)
	}
	err := tryApply(t, p, func(c *opensearch.Config) { sound(c); c.Password = "wrong-secret" })
	if err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "wrong-secret") {
		t.Errorf("wrong password: %v", err)
	}
	err = tryApply(t, p, func(c *opensearch.Config) { sound(c); c.CAFile = "" })
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: %v", err)
	}
}

// The proxy signs each request again with the same key and compares.
func TestSigV4(t *testing.T) {
	t.Parallel()
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret", SessionToken: "session"}, nil
	})
	for _, service := range []string{"es", "aoss"} {
		p, ca := guarded(t, func(r *http.Request) bool { return signed(t, r, credentials, service) })
		sound := func(c *opensearch.Config) {
			c.CAFile, c.AWS = ca, &opensearch.SigV4{Region: "eu-central-1", Service: service, Credentials: credentials}
		}
		if err := tryApply(t, p, sound); err != nil {
			t.Errorf("%s: %v", service, err)
		}
		if err := tryApply(t, p, func(c *opensearch.Config) { sound(c); c.AWS = nil }); err == nil {
			t.Errorf("%s: a request without signature passed", service)
		}
	}
}

func signed(t *testing.T, r *http.Request, from aws.CredentialsProvider, service string) bool {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return false
	}
	creds, err := from.Retrieve(r.Context())
	if err != nil {
		t.Error(err)
	}
	again, err := http.NewRequest(r.Method, "https://"+r.Host+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return false
	}
	_, names, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	names, _, _ = strings.Cut(names, ",")
	for _, name := range strings.Split(names, ";") {
		if name != "host" && name != "content-length" {
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	if err := v4.NewSigner().SignHTTP(r.Context(), creds, again, r.Header.Get("X-Amz-Content-Sha256"), service, "eu-central-1", at); err != nil {
		t.Error(err)
	}
	return r.Header.Get("Authorization") == again.Header.Get("Authorization")
}

func TestConfigComplainsAboutAllAtOnce(t *testing.T) {
	t.Parallel()
	_, err := opensearch.Open(opensearch.Config{
		Addresses: []string{"https://user:secret@host", "ftp://host"}, Prefix: "Audit-Log", Password: "hidden", AWS: &opensearch.SigV4{},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"must not hold a password", "must be http or https", "Prefix", "needs a Username", "needs a region", "are required"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	if s := fmt.Sprintf("%v %+v %#v", opensearch.Secret("hidden"), opensearch.Config{Password: "hidden"}, opensearch.Secret("hidden")); strings.Contains(s, "hidden") {
		t.Errorf("a secret prints: %s", s)
	}
	if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("a secret is in the complaint: %v", err)
	}
}
