package format

import (
	"bytes"
	"fmt"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/canon"
)

// DecodePublic reads the plain public part.
func DecodePublic(plain []byte) (Public, error) {
	var p Public
	err := members(plain, "public", func(key string, n canon.Node) (err error) {
		switch key {
		case "action":
			p.Action = n.Text()
		case "actor_type":
			p.ActorType = n.Text()
		case "entry_id":
			p.EntryID, err = eventstore.ParseEventID(n.Text())
		case "id":
			p.ID, err = eventstore.ParseEventID(n.Text())
		case "masked":
			p.Masked = texts(n)
		case "occurred_at":
			var t time.Time
			t, err = time.Parse(time.RFC3339Nano, n.Text())
			at := eventstore.MicrosOf(t)
			p.OccurredAt = &at
		case "outcome":
			p.Outcome = n.Text()
		case "private":
			err = fixed(p.Private[:], n)
		case "resource_type":
			p.ResourceType = n.Text()
		case "roles":
			p.Roles = texts(n)
		case "severity":
			p.Severity = n.Text()
		case "type":
			p.Type = eventstore.Type(n.Text())
		case "v":
			if v, ok := n.Int(); !ok || v != Version {
				err = fmt.Errorf("version is not %d", Version)
			}
		}
		return err
	})
	return p, err
}

// DecodePrivate reads the plain private part. The result holds no reference to plain.
func DecodePrivate(plain []byte) (Private, error) {
	var p Private
	err := members(plain, "private", func(key string, n canon.Node) (err error) {
		switch key {
		case "actor":
			p.Actor = Actor{ID: at(n, "id"), Name: at(n, "name"), Email: at(n, "email"), SessionID: at(n, "session_id")}
		case "after":
			p.After = bytes.Clone(n.Raw()) // stored bytes are canonical
		case "before":
			p.Before = bytes.Clone(n.Raw())
		case "emitter":
			p.Emitter = n.Text()
		case "idempotency_key":
			p.IdempotencyKey = n.Text()
		case "message":
			p.Message = n.Text()
		case "metadata":
			p.Metadata = bytes.Clone(n.Raw())
		case "on_behalf_of":
			p.OnBehalfOf = refs(n)
		case "reason":
			p.Reason = n.Text()
		case "related":
			p.Related = refs(n)
		case "request_id":
			p.RequestID = n.Text()
		case "resource":
			p.Resource = Resource{ID: at(n, "id"), Name: at(n, "name")}
		case "salt":
			err = fixed(p.Salt[:], n)
		case "source":
			p.Source = Source{IP: at(n, "ip"), UserAgent: at(n, "user_agent"), Service: at(n, "service"), Version: at(n, "version")}
		case "subjects":
			p.Subjects = texts(n)
		case "trace_id":
			p.TraceID = n.Text()
		}
		return err
	})
	return p, err
}

func members(plain []byte, part string, each func(string, canon.Node) error) error {
	doc, err := canon.Parse(plain, canon.Limits{FoldDepth: -1}) // free objects may hold keys that differ by case
	if err != nil {
		return fmt.Errorf("%s part: %w", part, err)
	}
	defer doc.Release()
	if doc.Root().Kind() != canon.Object {
		return fmt.Errorf("%s part is not an object", part)
	}
	for key, n := range doc.Root().Members() {
		if err := each(string(key), n); err != nil {
			return fmt.Errorf("%s part, %s: %w", part, key, err)
		}
	}
	return nil
}

// at is the text of a member; "" when it is absent.
func at(n canon.Node, key string) string {
	if m := n.Get(key); m.Valid() {
		return m.Text()
	}
	return ""
}

func texts(n canon.Node) []string {
	out := make([]string, 0, n.Len())
	for e := range n.Elems() {
		out = append(out, e.Text())
	}
	return out
}

func refs(n canon.Node) []Ref {
	out := make([]Ref, 0, n.Len())
	for e := range n.Elems() {
		out = append(out, Ref{Type: at(e, "type"), ID: at(e, "id"), Name: at(e, "name")})
	}
	return out
}

func fixed(dst []byte, n canon.Node) error {
	src := n.Bytes()
	if b64.DecodedLen(len(src)) != len(dst) {
		return fmt.Errorf("not %d bytes in base64url", len(dst))
	}
	_, err := b64.Decode(dst, src)
	return err
}
