package keyring_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"auditlog/internal/fault"
	"auditlog/keyring"
)

func TestSealAppendsAndOpenAppends(t *testing.T) {
	r := newRing(t, keyring.Options{})
	sealed, ref, err := r.Seal(t.Context(), tenantA, tenantB, []byte("head"), []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(sealed, []byte("head")) || len(sealed) != 4+6+keyring.Overhead || bytes.Contains(sealed, []byte("secret")) {
		t.Fatalf("sealed %q", sealed)
	}
	plain, err := r.Open(t.Context(), tenantA, tenantB, ref, []byte("dst:"), sealed[4:])
	if err != nil || string(plain) != "dst:secret" {
		t.Fatalf("opened %q, %v", plain, err)
	}
}

func TestAlteredMessagesAreRefused(t *testing.T) {
	r := newRing(t, keyring.Options{})
	if err := r.CreateTenant(t.Context(), tenantB); err != nil {
		t.Fatal(err)
	}
	ms := sealN(t, r, 2)
	m := ms[0]
	open := func(tenant, event [16]byte, ref keyring.Ref, sealed []byte) error {
		_, err := r.Open(t.Context(), tenant, event, ref, nil, sealed)
		return err
	}
	for i := range m.sealed {
		bad := bytes.Clone(m.sealed)
		bad[i] ^= 1
		if err := open(tenantA, m.event, m.ref, bad); !errors.Is(err, keyring.ErrAltered) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
	}
	for name, err := range map[string]error{
		"another event":  open(tenantA, ms[1].event, m.ref, m.sealed),
		"another tenant": open(tenantB, m.event, m.ref, m.sealed),
		"another leaf":   open(tenantA, m.event, ms[1].ref, m.sealed),
		"cut":            open(tenantA, m.event, m.ref, m.sealed[:len(m.sealed)-1]),
		"empty":          open(tenantA, m.event, m.ref, nil),
	} {
		if !errors.Is(err, keyring.ErrAltered) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, ref := range map[string]keyring.Ref{"index": {Index: 1 << 20}, "epoch": {Epoch: 9}} {
		if err := open(tenantA, m.event, ref, m.sealed); err == nil || errors.Is(err, keyring.ErrPunctured) {
			t.Errorf("%s outside: %v", name, err)
		}
	}
	mustOpen(t, t, r, m, false)
}

func TestUnknownTenantIsNotFound(t *testing.T) {
	r := newRing(t, keyring.Options{})
	ctx := t.Context()
	_, _, sealErr := r.Seal(ctx, tenantB, tenantB, nil, nil)
	_, openErr := r.Open(ctx, tenantB, tenantB, keyring.Ref{}, nil, nil)
	_, tokenErr := r.Token(ctx, tenantB, "x", nil)
	_, puncturedErr := r.Punctured(ctx, tenantB, keyring.Ref{})
	for _, err := range []error{sealErr, openErr, tokenErr, puncturedErr, r.Puncture(ctx, tenantB, []keyring.Ref{{}})} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("got %v", err)
		}
	}
	r.Forget(tenantB)
	if err := r.CreateTenant(ctx, [16]byte{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("zero tenant: %v", err)
	}
}

func TestCreateTenantAgainChangesNothing(t *testing.T) {
	dir := t.TempDir()
	r := withTenant(t, keyring.New(openFolder(t, dir), keyring.Options{}))
	m := sealN(t, r, 1)[0]
	token, err := r.Token(t.Context(), tenantA, "actor", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	again := keyring.New(openFolder(t, dir), keyring.Options{})
	defer again.Close()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := again.CreateTenant(t.Context(), tenantA); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	mustOpen(t, t, again, m, false)
	if got, err := again.Token(t.Context(), tenantA, "actor", []byte("x")); err != nil || got != token {
		t.Fatalf("token changed: %v", err)
	}
}

func TestTokensDifferByTenantLabelAndValue(t *testing.T) {
	r := newRing(t, keyring.Options{})
	if err := r.CreateTenant(t.Context(), tenantB); err != nil {
		t.Fatal(err)
	}
	seen := map[[32]byte]string{}
	for _, c := range []struct {
		name   string
		tenant [16]byte
		label  string
		value  string
	}{{"base", tenantA, "actor", "u1"}, {"tenant", tenantB, "actor", "u1"}, {"label", tenantA, "subject", "u1"},
		{"value", tenantA, "actor", "u2"}, {"shifted", tenantA, "acto", "ru1"}, {"none", tenantA, "", ""}} {
		token, err := r.Token(t.Context(), c.tenant, c.label, []byte(c.value))
		if err != nil {
			t.Fatal(err)
		}
		if same, ok := seen[token]; ok {
			t.Errorf("%s has the token of %s", c.name, same)
		}
		seen[token] = c.name
	}
	if _, err := r.Token(t.Context(), tenantA, "a\x00b", nil); err == nil {
		t.Error("a label with a zero byte was taken")
	}
}

func TestClosedRingRefuses(t *testing.T) {
	r := newRing(t, keyring.Options{})
	m := sealN(t, r, 1)[0]
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(t.Context(), tenantA, m.event, m.ref, nil, m.sealed); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Fatalf("got %v", err)
	}
}

func TestOptionsNameWhatIsWrong(t *testing.T) {
	err := keyring.Options{MinLease: 100, MaxLease: 8, CachedChunks: -1, CachedPaths: -1, CacheAge: -1}.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, field := range []string{"MinLease is 100", "MinLease 100 exceeds MaxLease 8", "CachedChunks", "CachedPaths", "CacheAge"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%q is not in: %v", field, err)
		}
	}
	if err := (keyring.Options{}).Validate(); err != nil {
		t.Error(err)
	}
}
