package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// rebuild makes projections anew under the running service and finds the same.
func (s *server) rebuild(in sample) {
	s.rebuildAll()
	s.counts(in)
}

func (s *server) rebuildAll() {
	s.t.Helper()
	for _, projection := range []string{"search", "stats", "find"} {
		r := command(s.t, nil, []string{"AUDITLOG_OPS_ADDR=" + strings.TrimPrefix(s.ops, "http://")}, "rebuild", projection)
		if r.Code != 0 || !strings.Contains(r.Out, "equal to the one before") {
			s.t.Errorf("rebuild %s: %d %s%s", projection, r.Code, r.Out, r.Err)
		}
	}
}

// rebuildWhileWriting does it while entries come in; none is missed, none is there twice.
func (s *server) rebuildWhileWriting(in sample) {
	l, stop, written := newLedger(), make(chan struct{}), make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				written <- n
				return
			default:
			}
			if l.single(s, fmt.Sprint("rebuild-", n)) == "" {
				s.t.Error("a write during a rebuild fails")
				<-stop
				written <- n
				return
			}
		}
	}()
	s.rebuildAll()
	close(stop)
	n := <-written
	s.sameTotals(in.total+n, n, int64(in.total+1+n))
	s.t.Logf("%d entries were written meanwhile", n)
}

// eraseOne records an entry that is easily found, erases it, and looks for it everywhere.
func (s *server) eraseOne(sample) {
	answer, status, err := s.try("writer", http.MethodPost, "/api/v1/logs", `{"action":"e2e.erase","actor":{"id":"erase-me"},"resource":{"type":"thing"},"message":"unforgettable"}`)
	var e, erasure struct {
		ID       string
		Position int64
		EventID  string `json:"event_id"`
	}
	if err != nil || status != http.StatusCreated || json.Unmarshal(answer, &e) != nil {
		s.t.Fatalf("a write answers %d %s, %v", status, answer, err)
	}
	doors := []string{"q=unforgettable", "actor_id=erase-me"}
	for _, door := range doors {
		if got := s.list(door, e.Position).Total.Value; got != 1 {
			s.t.Errorf("%s finds %d entries before the erasure", door, got)
		}
	}
	answer, status, err = s.try("tenant_admin", http.MethodDelete, "/api/v1/logs/"+e.ID, `{"reason":"asked for"}`)
	if err != nil || status != http.StatusAccepted || json.Unmarshal(answer, &erasure) != nil {
		s.t.Fatalf("an erasure answers %d %s, %v", status, answer, err)
	}
	s.readsErased(e.ID, erasure.EventID)
	head := int64(len(s.events()))
	for _, door := range doors {
		if got := s.list(door, head).Total.Value; got != 0 {
			s.t.Errorf("%s finds %d entries after the erasure", door, got)
		}
	}
	s.until("statistics without the actor", func() bool { return s.actor("erase-me") == 0 })
	if got := s.actor("erased"); got != 1 {
		s.t.Errorf("the statistics count %d erased entries", got)
	}
	if event := s.events()[e.Position-1]; event.ID != e.ID || !event.unread {
		s.t.Errorf("the replay still reads the erased entry: %+v", event)
	}
}

// actor is how many entries the statistics count for one.
func (s *server) actor(id string) (count int) {
	s.t.Helper()
	var stats struct {
		Buckets []struct{ Groups map[string]int }
	}
	if err := json.Unmarshal(s.get("reader", "/api/v1/logs/stats?interval=day&group_by=actor_id"), &stats); err != nil {
		s.t.Fatal(err)
	}
	for _, bucket := range stats.Buckets {
		count += bucket.Groups[id]
	}
	return count
}

// cleanUp has retention take everything, and checks what the certificate says against every reader.
func (s *server) cleanUp(sample) {
	all := s.events()
	last := s.list("", int64(len(all))).Items[0]
	before := url.QueryEscape(last.RecordedAt.Add(time.Microsecond).Format(time.RFC3339Nano))
	var dry struct{ Matching int64 }
	s.until("entry that is older than the floor", func() bool {
		answer, status, err := s.try("tenant_admin", http.MethodDelete, "/api/v1/logs/cleanup?dry_run=true&before="+before, "")
		return err == nil && status == http.StatusOK && json.Unmarshal(answer, &dry) == nil
	})
	if dry.Matching < last.Position {
		s.t.Errorf("a cleanup up to position %d would take %d events", last.Position, dry.Matching)
	}
	answer, status, err := s.try("tenant_admin", http.MethodDelete, "/api/v1/logs/cleanup?before="+before, "")
	var job struct {
		ID, Status  string
		Removed     int64
		Certificate struct {
			First, Last, Position int64
			EventID               string  `json:"event_id"`
			CompletedAt           *string `json:"completed_at"`
		}
	}
	if err != nil || status != http.StatusAccepted || json.Unmarshal(answer, &job) != nil {
		s.t.Fatalf("a cleanup answers %d %s, %v", status, answer, err)
	}
	s.until("end of the cleanup", func() bool {
		if err := json.Unmarshal(s.get("tenant_admin", "/api/v1/logs/cleanup/"+job.ID), &job); err != nil {
			s.t.Fatal(err)
		}
		return job.Status == "done"
	})
	c := job.Certificate
	if job.Removed != dry.Matching || c.First != 1 || c.Last != dry.Matching || c.Position != int64(len(all))+1 || c.EventID != job.ID || c.CompletedAt == nil {
		s.t.Errorf("of %d matching events the cleanup says %+v", dry.Matching, job)
	}
	s.until("statistics that are empty", func() bool {
		var stats struct{ Total int }
		answer, status, err := s.try("reader", http.MethodGet, "/api/v1/logs/stats", "") // 503 until the counts have taken it in
		return err == nil && status == http.StatusOK && json.Unmarshal(answer, &stats) == nil && stats.Total == 0
	})
	if got := s.list("", c.Position).Total.Value; got != 0 {
		s.t.Errorf("%d entries are found after the cleanup", got)
	}
	if answer, status, _ := s.try("reader", http.MethodGet, "/api/v1/logs/"+last.ID, ""); status != http.StatusGone {
		s.t.Errorf("a purged entry reads %d %s", status, answer)
	}
	if out := s.auditlog("auditor", nil, "replay").Out; !strings.HasPrefix(out, fmt.Sprintf(`{"purged":{"first":1,"last":%d,"certificate":%q}}`, c.Last, c.EventID)) {
		s.t.Errorf("the replay begins %.200s", out)
	}
}
