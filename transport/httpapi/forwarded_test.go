package httpapi

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestClientAddress(t *testing.T) {
	s := &Server{cfg: Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}}
	for _, c := range []struct {
		remote string
		said   []string
		want   string
	}{
		{"198.51.100.9:1234", nil, "198.51.100.9"},
		{"198.51.100.9:1234", []string{"203.0.113.1"}, "198.51.100.9"}, // not from a proxy
		{"10.0.0.1:1", []string{"203.0.113.1"}, "203.0.113.1"},
		{"10.0.0.1:1", []string{"1.1.1.1, 203.0.113.1"}, "203.0.113.1"}, // the client's own claim
		{"10.0.0.1:1", []string{"1.1.1.1, 203.0.113.1,10.9.9.9"}, "203.0.113.1"},
		{"10.0.0.1:1", []string{"1.1.1.1", "203.0.113.1", "10.9.9.9 , 10.8.8.8"}, "203.0.113.1"}, // one header a hop
		{"10.0.0.1:1", []string{"10.2.2.2"}, "10.2.2.2"},                                         // all are proxies
		{"10.0.0.1:1", []string{"203.0.113.1, nonsense"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{"203.0.113.1, 10.3.3.3, unknown, 10.2.2.2"}, "10.2.2.2"},
		{"10.0.0.1:1", []string{"203.0.113.1:80"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{""}, "10.0.0.1"},
		{"10.0.0.1:1", []string{","}, "10.0.0.1"},
		{"[fd00::1]:1", []string{"2001:db8::7"}, "2001:db8::7"},
		{"[::ffff:10.0.0.1]:1", []string{"::ffff:203.0.113.1"}, "203.0.113.1"},
		{"@", []string{"203.0.113.1"}, "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{}}
		if c.said != nil {
			r.Header["X-Forwarded-For"] = c.said
		}
		if got := s.client(r).String(); got != c.want {
			t.Errorf("%s, %q: %s, want %s", c.remote, c.said, got, c.want)
		}
	}
}
