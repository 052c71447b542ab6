// Package seed makes up audit entries that look like an office's day: a few hundred people, services and documents, most
// of it reading, some of it refused. The same seed and number give the same entry.
package seed

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// Generator makes the entries of one seed. It is not safe for concurrent use.
type Generator struct {
	// Start and Step place the entries in time: entry n occurred at Start + n·Step.
	Start time.Time
	Step  time.Duration
	// Key puts an idempotency key into each entry, so that sending one again stores nothing.
	Key bool

	seed uint64
	r    *rand.Rand
	src  *rand.PCG
}

// New makes a generator whose entries end now and lie evenly over the days before it.
func New(seed uint64, count int, now time.Time, days int) *Generator {
	span := time.Duration(days) * 24 * time.Hour
	src := rand.NewPCG(seed, 0)
	return &Generator{
		Start: now.Add(-span).UTC().Truncate(time.Microsecond), Step: span / time.Duration(max(count, 1)), Key: true,
		seed: seed, src: src, r: rand.New(src),
	}
}

type verb struct{ action, kind, words string }

var verbs = []verb{
	{"document.read", "document", "opened the document"}, {"document.read", "document", "opened the document"},
	{"document.shared", "document", "shared the document with the team"}, {"document.updated", "document", "changed the title and two paragraphs"},
	{"session.started", "session", "signed in with a second factor"}, {"session.ended", "session", "signed out"},
	{"invoice.approved", "invoice", "approved the invoice for payment"}, {"role.granted", "role", "granted the role of an editor"},
	{"report.exported", "report", "exported the quarterly report"}, {"secret.rotated", "secret", "rotated the signing key"},
}

var (
	people    = []string{"ann", "bob", "chidi", "dora", "emil", "fatima", "goran", "hana", "ines", "jakob", "keiko", "lars"}
	colours   = []string{"amber", "blue", "cyan", "green", "indigo", "orange", "purple", "red", "teal", "violet"}
	regions   = []string{"eu-central", "eu-west", "us-east", "ap-south"}
	agents    = []string{"Mozilla/5.0 (X11; Linux x86_64) Firefox/131.0", "office-app/7.2 (Android 15)", "batch-runner/2.4"}
	bucketing = 200 // people, beside the names
)

type actor struct {
	Type      string `json:"type"`
	ID        string `json:"id"`
	Name      string `json:"name,omitempty"`
	SessionID string `json:"session_id,omitempty"`
}

type resource struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

type source struct {
	IP        string `json:"ip"`
	UserAgent string `json:"user_agent"`
}

type metadata struct {
	Region  string `json:"region"`
	Colour  string `json:"colour"`
	Attempt int    `json:"attempt"`
	Latency string `json:"latency_ms"`
	Number  int64  `json:"number"`
}

type entry struct {
	Key        string   `json:"idempotency_key,omitempty"`
	OccurredAt string   `json:"occurred_at"`
	Action     string   `json:"action"`
	Actor      actor    `json:"actor"`
	Resource   resource `json:"resource"`
	Severity   string   `json:"severity"`
	Outcome    string   `json:"outcome"`
	Message    string   `json:"message"`
	Source     source   `json:"source"`
	RequestID  string   `json:"request_id"`
	Metadata   metadata `json:"metadata"`
}

// Append appends entry n as JSON, about 600 bytes.
func (g *Generator) Append(dst []byte, n int64) ([]byte, error) {
	g.src.Seed(g.seed, uint64(n))
	r := g.r
	v := verbs[r.IntN(len(verbs))]
	who := people[r.IntN(len(people))]
	number := r.IntN(bucketing)
	e := entry{
		OccurredAt: g.Start.Add(time.Duration(n) * g.Step).Format("2006-01-02T15:04:05.000000Z"), Action: v.action,
		Actor:    actor{Type: "user", ID: who + "-" + strconv.Itoa(number), Name: who, SessionID: fmt.Sprintf("s-%08x", r.Uint32())},
		Resource: resource{Type: v.kind, ID: v.kind + "-" + strconv.Itoa(r.IntN(5000)), Name: colours[r.IntN(len(colours))] + " " + v.kind},
		Severity: "INFO", Outcome: "success", Message: who + " " + v.words + " in " + colours[r.IntN(len(colours))],
		Source:    source{IP: fmt.Sprintf("10.%d.%d.%d", r.IntN(4), r.IntN(256), r.IntN(256)), UserAgent: agents[r.IntN(len(agents))]},
		RequestID: fmt.Sprintf("req-%016x", r.Uint64()),
		Metadata: metadata{
			Region: regions[r.IntN(len(regions))], Colour: colours[r.IntN(len(colours))], Attempt: r.IntN(3),
			Latency: strconv.Itoa(r.IntN(900)), Number: n,
		},
	}
	switch x := r.IntN(100); {
	case x < 3:
		e.Severity, e.Outcome = "WARNING", "denied"
	case x < 5:
		e.Severity, e.Outcome = "ERROR", "failure"
	}
	if g.Key {
		e.Key = fmt.Sprintf("seed:%d:%d", g.seed, n)
	}
	b, err := json.Marshal(e)
	return append(dst, b...), err
}
