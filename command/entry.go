package command

import (
	"net/netip"
	"time"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/canon"
	"auditlog/internal/fault"
)

// maxLead is how far occurred_at may be ahead of the server.
const maxLead = 5 * time.Minute

// How a body is to be parsed before ParseEntry sees it. Keys of the entry itself that differ by case alone are one key
// twice. Inside, they are two: real cloud audit records hold such, in free objects; in the contract's own (actor, source),
// which know lower case only, the other spelling is an unknown field.
var (
	EntryLimits = canon.Limits{FoldDepth: 1} // for a body that is one entry, or a line of NDJSON
	BulkLimits  = canon.Limits{FoldDepth: 3} // for {"entries":[…]}
)

// Defaults is what stands beside the body of a request: values from headers, already checked there.
type Defaults struct {
	Now            time.Time // when the request was received; the zero value means time.Now
	RequestID      string    // X-Request-ID: fills request_id when absent
	TraceID        string    // of traceparent: fills trace_id when absent
	IdempotencyKey string    // Idempotency-Key: fills idempotency_key; one that differs is refused
}

// Entry is a client's entry that keeps every rule. It outlives the document that it was parsed from, and does not change.
type Entry struct {
	public    format.Public  // without id, type, roles and commitment
	private   format.Private // without salt and emitter
	base      string         // JSON pointer of the entry in the request
	canonical []byte         // of the client's JSON; only when there is an idempotency key
	occurred  eventstore.Micros
}

// IdempotencyKey is the key from body or header; "" when there is none.
func (e *Entry) IdempotencyKey() string { return e.private.IdempotencyKey }

var (
	severities = []string{"INFO", "WARNING", "ERROR", "CRITICAL"}
	outcomes   = []string{"success", "failure", "denied", "unknown"}
	actorTypes = []string{"user", "service", "api_key", "system", "agent", "anonymous"}
)

// entryReader reads one entry.
type entryReader struct {
	checker
	*Entry
	now      time.Time
	action   bool // these members were there
	actor    bool
	resource bool
}

// ParseEntry reads an entry of the HTTP contract. base is the JSON pointer of n in the request ("" or "/entries/3"), by
// which broken rules are named; all of them are returned, up to 64, and the entry is nil when there is any.
func ParseEntry(n canon.Node, base string, d Defaults) (*Entry, []fault.Field) {
	r := entryReader{checker: checker{base: base}, Entry: &Entry{base: base}, now: d.Now}
	if n.Kind() != canon.Object {
		r.fail(fault.Invalid, place{}, "must be an object")
		return nil, r.fields
	}
	if d.Now.IsZero() {
		r.now = time.Now()
	}
	r.arena.Grow(min(len(n.Raw()), 512))
	r.public.Severity, r.public.Outcome, r.public.ActorType = severities[0], outcomes[0], actorTypes[0]
	for key, v := range n.Members() {
		r.member(key, v)
	}
	r.required()
	r.defaults(d)
	canonical := r.sized(n)
	if len(r.fields) > 0 {
		return nil, r.fields
	}
	if r.private.IdempotencyKey != "" && canonical == nil {
		canonical = n.AppendCanonical(make([]byte, 0, len(n.Raw())))
	}
	r.canonical = canonical
	return r.Entry, nil
}

func (r *entryReader) member(key []byte, v canon.Node) {
	switch string(key) {
	case "action":
		r.action = true
		r.public.Action = r.need(v, place{name: "action"}, maxAction, action)
	case "actor":
		r.actor = true
		r.readActor(v)
	case "after":
		r.private.After = r.object(v, place{name: "after"})
	case "before":
		r.private.Before = r.object(v, place{name: "before"})
	case "idempotency_key":
		r.readKey(v)
	case "message":
		r.private.Message = r.text(v, place{name: "message"}, maxText, anything)
	case "metadata":
		r.private.Metadata = r.object(v, place{name: "metadata"})
	case "occurred_at":
		r.readOccurredAt(v)
	case "on_behalf_of":
		r.private.OnBehalfOf = r.refs(v, "on_behalf_of")
	case "outcome":
		r.public.Outcome = r.oneOf(v, place{name: "outcome"}, outcomes, false)
	case "related":
		r.private.Related = r.refs(v, "related")
	case "request_id":
		r.private.RequestID = r.text(v, place{name: "request_id"}, maxRequest, noControl)
	case "resource":
		r.resource = true
		r.readResource(v)
	case "severity":
		r.public.Severity = r.oneOf(v, place{name: "severity"}, severities, true)
	case "source":
		r.readSource(v)
	case "subjects":
		r.readSubjects(v)
	case "trace_id":
		r.private.TraceID = r.text(v, place{name: "trace_id"}, maxRequest, noControl)
	case "id", "tenant_id", "position", "recorded_at", "emitter", "changes", "revision", "amendments", "erased":
		r.fail(fault.ReadOnlyField, place{name: string(key)}, "is set by the server only")
	default:
		r.unknown(fault.UnknownField, place{}, key, noSuchField)
	}
}

func (r *entryReader) required() {
	if !r.action {
		r.fail(fault.Invalid, place{name: "action"}, "is required")
	}
	if !r.actor {
		r.fail(fault.Invalid, place{name: "actor"}, "is required")
	}
	if !r.resource {
		r.fail(fault.Invalid, place{name: "resource"}, "is required")
	}
}

func (r *entryReader) defaults(d Defaults) {
	p := &r.private
	if p.RequestID == "" {
		p.RequestID = d.RequestID
	}
	if p.TraceID == "" {
		p.TraceID = d.TraceID
	}
	switch {
	case d.IdempotencyKey == "" || p.IdempotencyKey == d.IdempotencyKey:
	case p.IdempotencyKey == "":
		p.IdempotencyKey = d.IdempotencyKey
	default:
		r.fail(fault.Invalid, place{name: "idempotency_key"}, "differs from the Idempotency-Key header")
	}
}

func (r *entryReader) readActor(n canon.Node) {
	if n.Kind() == canon.Null {
		r.fail(fault.Invalid, place{name: "actor"}, "is required")
		return
	}
	if !r.isObject(n, place{name: "actor"}) {
		return
	}
	at := func(name string) place { return place{parent: "/actor", name: name} }
	a, hasID := &r.private.Actor, false
	for key, v := range n.Members() {
		switch string(key) {
		case "type":
			r.public.ActorType = r.oneOf(v, at("type"), actorTypes, false)
		case "id":
			hasID = true
			a.ID = r.need(v, at("id"), maxID, noControl)
		case "name":
			a.Name = r.text(v, at("name"), maxName, noControl)
		case "email":
			a.Email = r.text(v, at("email"), maxName, noControl)
		case "session_id":
			a.SessionID = r.text(v, at("session_id"), maxID, noControl)
		default:
			r.unknown(fault.UnknownField, at(""), key, noSuchField)
		}
	}
	if !hasID {
		r.fail(fault.Invalid, at("id"), "is required")
	}
}

func (r *entryReader) readResource(n canon.Node) {
	if n.Kind() == canon.Null {
		r.fail(fault.Invalid, place{name: "resource"}, "is required")
		return
	}
	if !r.isObject(n, place{name: "resource"}) {
		return
	}
	at := func(name string) place { return place{parent: "/resource", name: name} }
	hasType := false
	for key, v := range n.Members() {
		switch string(key) {
		case "type":
			hasType = true
			r.public.ResourceType = r.need(v, at("type"), maxType, noControl)
		case "id":
			r.private.Resource.ID = r.text(v, at("id"), maxID, noControl)
		case "name":
			r.private.Resource.Name = r.text(v, at("name"), maxName, noControl)
		default:
			r.unknown(fault.UnknownField, at(""), key, noSuchField)
		}
	}
	if !hasType {
		r.fail(fault.Invalid, at("type"), "is required")
	}
}

func (r *entryReader) readSource(n canon.Node) {
	if !r.isObject(n, place{name: "source"}) {
		return
	}
	at := func(name string) place { return place{parent: "/source", name: name} }
	s := &r.private.Source
	for key, v := range n.Members() {
		switch string(key) {
		case "ip":
			s.IP = r.ip(v, at("ip"))
		case "user_agent":
			s.UserAgent = r.text(v, at("user_agent"), maxAgent, noControl)
		case "service":
			s.Service = r.text(v, at("service"), maxName, noControl)
		case "version":
			s.Version = r.text(v, at("version"), maxType, noControl)
		default:
			r.unknown(fault.UnknownField, at(""), key, noSuchField)
		}
	}
}

// ip takes an address without a zone, as sent. Names of services belong in source.service.
func (r *entryReader) ip(n canon.Node, p place) string {
	text := r.text(n, p, maxID, anything)
	if text == "" {
		return ""
	}
	if a, err := netip.ParseAddr(text); err != nil || a.Zone() != "" {
		r.fail(fault.Invalid, p, "must be an IPv4 or IPv6 address; the name of a service belongs in source.service")
	}
	return text
}

func (r *entryReader) refs(n canon.Node, name string) []format.Ref {
	if !r.isList(n, place{name: name}, maxRefs) || n.Len() == 0 {
		return nil
	}
	refs := make([]format.Ref, 0, n.Len())
	for e := range n.Elems() {
		refs = append(refs, r.ref(e, place{parent: "/" + name, index: len(refs) + 1}))
	}
	return refs
}

func (r *entryReader) ref(n canon.Node, at place) (ref format.Ref) {
	if n.Kind() != canon.Object {
		r.fail(fault.Invalid, at, "must be an object")
		return ref
	}
	of := func(name string) place { return place{parent: at.parent, index: at.index, name: name} }
	hasType, hasID := false, false
	for key, v := range n.Members() {
		switch string(key) {
		case "type":
			hasType = true
			ref.Type = r.need(v, of("type"), maxType, noControl)
		case "id":
			hasID = true
			ref.ID = r.need(v, of("id"), maxID, noControl)
		case "name":
			ref.Name = r.text(v, of("name"), maxName, noControl)
		default:
			r.unknown(fault.UnknownField, at, key, noSuchField)
		}
	}
	if !hasType {
		r.fail(fault.Invalid, of("type"), "is required")
	}
	if !hasID {
		r.fail(fault.Invalid, of("id"), "is required")
	}
	return ref
}

func (r *entryReader) readSubjects(n canon.Node) {
	if !r.isList(n, place{name: "subjects"}, maxSubject) {
		return
	}
	i := 0
	for e := range n.Elems() {
		i++
		r.private.Subjects = append(r.private.Subjects, r.need(e, place{parent: "/subjects", index: i}, maxID, noControl))
	}
}

func (r *entryReader) readKey(n canon.Node) {
	if n.Kind() != canon.Null {
		r.private.IdempotencyKey = r.need(n, place{name: "idempotency_key"}, maxKey, visible)
	}
}

func (r *entryReader) readOccurredAt(n canon.Node) {
	p := place{name: "occurred_at"}
	if n.Kind() == canon.Null {
		return
	}
	at, ok := parseTime(n.Bytes())
	switch {
	case !ok:
		r.fail(fault.Invalid, p, "must be a time like 2006-01-02T15:04:05.999999Z (RFC 3339 section 5.6)")
	case at < 0 || at > eventstore.MicrosOf(r.now.Add(maxLead)):
		r.fail(fault.OutsideWindow, p, "must lie between 1970-01-01 and 5 minutes ahead of the server's clock")
	default:
		r.occurred = at
		r.public.OccurredAt = &r.occurred
	}
}
