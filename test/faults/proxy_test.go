package faults

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// wire is a proxy between two parts of a service, which can be cut, left half-open, and made slow.
type wire struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

// newWire lets connections to an address through until the test ends.
func newWire(t *testing.T, name, upstream string) *wire {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	w := &wire{t, toxiproxy.NewProxy(server, name, "127.0.0.1:0", upstream)}
	fatal(t, w.proxy.Start())
	t.Cleanup(w.proxy.Stop)
	return w
}

// over is an address of the server behind the wire, led over it.
func (w *wire) over(address string) string {
	w.t.Helper()
	u, err := url.Parse(address)
	fatal(w.t, err)
	if u.Host != w.proxy.Upstream {
		w.t.Fatalf("%s is not behind the wire to %s", u.Host, w.proxy.Upstream)
	}
	u.Host = w.proxy.Listen
	return u.String()
}

// cut ends all connections and refuses new ones.
func (w *wire) cut() { w.proxy.Stop() }

// mend ends cut.
func (w *wire) mend() { fatal(w.t, w.proxy.Start()) }

// halfOpen lets connections stand, old ones and new ones, and nothing come through.
func (w *wire) halfOpen() {
	w.add("timeout", "upstream", `{"timeout":0}`)
	w.add("timeout", "downstream", `{"timeout":0}`)
}

// slow delays everything that is sent, in both directions.
func (w *wire) slow(by, jitter time.Duration) {
	for _, stream := range []string{"upstream", "downstream"} {
		w.add("latency", stream, fmt.Sprintf(`{"latency":%d,"jitter":%d}`, by.Milliseconds(), jitter.Milliseconds()))
	}
}

func (w *wire) add(kind, stream, attributes string) {
	w.t.Helper()
	_, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(`{"type":%q,"stream":%q,"attributes":%s}`, kind, stream, attributes)))
	fatal(w.t, err)
}

// clear ends halfOpen and slow. A connection that was half-open loses what was on its way, and ends.
func (w *wire) clear() { w.proxy.Toxics.ResetToxics(w.t.Context()) }
