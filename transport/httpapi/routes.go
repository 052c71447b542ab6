package httpapi

import (
	"net/http"
	"reflect"

	"auditlog/internal/fault"
	"auditlog/transport/httpapi/auth"
)

const (
	readers  = auth.Admin | auth.TenantAdmin | auth.Auditor | auth.Reader
	managers = auth.Admin | auth.TenantAdmin
)

// unbounded marks routes whose handlers bound each of their steps.
const unbounded = -1

var (
	keyHeader      = headerDoc{"Idempotency-Key", "1 to 255 visible ASCII characters; makes a retry safe, for ever"}
	idHeader       = headerDoc{"X-Request-ID", "1 to 128 visible ASCII characters; fills request_id, and is the instance of problems"}
	traceHeader    = headerDoc{"traceparent", "W3C Trace Context; fills trace_id"}
	locationHeader = headerDoc{"Location", "path of what was made"}
	sequenceHeader = headerDoc{"Bulk-Sequence", "mode=partial: UUID/NUMBER, the bulk's place in a sequence that the client makes up, from 0. Several bulks of " +
		"one may be under way at once and are stored in its order; after one that was not stored, those behind it are answered 409 conflict"}
	replayedHeader = headerDoc{"Idempotency-Replayed", "true when this is the answer to an earlier request with the same key"}
)

var jsonTypes = []string{"application/json"}

func jsonBody[T any](doc string) *body {
	return &body{types: jsonTypes, limit: maxBody, schema: typeOf[T](), doc: doc}
}

// answerOf documents a JSON answer made of a type.
func answerOf[T any](status int, doc string, headers ...headerDoc) answer {
	return answer{status: status, doc: doc, schema: typeOf[T](), headers: headers}
}

// routes is the table of what exists.
func routes(cfg Config) []route {
	table := append(writeRoutes(), readRoutes()...)
	table = append(table, manageRoutes()...)
	if cfg.BenchNull {
		table = append(table, route{
			method: http.MethodPost, path: "/api/v1/bench/null", name: "benchNull", load: writing, who: auth.Writer, hidden: true,
			body: jsonBody[newEntry](""), answers: []answer{answerOf[entryView](201, "")}, handle: (*Server).postNull,
		})
	}
	return table
}

func writeRoutes() []route {
	return []route{
		{
			method: http.MethodPost, path: "/api/v1/logs", name: "createEntry", tag: "Write", title: "Record one entry",
			doc: "The entry is durable when this is answered. With an idempotency key a retry answers the same again, for ever: of an entry that was " +
				"erased or purged since, only id, position and that.",
			load: writing, who: auth.Writer, headers: []headerDoc{keyHeader, idHeader, traceHeader}, body: jsonBody[newEntry]("at most 256 KiB; gzip is accepted"),
			answers: []answer{{
				status: 201, doc: "The entry as stored; for a retry whose entry was erased or purged since, what is left to tell.",
				schema: typeOf[entryView](), or: []reflect.Type{typeOf[erasedEntryView](), typeOf[purgedEntryView]()},
				headers: []headerDoc{locationHeader, replayedHeader},
			}},
			faults: []fault.Kind{fault.BadIdempotencyKey, fault.InFlight, fault.KeyReuse, fault.Overloaded, fault.OutsideWindow, fault.ReadOnlyField},
			handle: (*Server).postEntry,
		},
		{
			method: http.MethodPost, path: "/api/v1/logs/bulk", name: "createEntries", tag: "Write", title: "Record up to 1,000 entries",
			doc:  "All or none of them (mode=atomic), or each for itself (mode=partial). Entries carry idempotency_key themselves.",
			load: writing, who: auth.Writer, params: []param{{name: "mode", kind: enumParam, enum: []string{"atomic", "partial"}, def: "atomic", doc: "all or none, or each for itself"}},
			headers: []headerDoc{sequenceHeader, idHeader, traceHeader},
			body: &body{types: []string{"application/json", ndjsonType}, limit: maxBulk, bulk: true, schema: typeOf[newBulk](),
				doc: "at most 5 MiB, also after decompression; as NDJSON one entry a line; gzip is accepted"},
			answers: []answer{answerOf[bulkView](201, "Atomic: all are stored."), answerOf[partialView](207, "Partial: what became of each.")},
			faults:  []fault.Kind{fault.KeyReuse, fault.Conflict, fault.Overloaded},
			handle:  (*Server).postBulk,
		},
		{
			method: http.MethodPatch, path: "/api/v1/logs/:id", name: "amendEntry", tag: "Write", title: "Amend an entry",
			doc:  "A correction beside the original, which stays as it is.",
			load: writing, who: auth.Writer, body: jsonBody[newAmendment]("what to add, and why"),
			answers: []answer{answerOf[entryView](201, "The entry with its amendments.")},
			faults:  []fault.Kind{fault.BadID, fault.NotFound, fault.Erased, fault.Purged, fault.Overloaded},
			handle:  (*Server).patchEntry,
		},
		{
			method: http.MethodDelete, path: "/api/v1/logs/:id", name: "eraseEntry", tag: "Manage", title: "Erase an entry",
			doc:  "From this answer on every read shows the entry as erased, its amendments too; the keys of its private part are destroyed right after.",
			load: writing, who: managers, body: &body{types: jsonTypes, limit: maxBody, optional: true, schema: typeOf[newErasure](), doc: "why"},
			answers: []answer{answerOf[eraseView](202, "The erasure's event.")},
			faults:  []fault.Kind{fault.BadID, fault.NotFound, fault.Purged, fault.Overloaded},
			handle:  (*Server).deleteEntry,
		},
	}
}

func readRoutes() []route {
	return []route{
		{
			method: http.MethodGet, path: "/api/v1/logs", name: "listEntries", tag: "Read", title: "Search and filter",
			doc:  "Pages are stable while entries arrive. complete_to is what can be relied on: every match up to it is in the answer or on a later page.",
			load: searching, who: readers, params: listParams, timeout: waiting,
			answers: []answer{answerOf[listView](200, "One page.")},
			faults:  []fault.Kind{fault.BadCursor, fault.CursorExpired, fault.QueryTooCostly, fault.Behind},
			handle:  (*Server).listEntries,
		},
		{
			method: http.MethodGet, path: "/api/v1/logs/:id", name: "getEntry", tag: "Read", title: "One entry",
			doc:  "Straight from the event store: readable as soon as its write was acknowledged.",
			load: searching, who: readers, answers: []answer{answerOf[entryView](200, "The entry.")},
			faults: []fault.Kind{fault.BadID, fault.NotFound, fault.Purged},
			handle: (*Server).getEntry,
		},
		{
			method: http.MethodGet, path: "/api/v1/logs/:id/history", name: "getHistory", tag: "Read", title: "Every event of an entry",
			load: searching, who: readers, answers: []answer{answerOf[historyView](200, "Its recording, amendments and erasure.")},
			faults: []fault.Kind{fault.BadID, fault.NotFound, fault.Purged},
			handle: (*Server).getHistory,
		},
		{
			method: http.MethodGet, path: "/api/v1/logs/stats", name: "getStats", tag: "Read", title: "Counts over time",
			doc:  "By occurred_at, in UTC; without from and to the last 30 days. At most 366 days and 1,500 buckets.",
			load: counting, who: readers, params: statsParams, answers: []answer{answerOf[statsView](200, "The counts.")},
			faults: []fault.Kind{fault.TooManyBuckets, fault.QueryTooCostly},
			handle: (*Server).getStats,
		},
		{
			method: http.MethodGet, path: "/api/v1/logs/export", name: "exportEntries", tag: "Read", title: "Every match as a file",
			doc: "In ascending position, streamed. NDJSON and JSON end with a count; CSV carries it, and its digest, as trailers. An export that is cut " +
				"short ends with a reset connection, never with a well-formed end. A reader needs the right export.",
			load: exporting, who: readers, exportRight: true, params: exportParams, timeout: unbounded,
			answers: []answer{{status: 200, doc: "The file.", types: []string{"text/csv", ndjsonType, "application/json"}, headers: []headerDoc{
				{"X-Export-Count", "trailer, CSV: the number of rows"}, {"Digest", "trailer, CSV: sha-256 of the body"}}}},
			faults: []fault.Kind{fault.RateLimited, fault.QueryTooCostly, fault.Behind},
			handle: (*Server).export,
		},
		{
			method: http.MethodGet, path: "/api/v1/logs/stream", name: "streamEntries", tag: "Read", title: "Live stream",
			doc: "A WebSocket whose text messages are the JSON below; or, with Accept: text/event-stream, the same as Server-Sent Events, with the message's type " +
				"as event name and the position to resume after as id. A heartbeat comes every 15 s. Close codes: 1001 shutdown, 1008 the credential ended, 1013 " +
				"too slow; their reason holds the position to resume after.",
			who: readers, live: true, params: streamParams, timeout: unbounded,
			headers: []headerDoc{{"Last-Event-ID", "Server-Sent Events: position of the last event that was seen; goes before after"}},
			answers: []answer{{status: 101, doc: "A WebSocket; each message is as below.", types: []string{"application/json"}, schema: typeOf[streamMessage]()},
				{status: 200, doc: "Server-Sent Events.", types: []string{"text/event-stream"}}},
			faults: []fault.Kind{fault.BadOrigin, fault.UpgradeRequired, fault.RateLimited},
			handle: (*Server).stream,
		},
		{
			method: http.MethodPost, path: "/api/v1/logs/stream/tickets", name: "createTicket", tag: "Read", title: "A ticket for a stream",
			doc:  "For browsers, which cannot send a header with a stream: good for one connection, within 30 seconds.",
			load: searching, who: readers, answers: []answer{answerOf[ticketView](201, "The ticket.")}, faults: []fault.Kind{fault.RateLimited},
			handle: (*Server).postTicket,
		},
		{
			method: http.MethodGet, path: "/api/v1/replay", name: "replay", tag: "Read", title: "Every stored event, exact bytes",
			doc:  "NDJSON, dense in position; purged ranges and the end have lines of their own.",
			load: searching, who: auth.Admin | auth.Auditor, params: []param{afterParam}, timeout: unbounded,
			answers: []answer{{status: 200, doc: "One event a line.", types: []string{ndjsonType}}},
			handle:  (*Server).replay,
		},
	}
}

func manageRoutes() []route {
	return []route{
		{
			method: http.MethodDelete, path: "/api/v1/logs/cleanup", name: "cleanUp", tag: "Manage", title: "Remove old entries",
			doc:  "Goes by recorded_at. What goes is hidden at once and removed after; the log keeps a certificate of it.",
			load: writing, who: managers, params: cleanupParams,
			answers: []answer{answerOf[dryRunView](200, "dry_run: how many events would go."), answerOf[cleanupView](202, "The job; the same one while it runs.", locationHeader)},
			faults:  []fault.Kind{fault.RetentionFloor, fault.Conflict},
			handle:  (*Server).deleteOld,
		},
		{
			method: http.MethodGet, path: "/api/v1/logs/cleanup/:id", name: "getCleanup", tag: "Manage", title: "Progress and certificate of a cleanup",
			load: searching, who: managers, answers: []answer{answerOf[cleanupJobView](200, "The job.")}, faults: []fault.Kind{fault.BadID, fault.NotFound},
			handle: (*Server).getCleanup,
		},
		{
			method: http.MethodPost, path: "/api/v1/tenants", name: "createTenant", tag: "Tenants", title: "Create a tenant",
			load: writing, who: auth.Admin, scope: noTenant, body: jsonBody[newTenant]("the tenant"),
			answers: []answer{answerOf[tenantView](201, "The tenant.")}, faults: []fault.Kind{fault.Conflict},
			handle: (*Server).postTenant,
		},
		{
			method: http.MethodGet, path: "/api/v1/tenants", name: "listTenants", tag: "Tenants", title: "Tenants",
			doc:  "All for the platform admin, the own one for a tenant admin.",
			load: searching, who: managers, scope: ownOrAll, params: tenantsParams, answers: []answer{answerOf[tenantsView](200, "One page.")}, faults: []fault.Kind{fault.BadCursor},
			handle: (*Server).listTenants,
		},
	}
}
