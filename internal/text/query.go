package text

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"auditlog/internal/fault"
)

// Limits of a query.
const (
	MaxQuery  = 1 << 10 // bytes
	MaxWords  = 64      // separated by white space
	MaxTokens = 128     // different ones; long CJK text makes one for each character
)

// Query is a parsed query. The zero value restricts nothing.
type Query struct {
	root   Node
	tokens []string // of the tree, sorted, each once
}

// Node is a part of the tree: Token, And or Never. Back ends print it by a type switch.
type Node interface{ node() }

// Token is found in texts of which Tokens yields it.
type Token string

// And is found where all of its nodes are; it is never empty.
type And []Node

// Never is found nowhere: a query of punctuation alone.
type Never struct{}

func (Token) node() {}
func (And) node()   {}
func (Never) node() {}

// Parse reads a query: words, all of which must be found. Nothing in it is syntax; punctuation that joins no identifier
// is ignored. Errors: fault.QueryTooCostly beyond MaxQuery, MaxWords or MaxTokens, fault.BadUTF8, all at "?q".
func Parse(q string) (Query, error) {
	if len(q) > MaxQuery {
		return Query{}, fault.At(fault.QueryTooCostly, "?q", "a query has at most 1024 bytes")
	}
	if !utf8.ValidString(q) {
		return Query{}, fault.At(fault.BadUTF8, "?q", "a query is UTF-8")
	}
	words := strings.FieldsFunc(q, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	if len(words) == 0 {
		return Query{}, nil
	}
	if len(words) > MaxWords {
		return Query{}, fault.At(fault.QueryTooCostly, "?q", "a query has at most 64 words")
	}
	var tokens []string
	walk(q, func(token []byte, whole bool) bool {
		if whole {
			tokens = append(tokens, string(token))
		}
		return true
	})
	slices.Sort(tokens)
	tokens = slices.Compact(tokens)
	switch {
	case len(tokens) == 0:
		return Query{root: Never{}}, nil
	case len(tokens) > MaxTokens:
		return Query{}, fault.At(fault.QueryTooCostly, "?q", "a query asks for at most 128 different tokens")
	case len(tokens) == 1:
		return Query{root: Token(tokens[0]), tokens: tokens}, nil
	}
	all := make(And, len(tokens))
	for i, t := range tokens {
		all[i] = Token(t)
	}
	return Query{root: all, tokens: tokens}, nil
}

// Root is the tree; nil restricts nothing.
func (q Query) Root() Node { return q.root }

// IsZero tells a query that restricts nothing.
func (q Query) IsZero() bool { return q.root == nil }

// AppendCanonical appends text that is equal for two queries only if they find the same.
func (q Query) AppendCanonical(b []byte) []byte { return appendNode(b, q.root) }

func appendNode(b []byte, n Node) []byte {
	switch n := n.(type) {
	case Token:
		b = append(append(append(b, '"'), n...), '"') // a token holds no quotation mark
	case And:
		b = append(b, '(')
		for _, e := range n {
			b = appendNode(append(b, '&'), e)
		}
		b = append(b, ')')
	case Never:
		b = append(b, '!')
	}
	return b
}
