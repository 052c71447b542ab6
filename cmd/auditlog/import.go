package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"auditlog/internal/client"
	"auditlog/internal/cloudtrail"
	"auditlog/internal/importer"
	"auditlog/internal/progress"
)

type importCmd struct {
	remoteFlags `embed:""`
	Format      string   `required:"" enum:"cloudtrail,ndjson" help:"What the files hold: ${enum}. cloudtrail: records one a line, or {\"Records\":[…]}; ndjson: entries one a line."`
	Bulk        int      `default:"1000" placeholder:"N" help:"Entries in one request (${default}; at most 1000)."`
	Files       []string `arg:"" name:"file" help:"Files, plain or gzip; - is standard input."`
}

var formats = map[string]importer.Format{"cloudtrail": cloudtrail.AppendEntry, "ndjson": importer.NDJSON}

// shownRefusals bounds how many refused records are told one by one.
const shownRefusals = 100

// Run imports the files one after the other.
func (c *importCmd) Run(ctx context.Context, s streams) error {
	if c.Bulk < 1 || c.Bulk > client.MaxBulkEntries {
		return usagef("--bulk: must lie between 1 and %d", client.MaxBulkEntries)
	}
	remote, err := c.client(s)
	if err != nil {
		return err
	}
	debug.SetGCPercent(400) // little lives here, and what is read goes soon: what the server would do with the CPU
	start := time.Now()
	counts, err := c.files(ctx, s, remote)
	fmt.Fprintf(s.out, "read %d, stored %d, replayed %d, refused %d in %s\n",
		counts.Read, counts.Stored, counts.Replayed, counts.Refused, time.Since(start).Round(10*time.Millisecond))
	switch {
	case err != nil:
		return interrupted(ctx, err)
	case counts.Refused > 0:
		return coded{fmt.Errorf("%d of %d records were refused", counts.Refused, counts.Read), exitPartly}
	}
	return nil
}

func (c *importCmd) files(ctx context.Context, s streams, remote *client.Client) (importer.Counts, error) {
	files, err := openInputs(c.Files, s.in)
	if err != nil {
		return importer.Counts{}, err
	}
	defer files.close()
	bar := progress.For(s.err, "import", "records")
	var refused []importer.Refusal
	im := importer.Import{
		Sender: remote, Format: formats[c.Format], Bulk: c.Bulk,
		Refused: func(r importer.Refusal) {
			if len(refused) < shownRefusals {
				refused = append(refused, r)
			}
		},
		Moved: func(n importer.Counts) {
			bar.Update(progress.Work{Count: n.Read, Done: files.read.Load(), Total: files.size})
		},
	}
	for _, in := range files.list {
		if err = im.File(ctx, in.name, in); err != nil {
			break
		}
	}
	bar.Finish()
	for _, r := range refused {
		fmt.Fprintln(s.err, "refused", r)
	}
	if more := im.Counts().Refused - int64(len(refused)); more > 0 {
		fmt.Fprintf(s.err, "and %d more were refused\n", more)
	}
	return im.Counts(), err
}

// inputs are the files of a command, all open, so that a wrong name is told before anything is sent.
type inputs struct {
	list []*input
	size int64        // of all, in bytes; 0 when one is a pipe
	read atomic.Int64 // of all
}

type input struct {
	io.Reader
	name string
	file *os.File // nil for standard input
	of   *inputs
}

func (i *input) Read(p []byte) (int, error) {
	n, err := i.Reader.Read(p)
	i.of.read.Add(int64(n))
	return n, err
}

func openInputs(names []string, stdin io.Reader) (*inputs, error) {
	all, known := &inputs{}, true
	for _, name := range names {
		in := &input{Reader: stdin, name: name, of: all}
		if name == "-" {
			known = false
		} else {
			f, err := os.Open(name)
			if err != nil {
				all.close()
				return nil, err
			}
			in.Reader, in.file = f, f
			info, err := f.Stat()
			switch {
			case err != nil || !info.Mode().IsRegular():
				known = false
			default:
				all.size += info.Size()
			}
			if err == nil && info.IsDir() {
				all.close()
				return nil, errors.Join(fmt.Errorf("%s is a folder; name its files", name), f.Close())
			}
		}
		all.list = append(all.list, in)
	}
	if !known {
		all.size = 0
	}
	return all, nil
}

// close closes the files; they were only read, so errors say nothing.
func (a *inputs) close() {
	for _, in := range a.list {
		if in.file != nil {
			_ = in.file.Close()
		}
	}
}
