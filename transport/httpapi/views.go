package httpapi

import "encoding/json"

// The bodies of the HTTP contract. The small answers are made from these types; entries are written by
// entry.Entry.AppendJSON, and a test keeps its output equal to entryView.

type entryView struct {
	ID             string          `json:"id" format:"uuid" doc:"UUIDv7" readOnly:"true"`
	TenantID       string          `json:"tenant_id" format:"uuid" doc:"from the credential" readOnly:"true"`
	Type           string          `json:"type,omitempty" doc:"only on events that are no entries, as shown by kind=access and kind=all, e.g. tenant.created"`
	Position       int64           `json:"position" minimum:"1" doc:"the tenant's own dense number, in commit order" readOnly:"true"`
	RecordedAt     string          `json:"recorded_at" format:"date-time" doc:"never decreases with position" readOnly:"true"`
	Emitter        emitterView     `json:"emitter" doc:"the credential that sent it" readOnly:"true"`
	OccurredAt     string          `json:"occurred_at" format:"date-time"`
	Action         string          `json:"action" example:"document.shared"`
	Actor          actorView       `json:"actor"`
	OnBehalfOf     []refView       `json:"on_behalf_of,omitempty" doc:"nearest first"`
	Resource       resourceView    `json:"resource"`
	Related        []refView       `json:"related,omitempty"`
	Severity       string          `json:"severity" enum:"INFO,WARNING,ERROR,CRITICAL"`
	Outcome        string          `json:"outcome" enum:"success,failure,denied,unknown"`
	Message        string          `json:"message,omitempty"`
	Source         *sourceView     `json:"source,omitempty"`
	RequestID      string          `json:"request_id,omitempty"`
	TraceID        string          `json:"trace_id,omitempty"`
	Before         jsonObject      `json:"before,omitempty"`
	After          jsonObject      `json:"after,omitempty"`
	Changes        []changeView    `json:"changes,omitempty" doc:"from before to after; computed when read" readOnly:"true"`
	Metadata       jsonObject      `json:"metadata,omitempty"`
	IdempotencyKey string          `json:"idempotency_key,omitempty"`
	Subjects       []string        `json:"subjects,omitempty" doc:"ids of the persons whose data the entry holds"`
	Revision       int             `json:"revision" minimum:"1" doc:"1 and one more for each amendment" readOnly:"true"`
	Amendments     []amendmentView `json:"amendments,omitempty" doc:"oldest first" readOnly:"true"`
	Erased         *erasedView     `json:"erased,omitempty" doc:"once the entry was erased; the private fields are absent then" readOnly:"true"`
}

// erasedEntryView and purgedEntryView are what a retry of such an entry is answered with.

type erasedEntryView struct {
	ID       string     `json:"id" format:"uuid"`
	Position int64      `json:"position" minimum:"1"`
	Erased   erasedView `json:"erased"`
}

type purgedEntryView struct {
	ID       string `json:"id" format:"uuid"`
	Position int64  `json:"position" minimum:"1"`
	Purged   bool   `json:"purged" doc:"always true: retention has removed the entry"`
}

// jsonObject is any JSON object.
type jsonObject map[string]any

type emitterView struct {
	Sub   string   `json:"sub,omitempty" doc:"absent once erased"`
	Roles []string `json:"roles"`
}

type actorView struct {
	Type      string `json:"type" enum:"user,service,api_key,system,agent,anonymous"`
	ID        string `json:"id,omitempty" doc:"absent once erased"`
	Name      string `json:"name,omitempty"`
	Email     string `json:"email,omitempty"`
	SessionID string `json:"session_id,omitempty"`
}

type refView struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

type resourceView struct {
	Type string `json:"type"`
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

type sourceView struct {
	IP        string `json:"ip,omitempty" format:"ip"`
	UserAgent string `json:"user_agent,omitempty"`
	Service   string `json:"service,omitempty"`
	Version   string `json:"version,omitempty"`
}

type changeView struct {
	Op   string          `json:"op" enum:"add,remove,replace"`
	Path string          `json:"path" doc:"JSON pointer (RFC 6901)"`
	From json.RawMessage `json:"from,omitempty" doc:"the value before, unless added"`
	To   json.RawMessage `json:"to,omitempty" doc:"the value after, unless removed"`
}

type amendmentView struct {
	EventID  string     `json:"event_id" format:"uuid"`
	Position int64      `json:"position"`
	At       string     `json:"at" format:"date-time"`
	By       string     `json:"by,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	Message  string     `json:"message,omitempty"`
	Metadata jsonObject `json:"metadata,omitempty"`
}

type erasedView struct {
	At      string `json:"at" format:"date-time"`
	ByEvent string `json:"by_event" format:"uuid"`
}

// What clients send. Reading them is the command package's; here they are for the document.

type newEntry struct {
	OccurredAt     string       `json:"occurred_at,omitempty" format:"date-time" doc:"from 1970 to 5 minutes ahead; cut to microseconds. Default: recorded_at"`
	Action         string       `json:"action" maxLength:"128" pattern:"^[A-Za-z0-9._:/-]+$" example:"document.shared"`
	Actor          newActor     `json:"actor"`
	OnBehalfOf     []refView    `json:"on_behalf_of,omitempty" doc:"nearest first"`
	Resource       resourceView `json:"resource"`
	Related        []refView    `json:"related,omitempty" maxItems:"16"`
	Severity       string       `json:"severity,omitempty" doc:"INFO, WARNING, ERROR or CRITICAL, in any case. Default: INFO" example:"INFO"`
	Outcome        string       `json:"outcome,omitempty" enum:"success,failure,denied,unknown" doc:"Default: success"`
	Message        string       `json:"message,omitempty" doc:"at most 8 KiB" example:"Ana shared the budget with Ben"`
	Source         *sourceView  `json:"source,omitempty"`
	RequestID      string       `json:"request_id,omitempty" maxLength:"128" doc:"Default: the header X-Request-ID"`
	TraceID        string       `json:"trace_id,omitempty" maxLength:"128" doc:"Default: the trace id of the header traceparent"`
	Before         jsonObject   `json:"before,omitempty" doc:"state before; at most 16 levels and 512 leaves"`
	After          jsonObject   `json:"after,omitempty" doc:"state after; at most 16 levels and 512 leaves"`
	Metadata       jsonObject   `json:"metadata,omitempty" doc:"at most 16 levels and 512 leaves"`
	IdempotencyKey string       `json:"idempotency_key,omitempty" maxLength:"255" doc:"unique in the tenant, for ever"`
	Subjects       []string     `json:"subjects,omitempty" doc:"ids of the persons whose data the entry holds"`
}

type newActor struct {
	Type      string `json:"type,omitempty" enum:"user,service,api_key,system,agent,anonymous" doc:"Default: user"`
	ID        string `json:"id" maxLength:"512" example:"ana"`
	Name      string `json:"name,omitempty"`
	Email     string `json:"email,omitempty"`
	SessionID string `json:"session_id,omitempty"`
}

type newBulk struct {
	Entries []newEntry `json:"entries" minItems:"1" maxItems:"1000"`
}

type newAmendment struct {
	Message  string     `json:"message,omitempty"`
	Metadata jsonObject `json:"metadata,omitempty"`
	Reason   string     `json:"reason"`
}

type newErasure struct {
	Reason string `json:"reason"`
}

type newTenant struct {
	Slug          string `json:"slug" pattern:"^[a-z][a-z0-9-]{1,62}$" example:"acme"`
	Name          string `json:"name" maxLength:"128" example:"Acme Ltd"`
	RetentionDays int    `json:"retention_days,omitempty" minimum:"90" maximum:"36500" doc:"Default: 396"`
}

// Answers.

type completeToView struct {
	Position   int64   `json:"position" doc:"every match up to it is in the answer or on a later page"`
	RecordedAt *string `json:"recorded_at" format:"date-time" nullable:"true" doc:"null while position is 0"`
}

type totalView struct {
	Value    int    `json:"value"`
	Relation string `json:"relation" enum:"eq,gte"`
}

type listView struct {
	Items      []entryView    `json:"items" doc:"newest first unless asked otherwise"`
	NextCursor *string        `json:"next_cursor" nullable:"true" doc:"null on the last page"`
	CompleteTo completeToView `json:"complete_to"`
	Total      *totalView     `json:"total,omitempty" doc:"only with total=true"`
}

type bulkItemView struct {
	ID       string `json:"id" format:"uuid"`
	Position int64  `json:"position"`
	Replayed bool   `json:"replayed" doc:"its idempotency key was known: this is the first answer"`
}

type bulkView struct {
	Items []bulkItemView `json:"items" doc:"in the order of the request"`
}

type partialItemView struct {
	Status   int      `json:"status" example:"201"`
	ID       string   `json:"id,omitempty" format:"uuid"`
	Position int64    `json:"position,omitempty"`
	Replayed *bool    `json:"replayed,omitempty"`
	Problem  *problem `json:"problem,omitempty" doc:"why it was refused"`
}

type partialView struct {
	Items []partialItemView `json:"items" doc:"in the order of the request"`
}

type eraseView struct {
	EventID string `json:"event_id" format:"uuid" doc:"the erasure's own event"`
}

type historyView struct {
	Items []historyItemView `json:"items" doc:"oldest first"`
}

type historyItemView struct {
	EventID    string          `json:"event_id" format:"uuid"`
	Type       string          `json:"type" example:"entry.amended"`
	Position   int64           `json:"position"`
	RecordedAt string          `json:"recorded_at" format:"date-time"`
	Emitter    emitterView     `json:"emitter"`
	Action     string          `json:"action,omitempty"`
	Reason     string          `json:"reason,omitempty"`
	Message    string          `json:"message,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
	Keys       string          `json:"keys,omitempty" enum:"pending,destroyed" doc:"of an erasure: whether the entry's keys are destroyed"`
}

type statsView struct {
	From       string         `json:"from" format:"date-time"`
	To         string         `json:"to" format:"date-time"`
	Interval   string         `json:"interval" enum:"minute,hour,day"`
	Total      int64          `json:"total"`
	CompleteTo completeToView `json:"complete_to"`
	Buckets    []bucketView   `json:"buckets" doc:"those with entries, ascending"`
	Top        topView        `json:"top"`
}

type bucketView struct {
	Start  string           `json:"start" format:"date-time"`
	Count  int64            `json:"count"`
	Groups map[string]int64 `json:"groups,omitempty" doc:"only with group_by; beyond the top values: other; erased actors: erased"`
}

type topView struct {
	Actions       []countView `json:"actions"`
	Actors        []countView `json:"actors"`
	ResourceTypes []countView `json:"resource_types"`
}

type countView struct {
	Key   string `json:"key"`
	Count int64  `json:"count"`
}

type cleanupView struct {
	ID     string `json:"id" format:"uuid"`
	Status string `json:"status" enum:"running,done"`
}

type dryRunView struct {
	Matching int64 `json:"matching"`
}

type cleanupJobView struct {
	ID          string          `json:"id" format:"uuid"`
	Status      string          `json:"status" enum:"running,done"`
	Before      string          `json:"before" format:"date-time"`
	First       int64           `json:"first" doc:"first position of the range"`
	Last        int64           `json:"last" doc:"below first when nothing matched"`
	Matching    int64           `json:"matching"`
	Removed     int64           `json:"removed" doc:"rows removed so far; all are hidden from the start"`
	RequestedAt string          `json:"requested_at" format:"date-time"`
	CompletedAt *string         `json:"completed_at" format:"date-time" nullable:"true"`
	Certificate certificateView `json:"certificate" doc:"what the lifecycle.purged event in the log also says"`
}

type certificateView struct {
	TenantID    string  `json:"tenant_id" format:"uuid"`
	First       int64   `json:"first"`
	Last        int64   `json:"last"`
	Before      string  `json:"before" format:"date-time"`
	RequestedBy string  `json:"requested_by"`
	EventID     string  `json:"event_id" format:"uuid"`
	Position    int64   `json:"position"`
	CompletedAt *string `json:"completed_at" format:"date-time" nullable:"true"`
}

type tenantView struct {
	ID            string `json:"id" format:"uuid"`
	Slug          string `json:"slug"`
	Name          string `json:"name"`
	Status        string `json:"status"`
	RetentionDays int    `json:"retention_days"`
	CreatedAt     string `json:"created_at" format:"date-time"`
}

type tenantsView struct {
	Items      []tenantView `json:"items"`
	NextCursor *string      `json:"next_cursor" nullable:"true"`
}

type ticketView struct {
	Ticket    string `json:"ticket" doc:"good for one connection"`
	ExpiresAt string `json:"expires_at" format:"date-time"`
}

type streamMessage struct {
	Type     string     `json:"type" enum:"entry,amended,erased,heartbeat,lagged"`
	Entry    *entryView `json:"entry,omitempty" doc:"of entry, amended and erased"`
	Position int64      `json:"position,omitempty" doc:"of heartbeat and lagged: resume after it"`
}
