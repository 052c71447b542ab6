package command

import (
	"strconv"

	"auditlog/internal/canon"
	"auditlog/internal/fault"
)

// object checks an optional free object (metadata, before, after) and returns its canonical form.
func (c *checker) object(n canon.Node, p place) []byte {
	if !c.isObject(n, p) {
		return nil
	}
	if n.Depth() > maxDepth {
		c.fail(fault.TooDeep, p, "must be at most "+strconv.Itoa(maxDepth)+" levels deep")
		return nil
	}
	if n.Leaves() > maxLeaves {
		c.fail(fault.Invalid, p, "must hold at most "+strconv.Itoa(maxLeaves)+" values")
		return nil
	}
	if inside, rule := broken(n); rule != "" {
		p.name += inside
		c.fail(fault.Invalid, p, rule)
		return nil
	}
	return n.AppendCanonical(make([]byte, 0, len(n.Raw())))
}

// broken finds the first value in n that is too large, with its pointer within n; rule is "" when there is none. It
// calls itself once per level, of which there are at most maxDepth.
func broken(n canon.Node) (inside, rule string) {
	switch n.Kind() {
	case canon.String:
		if len(n.Bytes()) > maxText {
			return "", "must be at most " + strconv.Itoa(maxText) + " bytes long"
		}
	case canon.Array:
		i := 0
		for e := range n.Elems() {
			if inside, rule := broken(e); rule != "" {
				return "/" + strconv.Itoa(i) + inside, rule
			}
			i++
		}
	case canon.Object:
		return brokenMember(n)
	}
	return "", ""
}

func brokenMember(n canon.Node) (inside, rule string) {
	if n.Len() > maxMembers {
		return "", "must hold at most " + strconv.Itoa(maxMembers) + " keys"
	}
	for key, v := range n.Members() {
		if len(key) > maxMemberName {
			return "", "must hold keys of at most " + strconv.Itoa(maxMemberName) + " bytes"
		}
		if inside, rule := broken(v); rule != "" {
			return canon.JoinPointer("", string(key)) + inside, rule
		}
	}
	return "", ""
}
