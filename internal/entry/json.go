package entry

import (
	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/canon"
)

// AppendJSON appends the entry as the HTTP contract shows it ("Entry"): fields in the order of its table, absent ones
// left out, times in UTC with six digits. The bytes are the same for the same entry, whoever renders it. `type` is shown
// for events that are no entries. Of an erased entry only what is public is shown: of each amendment its event, position
// and time.
func (e *Entry) AppendJSON(b []byte) []byte {
	o := object{canon.Members{B: append(b, '{')}}
	o.id("id", e.ID)
	o.id("tenant_id", eventstore.EventID(e.Tenant))
	if e.Type != eventstore.EntryRecorded {
		o.Text("type", string(e.Type))
	}
	o.Int("position", int64(e.Position))
	o.time("recorded_at", e.RecordedAt)
	o.Open("emitter")
	o.Text("sub", e.Private.Emitter)
	o.roles(e.Public.Roles)
	o.End()
	o.time("occurred_at", e.OccurredAt)
	o.Text("action", e.Public.Action)
	e.appendWho(&o)
	e.appendWhat(&o)
	e.appendObjects(&o)
	o.Text("idempotency_key", e.Private.IdempotencyKey)
	o.Texts("subjects", e.Private.Subjects)
	o.Int("revision", int64(1+len(e.Amendments)))
	o.amendments(e.Amendments)
	if e.Erased != nil {
		o.Open("erased")
		o.time("at", e.Erased.At)
		o.id("by_event", e.Erased.By)
		o.End()
	}
	return append(o.B, '}')
}

func (e *Entry) appendWho(o *object) {
	a := &e.Private.Actor
	o.Open("actor")
	o.Text("type", e.Public.ActorType)
	o.Text("id", a.ID)
	o.Text("name", a.Name)
	o.Text("email", a.Email)
	o.Text("session_id", a.SessionID)
	o.End()
	o.refs("on_behalf_of", e.Private.OnBehalfOf)
}

func (e *Entry) appendWhat(o *object) {
	p := &e.Private
	o.Open("resource")
	o.Text("type", e.Public.ResourceType)
	o.Text("id", p.Resource.ID)
	o.Text("name", p.Resource.Name)
	o.End()
	o.refs("related", p.Related)
	o.Text("severity", e.Public.Severity)
	o.Text("outcome", e.Public.Outcome)
	o.Text("message", p.Message)
	if p.Source != (format.Source{}) {
		o.Open("source")
		o.Text("ip", p.Source.IP)
		o.Text("user_agent", p.Source.UserAgent)
		o.Text("service", p.Source.Service)
		o.Text("version", p.Source.Version)
		o.End()
	}
	o.Text("request_id", p.RequestID)
	o.Text("trace_id", p.TraceID)
}

func (e *Entry) appendObjects(o *object) {
	p := &e.Private
	o.Raw("before", p.Before)
	o.Raw("after", p.After)
	if p.Before != nil || p.After != nil {
		o.Key("changes")
		o.B = appendChanges(o.B, p.Before, p.After)
	}
	o.Raw("metadata", p.Metadata)
}

// object writes the members of a JSON object; empty values are left out.
type object struct{ canon.Members }

func (o *object) time(name string, at eventstore.Micros) {
	o.Key(name)
	o.B = append(at.AppendTo(append(o.B, '"')), '"')
}

func (o *object) id(name string, id eventstore.EventID) {
	o.Key(name)
	o.B, _ = id.AppendText(append(o.B, '"'))
	o.B = append(o.B, '"')
}

// roles are shown even when there are none: a credential without roles is a fact, too.
func (o *object) roles(values []string) { o.List("roles", values) }

func (o *object) refs(name string, refs []format.Ref) {
	if len(refs) == 0 {
		return
	}
	o.Key(name)
	o.B = append(o.B, '[')
	for i, r := range refs {
		if i > 0 {
			o.B = append(o.B, ',')
		}
		o.Begin()
		o.Text("type", r.Type)
		o.Text("id", r.ID)
		o.Text("name", r.Name)
		o.End()
	}
	o.B = append(o.B, ']')
}

func (o *object) amendments(list []Amendment) {
	if len(list) == 0 {
		return
	}
	o.Key("amendments")
	o.B = append(o.B, '[')
	for i := range list {
		a := &list[i]
		if i > 0 {
			o.B = append(o.B, ',')
		}
		o.Begin()
		o.id("event_id", a.EventID)
		o.Int("position", int64(a.Position))
		o.time("at", a.At)
		o.Text("by", a.By)
		o.Text("reason", a.Reason)
		o.Text("message", a.Message)
		o.Raw("metadata", a.Metadata)
		o.End()
	}
	o.B = append(o.B, ']')
}
