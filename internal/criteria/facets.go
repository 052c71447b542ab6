package criteria

import (
	"auditlog/eventstore"
	"auditlog/internal/canon"
	"auditlog/internal/entry"
	"auditlog/internal/text"
)

// Names of the fields that are compared by equality. A metadata leaf's field is MetadataPrefix and its path.
const (
	ActorID        = "actor_id"
	ActorType      = "actor_type"
	Action         = "action"
	ResourceType   = "resource_type"
	ResourceID     = "resource_id"
	Severity       = "severity"
	Outcome        = "outcome"
	RequestID      = "request_id"
	SessionID      = "session_id"
	IP             = "ip"
	MetadataPrefix = "metadata."
)

// KindOf is the kind of an answer that an event counts for; "" for amendments and erasures, which count for none.
func KindOf(t eventstore.Type) Kind {
	switch t {
	case eventstore.EntryRecorded:
		return Entries
	case eventstore.EntryAmended, eventstore.EntryErased:
		return ""
	}
	return Access
}

// Facets yields the fields of an entry that filters compare, metadata apart, and their values; absent ones are left out.
func Facets(e *entry.Entry, yield func(field, value string)) {
	each := func(field, value string) {
		if value != "" {
			yield(field, value)
		}
	}
	each(Action, e.Public.Action)
	each(ActorType, e.Public.ActorType)
	each(ResourceType, e.Public.ResourceType)
	each(Severity, e.Public.Severity)
	each(Outcome, e.Public.Outcome)
	each(ActorID, e.Private.Actor.ID)
	each(SessionID, e.Private.Actor.SessionID)
	each(ResourceID, e.Private.Resource.ID)
	each(RequestID, e.Private.RequestID)
	each(IP, e.Private.Source.IP)
}

// Leaves yields the scalars in an entry's metadata and in that of its amendments: the path is the keys joined by dots,
// elements of arrays go by the path of the array; the value is a string's content, a number's RFC 8785 form, "true",
// "false" or "null". path and value are valid only during the call.
func Leaves(e *entry.Entry, yield func(path, value []byte)) {
	eachMetadata(e, func(root canon.Node) { leaves(root, make([]byte, 0, 64), yield) })
}

// eachMetadata visits the metadata of an entry and of its amendments. Stored bytes are canonical; what is not is the
// store's damage, found by whoever verifies, and holds no leaf.
func eachMetadata(e *entry.Entry, visit func(canon.Node)) {
	one := func(raw []byte) {
		if len(raw) <= len("{}") {
			return
		}
		doc, err := canon.Parse(raw, canon.Limits{FoldDepth: -1})
		if err != nil {
			return
		}
		visit(doc.Root())
		doc.Release()
	}
	one(e.Private.Metadata)
	for i := range e.Amendments {
		one(e.Amendments[i].Metadata)
	}
}

func leaves(n canon.Node, path []byte, yield func(path, value []byte)) {
	switch n.Kind() {
	case canon.Object:
		for key, v := range n.Members() {
			sub := path
			if len(path) > 0 {
				sub = append(sub, '.')
			}
			leaves(v, append(sub, key...), yield)
		}
	case canon.Array:
		for v := range n.Elems() {
			leaves(v, path, yield)
		}
	default:
		yield(path, scalar(n))
	}
}

func scalar(n canon.Node) []byte {
	switch n.Kind() {
	case canon.String:
		return n.Bytes()
	case canon.Number:
		return n.Number()
	default:
		return n.Raw()
	}
}

// Texts yields the texts of an entry that a query is asked of, one by one: a word never spans two.
func Texts(e *entry.Entry, yield func(string)) {
	each := func(values ...string) {
		for _, v := range values {
			if v != "" {
				yield(v)
			}
		}
	}
	p := &e.Private
	each(e.Public.Action, p.Message)
	each(p.Actor.ID, p.Actor.Name, p.Actor.Email, p.Actor.SessionID)
	for _, r := range p.OnBehalfOf {
		each(r.ID, r.Name)
	}
	each(e.Public.ResourceType, p.Resource.ID, p.Resource.Name)
	for _, r := range p.Related {
		each(r.Type, r.ID, r.Name)
	}
	each(p.Source.IP, p.Source.UserAgent, p.Source.Service, p.Source.Version)
	each(p.RequestID, p.TraceID)
	for i := range e.Amendments {
		each(e.Amendments[i].Message, e.Amendments[i].Reason)
	}
	eachMetadata(e, func(root canon.Node) { keysAndValues(root, yield) })
}

func keysAndValues(n canon.Node, yield func(string)) {
	switch n.Kind() {
	case canon.Object:
		for key, v := range n.Members() {
			yield(string(key))
			keysAndValues(v, yield)
		}
	case canon.Array:
		for v := range n.Elems() {
			keysAndValues(v, yield)
		}
	case canon.Null:
	default:
		yield(string(scalar(n)))
	}
}

// matchText asks the query of the entry's texts.
func matchText(q text.Query, e *entry.Entry) bool {
	if q.IsZero() {
		return true
	}
	m := q.Matcher()
	Texts(e, m.Add)
	return m.Matched()
}
