package main

import (
	"errors"
	"strings"
	"testing"

	"auditlog/internal/client"
)

// Who imports hears once that the server sets the pace, and each time of anything else.
func TestRetriesAreTold(t *testing.T) {
	var b strings.Builder
	tell := retries(&b)
	for range 3 {
		tell(&client.Problem{Status: 429, Type: "/problems/rate-limited", Detail: "too many entries"})
		tell(&client.Problem{Status: 503, Type: "/problems/overloaded", Detail: "full"})
		tell(errors.New("the connection broke"))
	}
	text := b.String()
	for part, times := range map[string]int{"at the rate that the server allows": 1, "trying again: the server answered 503": 3, "trying again: the connection broke": 3, "\n": 7} {
		if n := strings.Count(text, part); n != times {
			t.Errorf("%q is told %d times in\n%s", part, n, text)
		}
	}
}
