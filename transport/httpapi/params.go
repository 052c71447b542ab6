package httpapi

import (
	"math"
	"slices"
	"time"

	"auditlog/internal/text"
	"auditlog/query"
)

var (
	severityNames  = []string{"INFO", "WARNING", "ERROR", "CRITICAL"}
	outcomeNames   = []string{"success", "failure", "denied", "unknown"}
	actorTypeNames = []string{"user", "service", "api_key", "system", "agent", "anonymous"}
)

var (
	actionParam       = param{name: "action", kind: listParam, doc: "one or more actions, separated by commas"}
	resourceTypeParam = param{name: "resource_type", kind: listParam, doc: "one or more types, separated by commas"}
	severityParam     = param{name: "severity", kind: listParam, enum: severityNames, fold: true, doc: "one or more, separated by commas, in any case"}
	outcomeParam      = param{name: "outcome", kind: listParam, enum: outcomeNames, doc: "one or more, separated by commas"}
	actorIDParam      = param{name: "actor_id", doc: "exactly this actor"}
	fromParam         = param{name: "from", kind: timeParam, doc: "at or after this time"}
	toParam           = param{name: "to", kind: timeParam, doc: "before this time"}
)

// filters are what lists, exports and streams share.
var filters = []param{
	{name: "q", words: true, max: text.MaxQuery, doc: "words, all of which must be found in message, action, actor, resource, metadata, source or amendments"},
	actorIDParam,
	{name: "actor_type", kind: enumParam, enum: actorTypeNames, doc: "exactly this type"},
	actionParam,
	resourceTypeParam,
	{name: "resource_id", doc: "exactly this resource"},
	severityParam,
	outcomeParam,
	{name: "request_id", doc: "exactly this request"},
	{name: "session_id", doc: "exactly this session of an actor"},
	{name: "ip", doc: "exactly this source address, as it was sent"},
	{name: "metadata", kind: metadataParam, doc: "a value in metadata, by the keys that lead to it joined with dots; numbers and strings alike. Sent as metadata.PATH=VALUE, one parameter " +
		"for each path; here they are the members of an object, whose names begin with metadata. themselves"},
	fromParam,
	toParam,
	{name: "time", kind: enumParam, enum: []string{"occurred", "recorded"}, def: "occurred", doc: "which time from and to go by"},
	{name: "kind", kind: enumParam, enum: []string{"entries", "access", "all"}, def: "entries",
		doc: "entries; or the log's events about itself, for auditors and administrators; or both"},
}

var (
	minPositionParam = param{name: "min_position", kind: intParam, max: math.MaxInt64, doc: "answer only when complete up to this position; 504 when that is not so in time"}
	waitParam        = param{name: "wait", kind: durationParam, max: int64(query.MaxWait), def: "0s", doc: "how long to wait for min_position, e.g. 8s or 500ms; at most 10s"}
	afterParam       = param{name: "after", kind: intParam, max: math.MaxInt64, doc: "from the first position above this one"}
	listCursorParam  = param{name: "cursor", max: maxQueryBytes, doc: "next_cursor of the page before; it holds the query, and lives for 24 hours"}
)

func with(params []param, more ...param) []param { return append(slices.Clone(params), more...) }

var (
	listParams = with(filters,
		param{name: "order", kind: enumParam, enum: []string{"desc", "asc"}, def: "desc", doc: "newest or oldest first"},
		param{name: "sort", kind: enumParam, enum: []string{"recorded", "occurred"}, def: "recorded", doc: "by position, or by occurred_at"},
		param{name: "limit", kind: intParam, min: 1, max: query.MaxLimit, def: query.DefaultLimit, doc: "entries on a page"},
		listCursorParam,
		param{name: "total", kind: boolParam, def: false, doc: "also count the matches, exactly up to 10,000"},
		minPositionParam, waitParam)

	exportParams = with(filters,
		param{name: "format", kind: enumParam, enum: []string{"csv", "ndjson", "json"}, required: true, doc: "the form of the file"},
		minPositionParam, waitParam)

	statsParams = []param{
		fromParam, toParam,
		{name: "interval", kind: enumParam, enum: []string{"minute", "hour", "day"}, doc: "width of a bucket, in UTC; hour for up to 7 days, else day"},
		{name: "group_by", kind: enumParam, enum: []string{"action", "severity", "outcome", "resource_type", "actor_id"}, doc: "also count each value in a bucket"},
		actionParam, severityParam, outcomeParam, resourceTypeParam, actorIDParam,
	}

	streamParams = with(filters, afterParam,
		param{name: "ticket", max: 128, doc: "a one-time ticket, for browsers, in place of the Authorization header"})

	cleanupParams = []param{
		{name: "before", kind: timeParam, required: true, doc: "everything recorded before this time goes"},
		{name: "dry_run", kind: boolParam, def: false, doc: "only count"},
	}

	tenantsParams = []param{
		{name: "limit", kind: intParam, min: 1, max: query.MaxLimit, def: defaultTenants, doc: "tenants on a page"},
		{name: "cursor", max: 128, doc: "next_cursor of the page before"},
	}
)

// waiting is the time for a request that may wait for min_position beside its own work.
const waiting = query.MaxWait + 10*time.Second
