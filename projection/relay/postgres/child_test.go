package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"auditlog/eventstore/timescale"
	"auditlog/projection"
	"auditlog/projection/relay"
	"auditlog/projection/relay/postgres"
)

// childVar makes the test program a relay of its own: the addresses of the relays' database and of the owner.
const childVar = "AUDITLOG_TEST_RELAY_CHILD"

// child runs a relay until SIGTERM. It answers "gate" on standard input with "gate" once it is about to publish an
// envelope, which it does after "go" and however late that is, and then says what became of its cursor.
func child() {
	if err := runChild(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runChild() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	address, owner, _ := strings.Cut(os.Getenv(childVar), " ")
	db, err := postgres.Open(ctx, address, postgres.Options{Life: life, Name: fmt.Sprint(os.Getpid()), Log: quiet})
	if err != nil {
		return err
	}
	store, err := timescale.Open(ctx, timescale.Config{Address: owner})
	if err != nil {
		return err
	}
	bus, err := newTableBus(ctx, owner, fmt.Sprint(os.Getpid()))
	if err != nil {
		return err
	}
	g := &gate{tableBus: bus, db: db, open: make(chan struct{})}
	go g.listen(os.Stdin)
	_ = relay.New(store, g, db, destinations, relay.Options{Lease: db, Page: 5, Log: quiet}).Run(ctx)
	return errors.Join(db.Close(), store.Close())
}

// gate holds up one envelope.
type gate struct {
	*tableBus
	db    *postgres.DB
	armed atomic.Bool
	open  chan struct{}
}

func (g *gate) listen(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		switch lines.Text() {
		case "gate":
			g.armed.Store(true)
		case "go":
			g.open <- struct{}{}
		}
	}
}

func (g *gate) Publish(ctx context.Context, destination string, env projection.Envelope) error {
	if !g.armed.CompareAndSwap(true, false) {
		return g.tableBus.Publish(ctx, destination, env)
	}
	fmt.Printf("gate %d %d\n", env.Shard, env.Epoch)
	<-g.open
	late := context.WithoutCancel(ctx) // as if it had not noticed yet
	if err := g.tableBus.Publish(late, destination, env); err != nil {
		return err
	}
	fmt.Printf("sent, then: %v\n", g.db.Save(late, env.Shard, destination, env.Epoch, 1_000_000))
	return nil
}

// process is a child.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.Writer
	lines chan string
}

func spawn(t *testing.T, w *world) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(self), lines: make(chan string, 100)}
	p.cmd.Env = append(os.Environ(), childVar+"="+w.relay+" "+w.owner)
	p.cmd.Stderr = os.Stderr
	in, err1 := p.cmd.StdinPipe()
	out, err2 := p.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, p.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	p.in = in
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may be gone
		<-read
		_ = p.cmd.Wait()
	})
	return p
}

func (p *process) name() string { return fmt.Sprint(p.cmd.Process.Pid) }

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) say(line string) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) hear() string {
	p.t.Helper()
	select {
	case line := <-p.lines:
		return line
	case <-time.After(patience):
		p.t.Fatal("the child says nothing")
		return ""
	}
}

// lease is a row of leases with its holder's name.
type lease struct {
	Shard  int
	Holder string
	Epoch  int64
}

// awaitShares waits until the processes hold so many leases each.
func (w *world) awaitShares(t *testing.T, want map[*process]int) (all []lease) {
	t.Helper()
	eventually(t, fmt.Sprintf("shares %v", want), func() bool {
		all = rows[lease](t, w.conn, `
			SELECT l.shard, coalesce(m.name, ''), l.epoch FROM auditlog_relay.leases l LEFT JOIN auditlog_relay.members m ON m.id = l.holder
			WHERE l.expires_at > clock_timestamp() ORDER BY 1`)
		n := map[string]int{}
		for _, l := range all {
			n[l.Holder]++
		}
		for p, want := range want {
			if n[p.name()] != want {
				return false
			}
		}
		return true
	})
	return all
}
