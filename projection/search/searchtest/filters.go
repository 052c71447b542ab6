package searchtest

import (
	"testing"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/internal/criteria"
)

// full is an entry with every field that is searched.
func full() (format.Public, format.Private) {
	occurred := Start + 30*60*1_000000
	return format.Public{Action: "GetBucketPolicy", Severity: "ERROR", Outcome: "denied", ActorType: "service", ResourceType: "s3.bucket", OccurredAt: &occurred},
		format.Private{
			Actor:      format.Actor{ID: "User-7", Name: "Zoë Müller", Email: "zoe@example.com", SessionID: "sess-1"},
			OnBehalfOf: []format.Ref{{Type: "user", ID: "boss-9", Name: "Big Boss"}},
			Resource:   format.Resource{ID: "arn:aws:s3:::My-Bucket", Name: "quarterly figures"},
			Related:    []format.Ref{{Type: "ticket", ID: "TCK-42", Name: "audit request"}},
			Message:    "Policy read from 東京支店, nothing changed.",
			Source:     format.Source{IP: "10.1.2.3", UserAgent: "curl/8.5.0", Service: "s3.amazonaws.com", Version: "v2"},
			RequestID:  "req-77", TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", Subjects: []string{"subject-only"},
			Metadata: []byte(`{"app":{"name":"Console","ports":[80,443],"users":[{"id":5},{"id":"x y"}]},"ratio":1.50,"on":true,"none":null,"dotted.key":"D"}`),
			Before:   []byte(`{"hidden":"before-text"}`),
		}
}

func everyFilter(t *testing.T, open New) {
	f := newFixture(t, open)
	pub, priv := full()
	f.log.Record(Tenant(1), pub, priv)
	f.log.Record(Tenant(1), at(Start), format.Private{Actor: format.Actor{ID: "user-7"}, Metadata: []byte(`{"on":false,"app":{"ports":[8080]}}`)})
	f.apply()
	meta := func(path, value string) criteria.Criteria {
		return criteria.Criteria{Metadata: []criteria.Metadata{{Path: path, Value: value}}}
	}
	for name, c := range map[string]criteria.Criteria{
		"actor_id": {ActorID: "User-7"}, "actor_type": {ActorType: "service"}, "action": {Actions: []string{"GetBucketPolicy"}},
		"action list": {Actions: []string{"CREATE", "GetBucketPolicy"}}, "resource_type": {ResourceTypes: []string{"s3.bucket"}},
		"resource_id": {ResourceID: "arn:aws:s3:::My-Bucket"}, "severity": {Severities: []string{"CRITICAL", "ERROR"}},
		"outcome": {Outcomes: []string{"denied"}}, "request_id": {RequestID: "req-77"}, "session_id": {SessionID: "sess-1"},
		"ip": {IP: "10.1.2.3"}, "all at once": {ActorID: "User-7", Severities: []string{"ERROR"}, IP: "10.1.2.3", Actions: []string{"GetBucketPolicy"}},
		"metadata text": meta("app.name", "Console"), "metadata number": meta("app.ports", "443"), "metadata in array": meta("app.users.id", "5"),
		"metadata space": meta("app.users.id", "x y"), "metadata RFC 8785": meta("ratio", "1.5"), "metadata bool": meta("on", "true"),
		"metadata null": meta("none", "null"), "metadata dotted key": meta("dotted.key", "D"),
		"from": {From: micros(Start + 1)}, "from and to": {From: micros(Start + 30*60*1_000000), To: micros(Start + 30*60*1_000000 + 1)},
		"recorded to": {To: micros(Start + 1), RecordedTime: true},
	} {
		f.expect(name, Tenant(1), c, 1)
	}
	for name, c := range map[string]criteria.Criteria{
		"case counts": {ActorID: "USER-7"}, "part of a value": {ResourceID: "My-Bucket"}, "other field": {ActorID: "req-77"},
		"contradiction": {ActorID: "User-7", Severities: []string{"INFO"}}, "metadata other path": meta("app", "Console"),
		"metadata container": meta("app.users", ""), "metadata both values": {Metadata: []criteria.Metadata{{Path: "on", Value: "true"}, {Path: "on", Value: "false"}}},
		"time is half-open": {To: micros(Start)}, "empty time": {From: micros(Start + 5), To: micros(Start + 5)},
		"recorded from": {From: micros(Start + 3_000000), RecordedTime: true},
	} {
		f.expect(name, Tenant(1), c)
	}
	f.expect("recorded from the second", Tenant(1), criteria.Criteria{From: micros(Start + 1_000000), RecordedTime: true}, 2)
	f.expect("none", Tenant(1), criteria.Criteria{}, 1, 2)
}

func everyText(t *testing.T, open New) {
	f := newFixture(t, open)
	pub, priv := full()
	f.log.Record(Tenant(1), pub, priv)
	f.log.Record(Tenant(1), at(Start), format.Private{Actor: format.Actor{ID: "other"}})
	f.apply()
	for _, q := range []string{
		"getbucketpolicy", "Bucket policy", "user-7", "ZOE", "muller", "zoe@example.com", "example.com", "sess-1", "boss-9", "big boss",
		"s3.bucket", "arn:aws:s3:::my-bucket", "my-bucket", "quarterly", "tck-42", "ticket", "audit request", "nothing changed", "東京", "京支店",
		"10.1.2.3", "curl", "curl/8.5.0", "s3.amazonaws.com", "amazonaws", "req-77", "4bf92f3577b34da6a3ce929d0e0e4736", "console", "ports",
		"443", "1.5", "dotted.key", "users x", "policy 東京 zoe console",
	} {
		f.expect(q, Tenant(1), words(t, q), 1)
	}
	for _, q := range []string{"absent", "policy absent", "subject-only", "before-text", "東店", "bucketpol", "*", "\"", "error"} {
		f.expect(q, Tenant(1), words(t, q))
	}
	f.expect("space", Tenant(1), words(t, "  "), 1, 2)
}

func injectionIsText(t *testing.T, open New) {
	f := newFixture(t, open)
	evil := `x" OR "1 ' OR 1=1 -- * NEAR( {a b} : ^ AND NOT`
	f.log.Record(Tenant(1), at(Start), format.Private{Actor: format.Actor{ID: evil}, Metadata: []byte(`{"k":"a\" OR \"b"}`)})
	f.log.Record(Tenant(1), at(Start), format.Private{Actor: format.Actor{ID: "x"}})
	f.apply()
	f.expect("whole", Tenant(1), criteria.Criteria{ActorID: evil}, 1)
	f.expect("query", Tenant(1), words(t, evil), 1)
	for _, s := range []string{`x" OR "`, `*`, `x*`, `"`, `' OR '1'='1`, `x" AND "x`, `x) OR (x`, "x\x00", `NOT x`, `_exists_:x`, `/.*/`, `^x`, `{x}`} {
		f.expect(s, Tenant(1), criteria.Criteria{ActorID: s})
		f.expect(s, Tenant(1), criteria.Criteria{Metadata: []criteria.Metadata{{Path: s, Value: s}}})
	}
	f.expect("operators are words", Tenant(1), words(t, "NOT x"), 1)
	f.expect("operators are words", Tenant(1), words(t, "x OR absent"))
}

func kindsAreApart(t *testing.T, open New) {
	f := newFixture(t, open)
	f.log.Append(Tenant(1), format.Public{Type: eventstore.TenantCreated, Action: "READ"}, format.Private{Actor: format.Actor{ID: "a"}})
	f.log.Record(Tenant(1), at(Start), format.Private{Actor: format.Actor{ID: "a"}})
	f.log.Append(Tenant(1), format.Public{Type: "access.list", Action: "READ"}, format.Private{Actor: format.Actor{ID: "a"}})
	f.apply()
	for kind, want := range map[criteria.Kind][]eventstore.Position{"": {2}, criteria.Entries: {2}, criteria.Access: {1, 3}, criteria.All: {1, 2, 3}} {
		f.expect(string(kind), Tenant(1), criteria.Criteria{Kind: kind}, want...)
		f.expect(string(kind)+" with a filter", Tenant(1), criteria.Criteria{Kind: kind, ActorID: "a"}, want...)
		f.expect(string(kind)+" with a time", Tenant(1), criteria.Criteria{Kind: kind, From: micros(Start)}, want...)
		c := words(t, "read")
		c.Kind = kind
		f.expect(string(kind)+" with a word", Tenant(1), c, want...)
	}
}

func tenantsNeverMeet(t *testing.T, open New) {
	f := newFixture(t, open)
	for n := range byte(40) { // so that numbers of two digits are met, too
		f.log.Record(Tenant(n+1), at(Start), format.Private{Actor: format.Actor{ID: "a"}, Message: "same words"})
	}
	f.apply()
	for _, n := range []byte{1, 2, 11, 36, 37, 40} {
		f.expect("all", Tenant(n), criteria.Criteria{}, 1)
		f.expect("filter", Tenant(n), criteria.Criteria{ActorID: "a"}, 1)
		f.expect("words", Tenant(n), words(t, "same words"), 1)
	}
	f.expect("a tenant without entries", Tenant(99), criteria.Criteria{ActorID: "a"})
}
