package query

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"strings"

	"auditlog/eventstore"
	"auditlog/internal/criteria"
	"auditlog/internal/cursor"
	"auditlog/internal/fault"
	"auditlog/internal/text"
)

// continuation is what a cursor says.
type continuation struct {
	criteria   criteria.Criteria
	sort       Sort
	limit      int
	last       Key        // of the page before
	completeTo CompleteTo // of page one; its position is the bound of all pages
}

// payload is the form of a continuation inside a cursor. A query that does not fit is there as Digest alone; its client
// has to send the parameters again.
type payload struct {
	Query      *savedQuery         `json:"q,omitempty"`
	Digest     []byte              `json:"h,omitempty"` // SHA-256 of askedFor
	Ascending  bool                `json:"a,omitempty"`
	Occurred   bool                `json:"o,omitempty"`
	Limit      int                 `json:"l"`
	LastAt     eventstore.Micros   `json:"kt,omitempty"`
	Last       eventstore.Position `json:"k"`
	Bound      eventstore.Position `json:"b"`
	RecordedAt eventstore.Micros   `json:"t"`
}

// savedQuery mirrors criteria.Criteria, the text query printed.
type savedQuery struct {
	Kind          criteria.Kind       `json:"k,omitempty"`
	Text          string              `json:"q,omitempty"`
	ActorID       string              `json:"ai,omitempty"`
	ActorType     string              `json:"at,omitempty"`
	Actions       []string            `json:"ac,omitempty"`
	ResourceTypes []string            `json:"rt,omitempty"`
	ResourceID    string              `json:"ri,omitempty"`
	Severities    []string            `json:"se,omitempty"`
	Outcomes      []string            `json:"oc,omitempty"`
	RequestID     string              `json:"rq,omitempty"`
	SessionID     string              `json:"si,omitempty"`
	IP            string              `json:"ip,omitempty"`
	Metadata      []criteria.Metadata `json:"m,omitempty"`
	From          *eventstore.Micros  `json:"f,omitempty"`
	To            *eventstore.Micros  `json:"t,omitempty"`
	RecordedTime  bool                `json:"r,omitempty"`
}

// sealCursor makes the cursor of the page after last.
func (q *Queries) sealCursor(p plan, last Key) (string, error) {
	c, s := &p.query.Criteria, p.query.Sort
	body := payload{
		Query: saveQuery(c), Ascending: s.Ascending, Occurred: s.Occurred, Limit: p.query.Limit,
		LastAt: last.Occurred, Last: last.Position, Bound: p.completeTo.Position, RecordedAt: p.completeTo.RecordedAt,
	}
	asked := askedFor(c, s)
	restored, err := body.Query.criteria()
	whole := err == nil && bytes.Equal(askedFor(&restored, s), asked)
	b, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	if !whole || len(b) > cursor.MaxPayload {
		digest := sha256.Sum256(asked)
		body.Query, body.Digest = nil, digest[:]
		if b, err = json.Marshal(body); err != nil {
			return "", err
		}
	}
	return q.cursors.Seal(p.query.Tenant, b), nil
}

// openCursor reads the request's cursor and holds it against the parameters that came with it.
func (q *Queries) openCursor(tenant eventstore.TenantID, req SearchRequest) (continuation, error) {
	b, err := q.cursors.Open(tenant, req.Cursor)
	if err != nil {
		return continuation{}, err
	}
	var body payload
	if err := json.Unmarshal(b, &body); err != nil {
		return continuation{}, fault.Wrap(fault.BadCursor, err, "the cursor is of another version of this service; start again from the first page")
	}
	c := continuation{
		sort: Sort{Ascending: body.Ascending, Occurred: body.Occurred}, limit: body.Limit,
		last:       Key{Occurred: body.LastAt, Position: body.Last},
		completeTo: CompleteTo{Position: body.Bound, RecordedAt: body.RecordedAt},
	}
	if body.Query == nil {
		return c, c.take(req, body.Digest)
	}
	if c.criteria, err = body.Query.criteria(); err != nil {
		return continuation{}, fault.Wrap(fault.BadCursor, err, "the cursor's query is not valid any more; start again from the first page")
	}
	if req.Given && !bytes.Equal(askedFor(&req.Criteria, req.Sort), askedFor(&c.criteria, c.sort)) {
		return continuation{}, errOtherQuery()
	}
	return c, nil
}

// take fills in the query of a cursor that holds only its digest.
func (c *continuation) take(req SearchRequest, digest []byte) error {
	if !req.Given {
		return cursor.Bad("this cursor's query is too long to be inside it: send the query's parameters again beside the cursor")
	}
	sum := sha256.Sum256(askedFor(&req.Criteria, req.Sort))
	if !bytes.Equal(sum[:], digest) {
		return errOtherQuery()
	}
	c.criteria = req.Criteria
	return nil
}

func errOtherQuery() error {
	return cursor.Bad("the cursor continues another query; send it alone, or with the parameters of its first page")
}

// askedFor is equal for two requests exactly when their listings are.
func askedFor(c *criteria.Criteria, s Sort) []byte {
	b := make([]byte, 0, 256)
	for _, set := range [...]bool{s.Ascending, s.Occurred} {
		if set {
			b = append(b, '1')
		} else {
			b = append(b, '0')
		}
	}
	return c.AppendCanonical(b)
}

func saveQuery(c *criteria.Criteria) *savedQuery {
	return &savedQuery{
		Kind: c.Kind, Text: printText(c.Text), ActorID: c.ActorID, ActorType: c.ActorType, Actions: c.Actions,
		ResourceTypes: c.ResourceTypes, ResourceID: c.ResourceID, Severities: c.Severities, Outcomes: c.Outcomes,
		RequestID: c.RequestID, SessionID: c.SessionID, IP: c.IP, Metadata: c.Metadata,
		From: c.From, To: c.To, RecordedTime: c.RecordedTime,
	}
}

func (s *savedQuery) criteria() (criteria.Criteria, error) {
	parsed, err := text.Parse(s.Text)
	return criteria.Criteria{
		Kind: s.Kind, Text: parsed, ActorID: s.ActorID, ActorType: s.ActorType, Actions: s.Actions,
		ResourceTypes: s.ResourceTypes, ResourceID: s.ResourceID, Severities: s.Severities, Outcomes: s.Outcomes,
		RequestID: s.RequestID, SessionID: s.SessionID, IP: s.IP, Metadata: s.Metadata,
		From: s.From, To: s.To, RecordedTime: s.RecordedTime,
	}, err
}

// printText is a query that parses to the same tree, as far as words can say it; sealCursor checks that it does.
func printText(q text.Query) string {
	var words []string
	var walk func(text.Node)
	walk = func(n text.Node) {
		switch n := n.(type) {
		case text.Token:
			words = append(words, string(n))
		case text.And:
			for _, e := range n {
				walk(e)
			}
		case text.Never:
			words = append(words, "!")
		}
	}
	walk(q.Root())
	return strings.Join(words, " ")
}
