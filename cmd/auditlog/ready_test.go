package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestReady(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	ready := func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 { // what starts is not ready at once
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte(`{"status":"` + r.URL.Path + `"}`))
	}
	server := httptest.NewServer(http.HandlerFunc(ready))
	t.Cleanup(server.Close)
	at := "AUDITLOG_OPS_ADDR=" + strings.TrimPrefix(server.URL, "http://")

	out, problems, code := execute(t, []string{at}, "ready")
	if code != exitFailed || out != `{"status":"/readyz"}`+"\n" || problems != "auditlog: not ready\n" {
		t.Errorf("before: exit code %d, %q, %q", code, out, problems)
	}
	out, problems, code = execute(t, []string{at}, "ready", "--wait", "30s")
	if code != 0 || out != `{"status":"/readyz"}`+"\n" || problems != "" || asked.Load() != 3 {
		t.Errorf("waiting: exit code %d, %q, %q, asked %d times", code, out, problems, asked.Load())
	}
	server.Close()
	out, problems, code = execute(t, []string{at}, "ready")
	if code != exitFailed || out != "" || !strings.HasPrefix(problems, "auditlog: AUDITLOG_OPS_ADDR (--ops-addr): ") || strings.Count(problems, "\n") != 1 {
		t.Errorf("nobody there: exit code %d, %q, %q", code, out, problems)
	}
}
