package text

// Matcher answers a query for the texts of one document, in memory.
type Matcher struct {
	q    Query
	hits [(MaxTokens + 63) / 64]uint64 // bit per q.tokens
	left int                           // tokens not found yet
}

// Matcher begins with a document without text.
func (q Query) Matcher() Matcher { return Matcher{q: q, left: len(q.tokens)} }

// Add adds a text to the document.
func (m *Matcher) Add(s string) {
	if m.left == 0 {
		return
	}
	Tokens(s, func(token []byte) bool {
		for i, want := range m.q.tokens {
			if want == string(token) && m.hits[i/64]&(1<<(i%64)) == 0 {
				m.hits[i/64] |= 1 << (i % 64)
				m.left--
			}
		}
		return m.left > 0
	})
}

// Done tells that more text would not change the answer.
func (m *Matcher) Done() bool { return m.left == 0 }

// Matched tells whether the query finds the document.
func (m *Matcher) Matched() bool { return m.q.root == nil || m.found(m.q.root) }

func (m *Matcher) found(n Node) bool {
	switch n := n.(type) {
	case Token:
		for i, t := range m.q.tokens {
			if t == string(n) {
				return m.hits[i/64]&(1<<(i%64)) != 0
			}
		}
	case And:
		for _, e := range n {
			if !m.found(e) {
				return false
			}
		}
		return true
	}
	return false
}
