package cloudtrail

import "auditlog/internal/canon"

// identity writes the actor: who called, as far as the record says. metadata keeps the whole of userIdentity, which
// holds more (account, session context, federation).
func (m *mapping) identity(who canon.Node) {
	id := actorID(who)
	a := m.nested("actor")
	a.str("type", []byte(actorType(who, id)))
	if id == nil {
		id = []byte("unknown")
	}
	a.str("id", id)
	name := who.Get("userName")
	if !name.Valid() {
		name = who.Get("sessionContext").Get("sessionIssuer").Get("userName") // of the role that was assumed
	}
	if fits(name, maxID) {
		a.str("name", name.Bytes())
	}
	if key := who.Get("accessKeyId"); fits(key, maxID) {
		a.str("session_id", key.Bytes())
	}
	m.close(a)
}

// actorID is the most telling name that the identity has: services of AWS have neither ARN nor principal.
func actorID(who canon.Node) []byte {
	for _, name := range []string{"arn", "principalId", "invokedBy", "userName", "accountId"} {
		if v := who.Get(name); fits(v, maxID) {
			return v.Bytes()
		}
	}
	return nil
}

// actorType maps userIdentity.type (CloudTrail user guide, "CloudTrail userIdentity element"). Records of events that a
// service makes by itself have no type.
func actorType(who canon.Node, id []byte) string {
	switch string(who.Get("type").Bytes()) {
	case "Root", "IAMUser", "FederatedUser", "SAMLUser", "WebIdentityUser", "IdentityCenterUser", "Directory":
		return "user"
	case "AssumedRole", "Role", "AWSAccount", "AWSService":
		return "service"
	}
	switch {
	case who.Get("invokedBy").Valid():
		return "service"
	case id == nil || string(who.Get("accountId").Bytes()) == "anonymous":
		return "anonymous"
	default:
		return "user"
	}
}

// resources writes the first resource with an ARN as the entry's, the next ones as related. Many events name none: what
// was acted on is then the service itself. metadata keeps the list, which also tells each one's account.
func (m *mapping) resources(list canon.Node) {
	first := m.nested("resource")
	var rest []canon.Node
	found := false
	for r := range list.Elems() {
		switch {
		case !fits(r.Get("ARN"), maxID):
		case !found:
			found = true
			m.resource(&first, r)
		case len(rest) < maxRelated:
			rest = append(rest, r)
		}
	}
	if !found {
		first.str("type", m.service())
	}
	m.close(first)
	if len(rest) == 0 {
		return
	}
	m.key([]byte("related"))
	for i, r := range rest {
		m.b = append(m.b, "[,"[min(i, 1)])
		o := newObject(m.b)
		m.resource(&o, r)
		m.b = o.end()
	}
	m.b = append(m.b, ']')
}

func (m *mapping) resource(o *object, r canon.Node) {
	kind := m.service()
	if t := r.Get("type"); fits(t, maxType) {
		kind = t.Bytes()
	}
	o.str("type", kind)
	o.str("id", r.Get("ARN").Bytes())
}

// service is eventSource, e.g. "ec2.amazonaws.com".
func (m *mapping) service() []byte {
	if s := m.record.Get("eventSource"); fits(s, maxType) {
		return s.Bytes()
	}
	return []byte("aws")
}
