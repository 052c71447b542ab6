package fault_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"auditlog/internal/fault"
)

func TestEveryKindHasItsSlug(t *testing.T) {
	seen := map[string]fault.Kind{}
	for _, k := range fault.Kinds() {
		slug := k.String()
		if slug == "" || strings.ToLower(slug) != slug || strings.ContainsAny(slug, " _") {
			t.Errorf("kind %d has the slug %q", k, slug)
		}
		if other, ok := seen[slug]; ok {
			t.Errorf("kinds %d and %d share the slug %q", other, k, slug)
		}
		seen[slug] = k
	}
	if got := fault.Kind(255).String(); got != "kind-255" {
		t.Errorf("an unknown kind prints %q", got)
	}
}

func TestKindOfIsTheOutermostFault(t *testing.T) {
	inner := fault.New(fault.NotFound, "no such entry")
	outer := fault.Wrap(fault.Unavailable, fmt.Errorf("read: %w", inner), "try again")
	for err, want := range map[error]fault.Kind{
		inner:                          fault.NotFound,
		fmt.Errorf("get: %w", inner):   fault.NotFound,
		outer:                          fault.Unavailable,
		errors.New("something"):        fault.Internal,
		fmt.Errorf("read: %w", io.EOF): fault.Internal,
	} {
		if got := fault.KindOf(err); got != want {
			t.Errorf("KindOf(%v) = %v, want %v", err, got, want)
		}
	}
	if !errors.Is(outer, inner) {
		t.Error("a fault hides its cause")
	}
	if fault.Is(nil, fault.Internal) {
		t.Error("no error is of a kind")
	}
}

func TestBrokenRules(t *testing.T) {
	if err := fault.Of(nil); err != nil {
		t.Fatalf("no broken rule is %v", err)
	}
	one := fault.Field{Kind: fault.OutsideWindow, Pointer: "/occurred_at", Detail: "is too far ahead"}
	var f *fault.Error
	if err := fault.Of([]fault.Field{one}); !errors.As(err, &f) || f.Kind != fault.OutsideWindow || f.Detail != one.Detail || len(f.Fields) != 1 {
		t.Errorf("one broken rule is %+v", f)
	}
	if err := fault.Of([]fault.Field{one, {Kind: fault.UnknownField, Pointer: "/x"}}); !errors.As(err, &f) || f.Kind != fault.Invalid || len(f.Fields) != 2 {
		t.Errorf("two broken rules are %+v", f)
	}
}
