package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"auditlog/internal/seed"
)

// importTurns is how often an import and COPY take turns. Each turn imports a whole file, so that the process's start
// counts for what it is.
const importTurns = 3

// imports measures the program's own import of a file.
type imports struct {
	*writer
	file  string // of lines
	lines int
	spent cpu // by import processes
}

// imported measures an import against COPY of what it stores, and what it leaves to others.
func (w *writer) imported(ctx context.Context) error {
	m := &imports{writer: w, file: filepath.Join(w.Dir, "import.ndjson"), lines: w.Bulks * bulkEntries}
	if err := writeLines(m.file, m.lines); err != nil {
		return err
	}
	near, far, err := w.neighbours(ctx, 1+importTurns) // before any is imported to
	if err != nil {
		return err
	}
	for _, measure := range []func() error{
		func() error { return m.ratio(ctx) },
		func() error { return m.quiet(ctx, near[0], near[1:], far) },
		func() error {
			return m.profiled(ctx, "import", func(d time.Duration) error { return m.repeat(ctx, d) })
		},
	} {
		if err := measure(); err != nil {
			return err
		}
	}
	return os.Remove(m.file)
}

// writeLines writes a file of n entries as other steps send them, one a line. None has a key: the import makes keys of what
// they hold, which differs. The file is on the disk when this returns, so that writing it back disturbs nothing.
func writeLines(path string, n int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	g := seed.New(1, max(million, n), time.Now().UTC().Truncate(24*time.Hour), arrival)
	g.Key = false
	out := bufio.NewWriter(f)
	var line []byte
	for i := range n {
		if line, err = g.Append(line[:0], int64(i)); err != nil {
			return err
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return errors.Join(out.Flush(), f.Sync())
}

// ratio compares imports with COPY of the same rows, as many in a transaction as a bulk holds: events with their
// idempotency keys, and, to be stated, events alone.
func (m *imports) ratio(ctx context.Context) error {
	if _, _, err := m.another(ctx); err != nil { // it warms up, and leaves the rows
		return err
	}
	limit, err := m.stack.newCopier(ctx, "_imported")
	if err != nil {
		return err
	}
	defer func() { _ = limit.close(ctx) }() // it is thrown away
	kinds := []func(context.Context) (int, time.Duration, error){
		m.another,
		func(ctx context.Context) (int, time.Duration, error) { return m.copies(ctx, limit.keyed) },
		func(ctx context.Context) (int, time.Duration, error) { return m.copies(ctx, limit.insert) },
	}
	for _, copies := range kinds[1:] {
		if _, _, err := copies(ctx); err != nil { // it warms up
			return err
		}
	}
	meter, err := newMeter(ctx, m.stack.db, m.stack.databases) // COPY's as well
	if err != nil && !errors.Is(err, errElsewhere) {
		return err
	}
	var sides [3]bill
	m.spent = 0
	for range importTurns {
		for i, work := range kinds {
			one, err := meter.bill(ctx, m.p, func() (int, time.Duration, error) { return work(ctx) })
			if err != nil {
				return err
			}
			sides[i].add(one)
		}
	}
	own, copied, alone := sides[0], sides[1], sides[2]
	l := Line{
		Name: "import of a file / plain COPY", Value: own.rate() / copied.rate(), Unit: "ratio", Least: true, Goal: 0.7,
		Cache: "warm", Workers: "off", Connections: 1, Samples: importTurns, Entries: m.lines,
		Sides: map[string]float64{
			"import_per_s": own.rate(), "copy_per_s": copied.rate(), "copy_events_alone_per_s": alone.rate(), "import_process_us": m.spent.perEntry(own.entries),
		},
	}
	if meter != nil {
		l.Sides["import_service_us"], l.Sides["import_database_us"] = own.service.perEntry(own.entries), own.database.perEntry(own.entries)
		l.Sides["copy_database_us"] = copied.database.perEntry(copied.entries)
	}
	return m.report(l)
}

// copies inserts as many rows as the file has lines.
func (m *imports) copies(ctx context.Context, insert func(context.Context, int) (time.Duration, error)) (n int, took time.Duration, err error) {
	for n = 0; n < m.lines; n += bulkEntries {
		one, err := insert(ctx, bulkEntries)
		if err != nil {
			return n, took, err
		}
		took += one
	}
	return n, took, nil
}

// repeat imports for a while.
func (m *imports) repeat(ctx context.Context, d time.Duration) error {
	for start := time.Now(); time.Since(start) < d; {
		if _, _, err := m.another(ctx); err != nil {
			return err
		}
	}
	return nil
}

// another imports the file to another tenant, where nothing is replayed.
func (m *imports) another(ctx context.Context) (n int, took time.Duration, err error) {
	made, err := m.tenants(1)
	if err != nil {
		return 0, 0, err
	}
	return m.to(ctx, made.tokens[0])
}

// to imports the file as a process of the program. The time goes from its start to its end.
func (m *imports) to(ctx context.Context, token string) (n int, took time.Duration, err error) {
	cmd := exec.CommandContext(ctx, m.Binary, "import", "--format", "ndjson", m.file)
	cmd.Env = environ([]string{"AUDITLOG_URL=http://" + m.p.addr, "AUDITLOG_TOKEN=" + token})
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	err = cmd.Run()
	took = time.Since(start)
	if err != nil {
		return 0, 0, fmt.Errorf("auditlog import: %w: %s", err, strings.TrimSpace(errs.String()))
	}
	m.spent += cpu(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime())
	return m.lines, took, stored(out.String(), m.lines)
}

// stored tells whether an import's account says that it read and stored n entries, and refused and replayed none.
func stored(account string, n int) error {
	if want := fmt.Sprintf("read %d, stored %d, replayed 0, refused 0 in ", n, n); !strings.HasPrefix(account, want) {
		return fmt.Errorf("an import of %d entries: %q", n, account)
	}
	return nil
}
