package command

import (
	"bytes"
	"unicode"

	"auditlog/internal/canon"
	"auditlog/internal/fault"
)

// Amendment is a correction that stands beside an entry.
type Amendment struct {
	Message  string
	Metadata []byte // canonical JSON object; nil: none
	Reason   string
}

// NewTenant is what creating a tenant takes.
type NewTenant struct {
	Slug          string
	Name          string
	RetentionDays int
}

// Bounds of a tenant's retention, in days.
const (
	MinRetentionDays     = 90
	MaxRetentionDays     = 36500
	DefaultRetentionDays = 396 // 13 months
)

// ParseAmendment reads {"message"?, "metadata"?, "reason"}; the amendment counts only when no field is returned.
func ParseAmendment(n canon.Node) (Amendment, []fault.Field) {
	var a Amendment
	c, reason := checker{}, false
	ok := c.body(n, func(key string, v canon.Node) bool {
		switch key {
		case "message":
			a.Message = c.text(v, place{name: "message"}, maxText, anything)
		case "metadata":
			a.Metadata = c.object(v, place{name: "metadata"})
		case "reason":
			reason = true
			a.Reason = c.need(v, place{name: "reason"}, maxText, anything)
		default:
			return false
		}
		return true
	})
	if ok && !reason {
		c.fail(fault.Invalid, place{name: "reason"}, "is required")
	}
	c.sized(n)
	return a, c.fields
}

// ParseErasure reads {"reason"}; the reason counts only when no field is returned.
func ParseErasure(n canon.Node) (reason string, broken []fault.Field) {
	c, found := checker{}, false
	ok := c.body(n, func(key string, v canon.Node) bool {
		if key != "reason" {
			return false
		}
		found = true
		reason = c.need(v, place{name: "reason"}, maxText, anything)
		return true
	})
	if ok && !found {
		c.fail(fault.Invalid, place{name: "reason"}, "is required")
	}
	return reason, c.fields
}

// ParseTenant reads {"slug","name","retention_days"?}; the tenant counts only when no field is returned.
func ParseTenant(n canon.Node) (NewTenant, []fault.Field) {
	t := NewTenant{RetentionDays: DefaultRetentionDays}
	c, slug, name := checker{}, false, false
	ok := c.body(n, func(key string, v canon.Node) bool {
		switch key {
		case "slug":
			slug = true
			t.Slug = c.slug(v)
		case "name":
			name = true
			t.Name = c.tenantName(v)
		case "retention_days":
			t.RetentionDays = c.retentionDays(v)
		default:
			return false
		}
		return true
	})
	if ok && !slug {
		c.fail(fault.Invalid, place{name: "slug"}, "is required")
	}
	if ok && !name {
		c.fail(fault.Invalid, place{name: "name"}, "is required")
	}
	return t, c.fields
}

// body goes through the members of an object; member answers false for one that it does not know.
func (c *checker) body(n canon.Node, member func(key string, v canon.Node) bool) bool {
	if n.Kind() != canon.Object {
		c.fail(fault.Invalid, place{}, "must be an object")
		return false
	}
	for key, v := range n.Members() {
		if !member(string(key), v) {
			c.unknown(fault.UnknownField, place{}, key, noSuchField)
		}
	}
	return true
}

func (c *checker) slug(n canon.Node) string {
	if isSlug(n.Bytes()) {
		return n.Text()
	}
	c.fail(fault.Invalid, place{name: "slug"}, "must be 2 to 63 lower-case letters, digits and hyphens, a letter first")
	return ""
}

func isSlug(s []byte) bool {
	if len(s) < 2 || len(s) > 63 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, b := range s {
		if !('a' <= b && b <= 'z' || '0' <= b && b <= '9' || b == '-') {
			return false
		}
	}
	return true
}

// tenantName also refuses format characters (bidi overrides, zero-width): two names that look alike would pass for one.
func (c *checker) tenantName(n canon.Node) string {
	p := place{name: "name"}
	name := c.need(n, p, maxType, noControl)
	for _, r := range name {
		if unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			c.fail(fault.Invalid, p, "must hold no invisible characters")
			break
		}
	}
	if name != "" && len(bytes.TrimSpace(n.Bytes())) != len(n.Bytes()) {
		c.fail(fault.Invalid, p, "must not begin or end with a space")
	}
	return name
}

func (c *checker) retentionDays(n canon.Node) int {
	if n.Kind() == canon.Null {
		return DefaultRetentionDays
	}
	days, ok := n.Int()
	if !ok || days < MinRetentionDays || days > MaxRetentionDays {
		c.fail(fault.Invalid, place{name: "retention_days"}, "must be a whole number from 90 to 36500")
	}
	return int(days)
}
