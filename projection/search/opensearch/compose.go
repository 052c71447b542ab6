package opensearch

import (
	"bytes"
	"hash/maphash"
	"sync"

	"auditlog/internal/criteria"
	"auditlog/internal/entry"
	"auditlog/internal/text"
)

// composer is the scratch memory of one document's making.
type composer struct {
	terms []byte // one after the other
	ends  []int32
	words []byte // joined by spaces
	field []byte
	seen  tokenSet
}

var composers = sync.Pool{New: func() any { return &composer{seen: tokenSet{seed: maphash.MakeSeed(), slots: make([]slot, 256)}} }}

// compose gathers the terms and words of an entry.
func (c *composer) compose(e *entry.Entry) {
	c.terms, c.ends, c.words = c.terms[:0], c.ends[:0], c.words[:0]
	c.seen.reset()
	criteria.Facets(e, func(field, value string) {
		c.endTerm(appendTerm(c.terms, field, value))
	})
	criteria.Leaves(e, func(path, value []byte) {
		c.field = append(append(c.field[:0], criteria.MetadataPrefix...), path...)
		c.endTerm(appendTerm(c.terms, c.field, value))
	})
	c.seen.reset()
	criteria.Texts(e, func(s string) {
		text.Tokens(s, func(token []byte) bool {
			c.addWord(token)
			return true
		})
	})
}

// endTerm keeps the last term of terms, unless it was met before.
func (c *composer) endTerm(terms []byte) {
	start := len(c.terms)
	if c.seen.add(terms, start, len(terms)) {
		c.ends = append(c.ends, int32(len(terms)))
		c.terms = terms
		return
	}
	c.terms = terms[:start] // with what terms has grown to
}

// addWord appends a word, unless it was met before. No word holds a space.
func (c *composer) addWord(token []byte) {
	before, words := len(c.words), c.words
	if before > 0 {
		words = append(words, ' ')
	}
	start := len(words)
	words = append(words, token...)
	if c.seen.add(words, start, len(words)) {
		c.words = words
		return
	}
	c.words = words[:before]
}

// tokenSet holds parts of one buffer, which only grows by what is added: a hash table without a string per token.
type tokenSet struct {
	seed  maphash.Seed
	slots []slot // a power of two
	n     int
	round uint32 // slots of another one are free
}

type slot struct {
	round      uint32
	hash       uint32
	start, end int32
}

func (s *tokenSet) reset() {
	s.n = 0
	if s.round++; s.round == 0 { // once around: nothing may look like new
		clear(s.slots)
		s.round = 1
	}
}

// add adds buffer[start:end], and tells whether it was not there.
func (s *tokenSet) add(buffer []byte, start, end int) bool {
	if 2*s.n >= len(s.slots) {
		s.grow()
	}
	token := buffer[start:end]
	hash := uint32(maphash.Bytes(s.seed, token))
	for i := hash; ; i++ {
		at := &s.slots[i&uint32(len(s.slots)-1)]
		if at.round != s.round {
			*at = slot{s.round, hash, int32(start), int32(end)}
			s.n++
			return true
		}
		if at.hash == hash && bytes.Equal(buffer[at.start:at.end], token) {
			return false
		}
	}
}

func (s *tokenSet) grow() {
	old := s.slots
	s.slots = make([]slot, 2*len(old))
	for _, e := range old {
		if e.round != s.round {
			continue
		}
		i := e.hash
		for s.slots[i&uint32(len(s.slots)-1)].round == s.round {
			i++
		}
		s.slots[i&uint32(len(s.slots)-1)] = e
	}
}
