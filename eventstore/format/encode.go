package format

import (
	"strconv"

	"auditlog/eventstore"
	"auditlog/internal/canon"
)

// AppendPublic appends the canonical public part. Keys are written in RFC 8785 order.
func AppendPublic(b []byte, p *Public) []byte {
	o := object{b: append(b, '{')}
	o.text("action", p.Action)
	o.text("actor_type", p.ActorType)
	if !p.EntryID.IsZero() {
		o.key("entry_id")
		o.b = appendQuotedID(o.b, p.EntryID)
	}
	o.key("id")
	o.b = appendQuotedID(o.b, p.ID)
	o.texts("masked", p.Masked)
	if p.OccurredAt != nil {
		o.key("occurred_at")
		o.b = append(p.OccurredAt.AppendTo(append(o.b, '"')), '"')
	}
	o.text("outcome", p.Outcome)
	o.key("private")
	o.b = append(b64.AppendEncode(append(o.b, '"'), p.Private[:]), '"')
	o.text("resource_type", p.ResourceType)
	o.texts("roles", p.Roles)
	o.text("severity", p.Severity)
	o.text("type", string(p.Type))
	o.key("v")
	o.b = appendInt(o.b, Version)
	return append(o.b, '}')
}

// AppendPrivate appends the canonical private part. Keys are written in RFC 8785 order.
func AppendPrivate(b []byte, p *Private) []byte {
	o := object{b: append(b, '{')}
	if p.Actor != (Actor{}) {
		o.open("actor")
		o.text("email", p.Actor.Email)
		o.text("id", p.Actor.ID)
		o.text("name", p.Actor.Name)
		o.text("session_id", p.Actor.SessionID)
		o.close()
	}
	o.raw("after", p.After)
	o.raw("before", p.Before)
	o.text("emitter", p.Emitter)
	o.text("idempotency_key", p.IdempotencyKey)
	o.text("message", p.Message)
	o.raw("metadata", p.Metadata)
	o.refs("on_behalf_of", p.OnBehalfOf)
	o.text("reason", p.Reason)
	o.refs("related", p.Related)
	o.text("request_id", p.RequestID)
	if p.Resource != (Resource{}) {
		o.open("resource")
		o.text("id", p.Resource.ID)
		o.text("name", p.Resource.Name)
		o.close()
	}
	o.key("salt")
	o.b = append(b64.AppendEncode(append(o.b, '"'), p.Salt[:]), '"')
	if p.Source != (Source{}) {
		o.open("source")
		o.text("ip", p.Source.IP)
		o.text("service", p.Source.Service)
		o.text("user_agent", p.Source.UserAgent)
		o.text("version", p.Source.Version)
		o.close()
	}
	o.texts("subjects", p.Subjects)
	o.text("trace_id", p.TraceID)
	return append(o.b, '}')
}

// object writes the members of a JSON object whose keys are plain ASCII and come in order.
type object struct {
	b    []byte
	more bool
}

func (o *object) key(name string) {
	if o.more {
		o.b = append(o.b, ',')
	}
	o.more = true
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

func (o *object) text(name, value string) {
	if value != "" {
		o.key(name)
		o.b = canon.AppendString(o.b, value)
	}
}

func (o *object) raw(name string, value []byte) {
	if value != nil {
		o.key(name)
		o.b = append(o.b, value...)
	}
}

func (o *object) texts(name string, values []string) {
	if len(values) == 0 {
		return
	}
	o.key(name)
	o.b = append(o.b, '[')
	for i, v := range values {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = canon.AppendString(o.b, v)
	}
	o.b = append(o.b, ']')
}

func (o *object) refs(name string, values []Ref) {
	if len(values) == 0 {
		return
	}
	o.key(name)
	o.b = append(o.b, '[')
	for i, v := range values {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b, o.more = append(o.b, '{'), false
		o.text("id", v.ID)
		o.text("name", v.Name)
		o.text("type", v.Type)
		o.close()
	}
	o.b = append(o.b, ']')
}

func (o *object) open(name string) {
	o.key(name)
	o.b, o.more = append(o.b, '{'), false
}

func (o *object) close() { o.b, o.more = append(o.b, '}'), true }

func appendQuotedID(b []byte, id eventstore.EventID) []byte {
	b, _ = id.AppendText(append(b, '"'))
	return append(b, '"')
}

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }
