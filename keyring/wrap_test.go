package keyring_test

import (
	"bytes"
	"testing"

	"auditlog/keyring"
)

func TestWrapBySecret(t *testing.T) {
	wrapper := func(secret string) keyring.Wrapper {
		w, err := keyring.WrapBySecret([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	const one, two = "an operator's secret of some length", "another operator's secret, not that"
	w, tenant, plain := wrapper(one), [16]byte{1}, []byte("a tenant's secrets")
	wrapped, err := w.Wrap(t.Context(), tenant, plain)
	if err != nil || bytes.Contains(wrapped, plain) {
		t.Fatalf("wrapped %q, %v", wrapped, err)
	}
	if again, err := w.Wrap(t.Context(), tenant, plain); err != nil || bytes.Equal(again, wrapped) {
		t.Errorf("the same secret is wrapped alike twice: %v", err)
	}
	if got, err := wrapper(one).Unwrap(t.Context(), tenant, wrapped); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("unwrapped %q, %v", got, err)
	}
	if _, err := w.Unwrap(t.Context(), [16]byte{2}, wrapped); err == nil {
		t.Error("another tenant's secrets are unwrapped")
	}
	if _, err := wrapper(two).Unwrap(t.Context(), tenant, wrapped); err == nil {
		t.Error("another secret unwraps")
	}
	for i := range wrapped {
		wrapped[i] ^= 1
		if _, err := w.Unwrap(t.Context(), tenant, wrapped); err == nil {
			t.Fatalf("a change of byte %d is not seen", i)
		}
		wrapped[i] ^= 1
	}
	if _, err := keyring.WrapBySecret([]byte("too short")); err == nil {
		t.Error("a short secret is taken")
	}
}
