package search

import (
	"auditlog/internal/criteria"
	"auditlog/internal/text"
)

// expression prints one FTS5 MATCH expression: tokens of one tenant and kind, quoted, with AND and OR. A token holds
// neither space nor quotation mark, so nothing that a client sent is syntax.
type expression struct {
	b      []byte
	prefix []byte
	parts  int // of the AND
}

// printExpression is the expression for the filters, the words and buckets (any of them), of each kind; "" restricts
// nothing. Kinds are alternatives.
func printExpression(tenant int64, kinds []int64, c *criteria.Criteria, buckets []bucket) string {
	var out []byte
	for i, kind := range kinds {
		x := expression{prefix: appendPrefix(nil, tenant, kind)}
		for _, cl := range c.Clauses() {
			x.clause(cl)
		}
		x.node(c.Text.Root())
		x.buckets(buckets)
		if x.parts == 0 {
			return ""
		}
		if i > 0 {
			out = append(out, " OR "...)
		}
		out = append(append(append(out, '('), x.b...), ')')
	}
	return string(out)
}

func (x *expression) and() {
	if x.parts > 0 {
		x.b = append(x.b, " AND "...)
	}
	x.parts++
}

func (x *expression) clause(cl criteria.Clause) {
	x.and()
	x.b = append(x.b, '(')
	for i, v := range cl.Values {
		if i > 0 {
			x.b = append(x.b, " OR "...)
		}
		x.open(tagFacet)
		x.b = append(appendFacet(x.b, []byte(cl.Field+"\x00"+v)), '"')
	}
	x.b = append(x.b, ')')
}

// node prints the query's tree into the AND.
func (x *expression) node(n text.Node) {
	switch n := n.(type) {
	case text.Token:
		x.and()
		x.open(tagWord)
		x.b = append(append(x.b, n...), '"')
	case text.And:
		for _, e := range n {
			x.node(e)
		}
	case text.Never:
		x.and()
		x.open(tagNever)
		x.b = append(x.b, '"')
	}
}

func (x *expression) buckets(buckets []bucket) {
	if len(buckets) == 0 {
		return
	}
	x.and()
	x.b = append(x.b, '(')
	for i, b := range buckets {
		if i > 0 {
			x.b = append(x.b, " OR "...)
		}
		x.open(tagTime)
		x.b = append(b.appendName(x.b), '"')
	}
	x.b = append(x.b, ')')
}

func (x *expression) open(tag byte) {
	x.b = append(x.b, '"')
	x.b = append(append(x.b, x.prefix...), tag)
}
