package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"auditlog/eventstore"
	"auditlog/internal/criteria"
	"auditlog/internal/text"
	"auditlog/query"
	"auditlog/transport/httpapi/auth"
)

// reader is who asks.
func (r *request) reader() query.Reader {
	return query.Reader{
		Tenant: r.tenant, Sub: r.who.Subject,
		AccessEvents: r.who.Roles.Has(auth.Admin | auth.TenantAdmin | auth.Auditor),
	}
}

// criteria are the filters of a list, an export or a stream.
func (a args) criteria() (criteria.Criteria, error) {
	c := criteria.Criteria{
		Kind: criteria.Kind(a.text("kind")), ActorID: a.text("actor_id"), ActorType: a.text("actor_type"), Actions: a.list("action"),
		ResourceTypes: a.list("resource_type"), ResourceID: a.text("resource_id"), Severities: a.list("severity"), Outcomes: a.list("outcome"),
		RequestID: a.text("request_id"), SessionID: a.text("session_id"), IP: a.text("ip"),
		From: a.time("from"), To: a.time("to"), RecordedTime: a.text("time") == "recorded",
	}
	for _, given := range a {
		if path, ok := strings.CutPrefix(given.name, metadataPrefix); ok {
			c.Metadata = append(c.Metadata, criteria.Metadata{Path: path, Value: given.value.(string)})
		}
	}
	var err error
	c.Text, err = text.Parse(a.text("q"))
	return c, err
}

// pageOnly are the parameters that do not make up the query which a cursor continues.
var pageOnly = map[string]bool{"cursor": true, "limit": true, "total": true, "min_position": true, "wait": true}

// listEntries answers one page of a search.
func (s *Server) listEntries(w http.ResponseWriter, r *request) error {
	c, err := r.args.criteria()
	if err != nil {
		return err
	}
	req := query.SearchRequest{
		Criteria: c, Cursor: r.args.text("cursor"), Limit: int(r.args.integer("limit")), Total: r.args.flag("total"),
		Sort:        query.Sort{Ascending: r.args.text("order") == "asc", Occurred: r.args.text("sort") == "occurred"},
		MinPosition: eventstore.Position(r.args.integer("min_position")), Wait: r.args.duration("wait"),
	}
	for _, given := range r.args {
		req.Given = req.Given || !pageOnly[given.name]
	}
	page, err := s.deps.Queries.Search(r.Context(), r.reader(), req)
	if err != nil {
		return err
	}
	writePage(w, &page)
	return nil
}

// writePage writes listView, with the entries' own rendering.
func writePage(w http.ResponseWriter, page *query.SearchPage) {
	out := borrow()
	defer giveBack(out)
	out.WriteString(`{"items":`)
	appendEntries(out, page.Items)
	out.WriteString(`,"next_cursor":`)
	if page.NextCursor == "" {
		out.WriteString("null")
	} else {
		out.WriteString(`"` + page.NextCursor + `"`) // base64url
	}
	out.WriteString(`,"complete_to":`)
	_, _ = out.Write(page.CompleteTo.AppendJSON(out.AvailableBuffer()))
	if t := page.Total; t != nil {
		out.WriteString(`,"total":{"value":` + strconv.Itoa(t.Value) + `,"relation":"` + t.Relation + `"}`)
	}
	out.WriteByte('}')
	writeBytes(w, http.StatusOK, out.Bytes())
}

func (s *Server) getEntry(w http.ResponseWriter, r *request) error {
	e, err := s.deps.Queries.Get(r.Context(), r.reader(), r.entry)
	if err != nil {
		return err
	}
	writeEntry(w, http.StatusOK, &e)
	return nil
}

func (s *Server) getHistory(w http.ResponseWriter, r *request) error {
	items, err := s.deps.Queries.History(r.Context(), r.reader(), r.entry)
	if err != nil {
		return err
	}
	v := historyView{Items: make([]historyItemView, len(items))}
	for i, it := range items {
		v.Items[i] = historyItemView{
			EventID: it.EventID.String(), Type: string(it.Type), Position: int64(it.Position), RecordedAt: it.RecordedAt.String(),
			Emitter: emitterView{Sub: it.By, Roles: append([]string{}, it.Roles...)}, Action: it.Action, Reason: it.Reason,
			Message: it.Message, Metadata: it.Metadata, Keys: it.Keys,
		}
	}
	return writeJSON(w, http.StatusOK, v)
}

func (s *Server) getStats(w http.ResponseWriter, r *request) error {
	a := r.args
	answer, err := s.deps.Queries.Stats(r.Context(), r.reader(), query.StatsRequest{
		From: a.time("from"), To: a.time("to"), Interval: a.text("interval"), GroupBy: a.text("group_by"), Actions: a.list("action"),
		Severities: a.list("severity"), Outcomes: a.list("outcome"), ResourceTypes: a.list("resource_type"), ActorID: a.text("actor_id"),
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, viewStats(&answer, a.has("group_by")))
}

func viewStats(a *query.StatsAnswer, grouped bool) statsView {
	v := statsView{
		From: a.From.String(), To: a.To.String(), Interval: a.Interval, Total: a.Total, CompleteTo: viewCompleteTo(a.CompleteTo),
		Buckets: make([]bucketView, len(a.Buckets)),
		Top:     topView{Actions: viewCounts(a.TopActions), Actors: viewCounts(a.TopActors), ResourceTypes: viewCounts(a.TopResources)},
	}
	for i, b := range a.Buckets {
		v.Buckets[i] = bucketView{Start: b.Start.String(), Count: b.Count}
		if !grouped {
			continue
		}
		v.Buckets[i].Groups = make(map[string]int64, len(b.Groups))
		for _, g := range b.Groups {
			v.Buckets[i].Groups[g.Key] += g.Count
		}
	}
	return v
}

func viewCounts(counts []query.Count) []countView {
	v := make([]countView, len(counts))
	for i, c := range counts {
		v[i] = countView{Key: c.Key, Count: c.Count}
	}
	return v
}
