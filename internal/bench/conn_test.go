package bench

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A service closes a connection over which nothing comes for the time of a header, sooner than one that was used.
func TestConnOutlivesSilence(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }))
	defer s.Close()
	for name, c := range map[string]struct {
		old    bool
		silent time.Duration
		dials  bool
	}{
		"fresh, at once": {false, 0, false}, "fresh, after 3 s": {false, 3 * time.Second, true},
		"used, after 3 s": {true, 3 * time.Second, false}, "used, after 40 s": {true, 40 * time.Second, true},
	} {
		client, err := dial(s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if c.old {
			if _, err := client.want(http.StatusCreated, "POST", "/", "", nil); err != nil {
				t.Fatal(err)
			}
		}
		before := client.c
		client.used = time.Now().Add(-c.silent)
		if _, err := client.want(http.StatusCreated, "POST", "/", "", nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if dialed := client.c != before; dialed != c.dials {
			t.Errorf("%s: dialed anew: %v", name, dialed)
		}
		client.close()
	}
}
