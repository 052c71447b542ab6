package httpapi

import (
	"bytes"
	"net/http/httptest"

	"auditlog/command"
	"auditlog/eventstore"
	"auditlog/transport/httpapi/auth"
)

// RouteInfo is a row of the route table as tests need it.
type RouteInfo struct {
	Method, Path, Name string
	Who                auth.Role
	ExportRight, Live  bool
	HasBody            bool
	NoTenant           bool
}

// Routes is the table without the routes of benchmarks.
func Routes() []RouteInfo {
	var infos []RouteInfo
	for _, rt := range routes(Config{}) {
		infos = append(infos, RouteInfo{rt.method, rt.path, rt.name, rt.who, rt.exportRight, rt.live, rt.body != nil, rt.scope != oneTenant})
	}
	return infos
}

// OpenAPI is the document of the table.
func OpenAPI() []byte { return describe(routes(Config{BenchNull: true}), "test") }

// EntryView, StatsView and others are the documented forms of answers.
type (
	EntryView      = entryView
	StatsView      = statsView
	ListView       = listView
	HistoryView    = historyView
	BulkView       = bulkView
	PartialView    = partialView
	TenantsView    = tenantsView
	CleanupJobView = cleanupJobView

	ErasedEntryView = erasedEntryView
	PurgedEntryView = purgedEntryView
)

// PurgedReceipt is the answer to a retry whose entry was purged.
func PurgedReceipt() []byte {
	w := httptest.NewRecorder()
	writeReceipt(w, &command.Receipt{ID: eventstore.EventID{1}, Position: 2, Replayed: true, Purged: true}, new(bytes.Buffer))
	return w.Body.Bytes()
}
