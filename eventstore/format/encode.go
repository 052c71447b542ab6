package format

import (
	"strconv"

	"auditlog/eventstore"
	"auditlog/internal/canon"
)

// AppendPublic appends the canonical public part. Keys are written in RFC 8785 order.
func AppendPublic(b []byte, p *Public) []byte {
	o := object{canon.Members{B: append(b, '{')}}
	o.Text("action", p.Action)
	o.Text("actor_type", p.ActorType)
	if !p.EntryID.IsZero() {
		o.Key("entry_id")
		o.B = appendQuotedID(o.B, p.EntryID)
	}
	o.Key("id")
	o.B = appendQuotedID(o.B, p.ID)
	o.Texts("masked", p.Masked)
	if p.OccurredAt != nil {
		o.Key("occurred_at")
		o.B = append(p.OccurredAt.AppendTo(append(o.B, '"')), '"')
	}
	o.Text("outcome", p.Outcome)
	o.Key("private")
	o.B = append(b64.AppendEncode(append(o.B, '"'), p.Private[:]), '"')
	o.Text("resource_type", p.ResourceType)
	o.Texts("roles", p.Roles)
	o.Text("severity", p.Severity)
	o.Text("type", string(p.Type))
	o.Key("v")
	o.B = appendInt(o.B, Version)
	return append(o.B, '}')
}

// AppendPrivate appends the canonical private part. Keys are written in RFC 8785 order.
func AppendPrivate(b []byte, p *Private) []byte {
	o := object{canon.Members{B: append(b, '{')}}
	if p.Actor != (Actor{}) {
		o.Open("actor")
		o.Text("email", p.Actor.Email)
		o.Text("id", p.Actor.ID)
		o.Text("name", p.Actor.Name)
		o.Text("session_id", p.Actor.SessionID)
		o.End()
	}
	o.Raw("after", p.After)
	o.Raw("before", p.Before)
	o.Text("emitter", p.Emitter)
	o.Text("idempotency_key", p.IdempotencyKey)
	o.Text("message", p.Message)
	o.Raw("metadata", p.Metadata)
	o.refs("on_behalf_of", p.OnBehalfOf)
	o.Text("reason", p.Reason)
	o.refs("related", p.Related)
	o.Text("request_id", p.RequestID)
	if p.Resource != (Resource{}) {
		o.Open("resource")
		o.Text("id", p.Resource.ID)
		o.Text("name", p.Resource.Name)
		o.End()
	}
	o.Key("salt")
	o.B = append(b64.AppendEncode(append(o.B, '"'), p.Salt[:]), '"')
	if p.Source != (Source{}) {
		o.Open("source")
		o.Text("ip", p.Source.IP)
		o.Text("service", p.Source.Service)
		o.Text("user_agent", p.Source.UserAgent)
		o.Text("version", p.Source.Version)
		o.End()
	}
	o.Texts("subjects", p.Subjects)
	o.Text("trace_id", p.TraceID)
	return append(o.B, '}')
}

// object writes the members of a JSON object whose keys are plain ASCII and come in order.
type object struct{ canon.Members }

func (o *object) refs(name string, values []Ref) {
	if len(values) == 0 {
		return
	}
	o.Key(name)
	o.B = append(o.B, '[')
	for i, v := range values {
		if i > 0 {
			o.B = append(o.B, ',')
		}
		o.Begin()
		o.Text("id", v.ID)
		o.Text("name", v.Name)
		o.Text("type", v.Type)
		o.End()
	}
	o.B = append(o.B, ']')
}

func appendQuotedID(b []byte, id eventstore.EventID) []byte {
	b, _ = id.AppendText(append(b, '"'))
	return append(b, '"')
}

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }
