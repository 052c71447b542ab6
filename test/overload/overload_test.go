package overload

import (
	"os"
	"slices"
	"testing"
	"time"
)

// form is how long and how hard a run is.
type form struct {
	slots    int           // writes in progress at once in the service
	distance time.Duration // between the service and PostgreSQL, one way
	capped   int           // requests a second of the capped tenant
	warm     time.Duration // until connections are made and keys are at hand
	peak     time.Duration // of the closed loop that finds the capacity
	flood    time.Duration // of overload
	quiet    time.Duration // of the quiet tenant, alone and beside a flood each
	proof    bool          // ratios are asserted
}

// factor is how many times its capacity the service is sent.
const factor = 5

// theForm is a few seconds, of which only statuses, the bound of memory and the store are asserted, or as long as
// AUDITLOG_FAULT_OVERLOAD says, and then times count, too.
func theForm(t *testing.T) form {
	t.Helper()
	setting := os.Getenv("AUDITLOG_FAULT_OVERLOAD")
	if setting == "" {
		return form{slots: 24, distance: 30 * time.Millisecond, capped: 5, warm: 300 * time.Millisecond, peak: 500 * time.Millisecond, flood: 1200 * time.Millisecond, quiet: 400 * time.Millisecond}
	}
	d, err := time.ParseDuration(setting)
	fatal(t, err)
	return form{slots: 512, distance: 100 * time.Millisecond, capped: 20, warm: 10 * time.Second, peak: max(d/10, 10*time.Second), flood: d, quiet: max(d/10, 15*time.Second), proof: true}
}

// TestOverload finds the service's capacity, sends five times as much, and then floods by one tenant beside a quiet one.
func TestOverload(t *testing.T) {
	f := theForm(t)
	c, apart := takeCores(t)
	if f.proof && !apart {
		t.Fatal("the service and its clients need a CPU each")
	}
	s, of := newService(t, f, c)
	clients := newClients(t, s.URL)

	each := f.slots * 7 / 8 / len(of.busy)
	clients.closed(each, f.warm, &of.busy[0], &of.busy[1])
	peak := clients.closed(each, f.peak, &of.busy[0], &of.busy[1])
	peak.print(t, "closed loop")
	peak.check(t)

	t.Run("goodput", func(t *testing.T) { goodput(t, f, s, clients, &of, peak.goodput()) })
	t.Run("quiet", func(t *testing.T) { quiet(t, f, clients, &of, peak.goodput()) })
	s.comeNear()
	clients.ledger.check(t, s, of.all())
}

// Bounds of the long form.
const (
	leastGoodput = 0.8 // of the closed loop's
	mostSwing    = 0.1 // of the memory, from its median
	mostSlower   = 2.0 // quiet tenant's p99 beside a flood
	leastSent    = 0.98
)

// goodput sends factor times the capacity: mostly of two tenants, some of one beyond its rate.
func goodput(t *testing.T, f form, s *service, c *clients, of *tenants, peak float64) {
	seen := s.watch(max(f.flood/600, 200*time.Millisecond))
	y := c.open(factor*peak, f.flood, func(n int) (*tenant, bool) {
		bulk := n/10%bulkEvery == 0
		if n%10 == 0 {
			return &of.capped, bulk
		}
		return &of.busy[n%2], bulk
	})
	sizes := seen()
	y.print(t, "overload")
	y.check(t)
	most := slices.Max(sizes)
	if most > memoryLimit {
		t.Errorf("%d MiB are resident, beyond GOMEMLIMIT", most>>20)
	}
	flat := slices.Sorted(slices.Values(sizes[len(sizes)/5:]))
	median := flat[len(flat)/2]
	down, up := float64(flat[0])/float64(median)-1, float64(flat[len(flat)-1])/float64(median)-1
	ratio, sent := y.goodput()/peak, float64(len(y.late))/y.took.Seconds()/(factor*peak)
	t.Logf("goodput %.2f of the peak; %.3f of what was meant was sent; resident %d MiB at the median, %+.1f %% to %+.1f %% after a fifth, at first %d MiB",
		ratio, sent, median>>20, 100*down, 100*up, sizes[0]>>20)
	if !f.proof {
		return
	}
	if ratio < leastGoodput {
		t.Errorf("goodput is %.2f of the peak, want %.2f", ratio, leastGoodput)
	}
	if down < -mostSwing || up > mostSwing {
		t.Errorf("resident memory swings by %+.1f %% to %+.1f %%, want %.0f %%", 100*down, 100*up, 100*mostSwing)
	}
	if sent < leastSent {
		t.Errorf("only %.2f of what was meant was sent: the clients are too slow", sent)
	}
}

// quiet measures one tenant alone, and beside another that floods its lane.
func quiet(t *testing.T, f form, c *clients, of *tenants, peak float64) {
	alone := c.sparse(&of.quiet, f.quiet)
	flooded := make(chan *tally)
	go func() {
		flooded <- c.open(factor*peak, f.quiet*3/2, func(n int) (*tenant, bool) { return &of.busy[0], n%bulkEvery == 0 })
	}()
	time.Sleep(f.quiet / 4) // until the flood stands
	beside := c.sparse(&of.quiet, f.quiet)
	flood := <-flooded
	for what, y := range map[string]*tally{"quiet tenant, alone": alone, "quiet tenant, beside a flood": beside, "flood": flood} {
		y.print(t, what)
		y.check(t)
	}
	times := func(q float64) float64 { return float64(quantile(beside.good, q)) / float64(quantile(alone.good, q)) }
	slower := times(0.99)
	t.Logf("p99 is %.2f times what it is alone, p50 %.2f times", slower, times(0.5))
	if refused := len(beside.other); refused > 0 {
		t.Errorf("the quiet tenant was refused %d times", refused)
	}
	if f.proof && slower > mostSlower {
		t.Errorf("p99 is %.2f times what it is alone, want %.1f", slower, mostSlower)
	}
}
