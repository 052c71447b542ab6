package entry

import (
	"strconv"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/canon"
)

// AppendJSON appends the entry as the HTTP contract shows it ("Entry"): fields in the order of its table, absent ones
// left out, times in UTC with six digits. The bytes are the same for the same entry, whoever renders it. `type` is shown
// for events that are no entries. Of an erased entry only what is public is shown: of each amendment its event, position
// and time.
func (e *Entry) AppendJSON(b []byte) []byte {
	o := object{b: append(b, '{')}
	o.id("id", e.ID)
	o.id("tenant_id", eventstore.EventID(e.Tenant))
	if e.Type != eventstore.EntryRecorded {
		o.text("type", string(e.Type))
	}
	o.number("position", int64(e.Position))
	o.time("recorded_at", e.RecordedAt)
	o.open("emitter")
	o.text("sub", e.Private.Emitter)
	o.roles(e.Public.Roles)
	o.close()
	o.time("occurred_at", e.OccurredAt)
	o.text("action", e.Public.Action)
	e.appendWho(&o)
	e.appendWhat(&o)
	e.appendObjects(&o)
	o.text("idempotency_key", e.Private.IdempotencyKey)
	o.texts("subjects", e.Private.Subjects)
	o.number("revision", int64(1+len(e.Amendments)))
	o.amendments(e.Amendments)
	if e.Erased != nil {
		o.open("erased")
		o.time("at", e.Erased.At)
		o.id("by_event", e.Erased.By)
		o.close()
	}
	return append(o.b, '}')
}

func (e *Entry) appendWho(o *object) {
	a := &e.Private.Actor
	o.open("actor")
	o.text("type", e.Public.ActorType)
	o.text("id", a.ID)
	o.text("name", a.Name)
	o.text("email", a.Email)
	o.text("session_id", a.SessionID)
	o.close()
	o.refs("on_behalf_of", e.Private.OnBehalfOf)
}

func (e *Entry) appendWhat(o *object) {
	p := &e.Private
	o.open("resource")
	o.text("type", e.Public.ResourceType)
	o.text("id", p.Resource.ID)
	o.text("name", p.Resource.Name)
	o.close()
	o.refs("related", p.Related)
	o.text("severity", e.Public.Severity)
	o.text("outcome", e.Public.Outcome)
	o.text("message", p.Message)
	if p.Source != (format.Source{}) {
		o.open("source")
		o.text("ip", p.Source.IP)
		o.text("user_agent", p.Source.UserAgent)
		o.text("service", p.Source.Service)
		o.text("version", p.Source.Version)
		o.close()
	}
	o.text("request_id", p.RequestID)
	o.text("trace_id", p.TraceID)
}

func (e *Entry) appendObjects(o *object) {
	p := &e.Private
	o.raw("before", p.Before)
	o.raw("after", p.After)
	if p.Before != nil || p.After != nil {
		o.key("changes")
		o.b = appendChanges(o.b, p.Before, p.After)
	}
	o.raw("metadata", p.Metadata)
}

// object writes the members of a JSON object; empty values are left out.
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

func (o *object) open(name string) {
	o.key(name)
	o.b, o.more = append(o.b, '{'), false
}

func (o *object) close() { o.b, o.more = append(o.b, '}'), true }

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

func (o *object) number(name string, value int64) {
	o.key(name)
	o.b = strconv.AppendInt(o.b, value, 10)
}

func (o *object) time(name string, at eventstore.Micros) {
	o.key(name)
	o.b = append(at.AppendTo(append(o.b, '"')), '"')
}

func (o *object) id(name string, id eventstore.EventID) {
	o.key(name)
	o.b, _ = id.AppendText(append(o.b, '"'))
	o.b = append(o.b, '"')
}

func (o *object) texts(name string, values []string) {
	if len(values) > 0 {
		o.list(name, values)
	}
}

// roles are shown even when there are none: a credential without roles is a fact, too.
func (o *object) roles(values []string) { o.list("roles", values) }

func (o *object) list(name string, values []string) {
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

func (o *object) refs(name string, refs []format.Ref) {
	if len(refs) == 0 {
		return
	}
	o.key(name)
	o.b = append(o.b, '[')
	for i, r := range refs {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b, o.more = append(o.b, '{'), false
		o.text("type", r.Type)
		o.text("id", r.ID)
		o.text("name", r.Name)
		o.close()
	}
	o.b = append(o.b, ']')
}

func (o *object) amendments(list []Amendment) {
	if len(list) == 0 {
		return
	}
	o.key("amendments")
	o.b = append(o.b, '[')
	for i := range list {
		a := &list[i]
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b, o.more = append(o.b, '{'), false
		o.id("event_id", a.EventID)
		o.number("position", int64(a.Position))
		o.time("at", a.At)
		o.text("by", a.By)
		o.text("reason", a.Reason)
		o.text("message", a.Message)
		o.raw("metadata", a.Metadata)
		o.close()
	}
	o.b = append(o.b, ']')
}
