package linear_test

import (
	"strings"
	"testing"
	"time"

	"auditlog/test/faults/linear"
)

func app(call, ret time.Duration, at int64, keys ...string) linear.Op {
	op := linear.Op{Tenant: "t", Call: call, Return: ret, Append: keys}
	for i := range keys {
		op.At = append(op.At, at+int64(i))
	}
	return op
}

func unknown(call time.Duration, keys ...string) linear.Op {
	return linear.Op{Tenant: "t", Call: call, Append: keys, Unknown: true}
}

func read(call, ret time.Duration, after, upTo int64, keys ...string) linear.Op {
	return linear.Op{Tenant: "t", Call: call, Return: ret, Read: keys, After: after, UpTo: upTo, Whole: true}
}

func prefix(call, ret time.Duration, upTo int64, keys ...string) linear.Op {
	return linear.Op{Tenant: "t", Call: call, Return: ret, Read: keys, UpTo: upTo}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		history []linear.Op
		sound   bool
	}{
		"one after the other":               {[]linear.Op{app(1, 2, 2, "a"), app(3, 4, 3, "b"), read(5, 6, 0, 3, "a", "b")}, true},
		"side by side, either order":        {[]linear.Op{app(1, 9, 3, "a"), app(1, 9, 2, "b"), read(10, 11, 2, 3, "a")}, true},
		"a bulk":                            {[]linear.Op{app(1, 2, 2, "a", "b", "c"), read(3, 4, 3, 4, "c")}, true},
		"a read beside an append":           {[]linear.Op{app(1, 9, 2, "a"), read(2, 3, 0, 1), read(4, 5, 0, 2, "a")}, true},
		"a read of the start":               {[]linear.Op{app(1, 2, 2, "a"), app(3, 4, 3, "b"), prefix(5, 6, 2, "a")}, true},
		"unknown, and there":                {[]linear.Op{unknown(1, "a"), app(2, 3, 3, "b"), read(4, 5, 0, 3, "a", "b")}, true},
		"unknown, and there later":          {[]linear.Op{unknown(1, "a"), read(2, 3, 0, 1), read(4, 5, 0, 2, "a")}, true},
		"unknown, and never there":          {[]linear.Op{unknown(1, "a"), app(2, 3, 2, "b"), read(4, 5, 0, 2, "b")}, true},
		"two unknown, one is there":         {[]linear.Op{unknown(1, "a"), unknown(1, "b"), read(4, 5, 0, 2, "b")}, true},
		"other tenants' logs":               {[]linear.Op{app(1, 2, 2, "a"), {Tenant: "u", Call: 1, Return: 2, Append: []string{"b"}, At: []int64{2}}}, true},
		"positions against time":            {[]linear.Op{app(1, 2, 3, "a"), app(3, 4, 2, "b")}, false},
		"one position twice":                {[]linear.Op{app(1, 9, 2, "a"), app(1, 9, 2, "b")}, false},
		"a hole":                            {[]linear.Op{app(1, 2, 2, "a"), app(3, 4, 4, "b")}, false},
		"a split bulk":                      {[]linear.Op{app(1, 9, 3, "x"), {Tenant: "t", Call: 1, Return: 9, Append: []string{"a", "b"}, At: []int64{2, 4}}}, false},
		"an answer without positions":       {[]linear.Op{{Tenant: "t", Call: 1, Return: 2, Append: []string{"a"}}}, false},
		"a read that misses what was acked": {[]linear.Op{app(1, 2, 2, "a"), read(3, 4, 0, 1)}, false},
		"a read in another order":           {[]linear.Op{app(1, 9, 2, "a"), app(1, 9, 3, "b"), read(10, 11, 0, 3, "b", "a")}, false},
		"a read that goes back":             {[]linear.Op{app(1, 9, 2, "a"), read(2, 3, 0, 2, "a"), read(4, 5, 0, 1)}, false},
		"lost after the acknowledgement":    {[]linear.Op{app(1, 2, 2, "a"), app(3, 4, 2, "b"), read(5, 6, 0, 2, "b")}, false},
		"read before it was sent":           {[]linear.Op{read(1, 2, 0, 2, "a"), app(3, 4, 2, "a")}, false},
		"twice in the log":                  {[]linear.Op{app(1, 2, 2, "a"), read(3, 4, 0, 3, "a", "a")}, false},
		"a start that never was":            {[]linear.Op{app(1, 2, 2, "a"), app(3, 4, 3, "b"), prefix(5, 6, 2, "b")}, false},
		"a start that is too long":          {[]linear.Op{app(1, 2, 2, "a"), prefix(5, 6, 3, "a", "b")}, false},
		"a short page":                      {[]linear.Op{app(1, 2, 2, "a", "b"), read(3, 4, 0, 3, "b")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := linear.Check(c.history, time.Minute); (err == nil) != c.sound || err != nil && !strings.Contains(err.Error(), "tenant t is not") {
				t.Errorf("sound: %t, got %v", c.sound, err)
			}
		})
	}
}
