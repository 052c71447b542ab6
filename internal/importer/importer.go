// Package importer sends files of audit records to the service in bulks.
//
// An import may be cut at any moment and run again: every entry carries an idempotency key made of its source's own id,
// so that what is there already is replayed, not stored twice. No state is kept beside the files. The entries of a file
// get positions in the file's order.
package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"auditlog/internal/client"
)

// Sender is what an import asks of a client.
type Sender interface {
	// Bulk sends entries until they are stored or refused.
	Bulk(ctx context.Context, entries [][]byte) ([]client.Item, error)
	// BulkInSequence sends them once, as the nth of a sequence: stored after those before it, and only if all of those were.
	BulkInSequence(ctx context.Context, entries [][]byte, sequence string, n int) ([]client.Item, error)
}

// Format appends the entry that a record becomes, as JSON without line breaks. An error refuses the record.
type Format func(dst, record []byte) ([]byte, error)

// Refusal is a record that was not stored, and why.
type Refusal struct {
	File   string
	Line   int // of the file, or number of the record in a file that is one JSON document; from 1
	Reason string
}

func (r Refusal) String() string { return fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Reason) }

// Counts is what became of the records. Read = Stored + Replayed + Refused once an import is done.
type Counts struct{ Read, Stored, Replayed, Refused int64 }

// Import sends files with one Format to one Sender, which several goroutines of it use. It is used by one goroutine.
type Import struct {
	Sender  Sender
	Format  Format
	Refused func(Refusal) // told of each refused record; never nil
	Moved   func(Counts)  // told after each bulk; never nil
	Bulk    int           // entries in one request; 0: as many as a bulk may hold

	counts Counts
}

// Counts is what became of the records so far.
func (im *Import) Counts() Counts { return im.counts }

// batch is one bulk and where its entries come from.
type batch struct {
	entries [][]byte
	lines   []int
	size    int // bytes of the entries
}

func (b *batch) fits(entry []byte, most int) bool {
	return len(b.entries) < most && client.BulkBytes(len(b.entries)+1, b.size+len(entry)) <= client.MaxBulkBytes
}

// add puts in an entry; one of its own larger than a bulk goes alone, for the server to refuse.
func (b *batch) add(entry []byte, line int) {
	b.entries, b.lines, b.size = append(b.entries, entry), append(b.lines, line), b.size+len(entry)
}

// made is how many bulks are made ahead of those that are on their way.
const made = 2

// File imports one file. An error means that the file was not read, or not sent, to its end.
func (im *Import) File(ctx context.Context, name string, r io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	batches := make(chan batch, made)
	read := make(chan error, 1)
	go func() {
		defer close(batches)
		read <- im.batches(ctx, name, r, batches)
	}()
	f := flights{im: im, file: name}
	var sent error
	for b := range batches {
		if sent == nil {
			if sent = f.send(ctx, b); sent != nil {
				cancel() // and the reader, which may wait for us, ends
			}
		}
	}
	if sent == nil {
		sent = f.land(ctx)
	}
	cancel()
	f.abandon()
	if err := <-read; sent == nil {
		sent = err
	}
	return sent
}

// batches reads the file and hands out bulks.
func (im *Import) batches(ctx context.Context, name string, r io.Reader, out chan<- batch) error {
	hand := func(b batch) error {
		select {
		case out <- b:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	most := client.MaxBulkEntries
	if im.Bulk > 0 {
		most = min(most, im.Bulk)
	}
	var b batch
	err := Records(r, func(line int, record []byte, bad error) error {
		entry, err := []byte(nil), bad
		if err == nil {
			entry, err = im.Format(make([]byte, 0, len(record)+512), record)
		}
		if err != nil {
			return hand(batch{lines: []int{line}, entries: [][]byte{[]byte(err.Error())}, size: refused})
		}
		if len(b.entries) > 0 && !b.fits(entry, most) {
			if err := hand(b); err != nil {
				return err
			}
			b = batch{}
		}
		b.add(entry, line)
		return nil
	})
	if len(b.entries) > 0 && (err == nil || ctx.Err() == nil) {
		err = errors.Join(hand(b), err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// refused as a batch's size marks one record that never becomes an entry; its "entry" is the reason. So the counts have
// one owner, the sender.
const refused = -1

func (im *Import) send(ctx context.Context, name string, b batch) error {
	if b.size == refused {
		im.counts.Read++
		im.refuse(name, b.lines[0], string(b.entries[0]))
		return nil
	}
	if err := im.bulk(ctx, name, b); err != nil {
		return fmt.Errorf("%s: lines %d to %d: %w", name, b.lines[0], b.lines[len(b.lines)-1], err)
	}
	return nil
}

// bulk sends entries. When the server refuses them as a whole for what one of them holds, halves find that one.
func (im *Import) bulk(ctx context.Context, name string, b batch) error {
	items, err := im.Sender.Bulk(ctx, b.entries)
	var p *client.Problem
	switch {
	case err == nil:
		im.count(name, b, items)
		return nil
	case !errors.As(err, &p) || !isContent(p.Status):
		return err
	case len(b.entries) == 1:
		im.counts.Read++
		im.refuse(name, b.lines[0], p.Reason())
		return nil
	}
	half := len(b.entries) / 2
	err = im.bulk(ctx, name, batch{entries: b.entries[:half], lines: b.lines[:half]})
	if err == nil {
		err = im.bulk(ctx, name, batch{entries: b.entries[half:], lines: b.lines[half:]})
	}
	return err
}

// isContent tells statuses that speak about the body from those about the caller or the server.
func isContent(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

func (im *Import) count(name string, b batch, items []client.Item) {
	for i, item := range items {
		im.counts.Read++
		switch {
		case item.Status == http.StatusCreated && item.Replayed:
			im.counts.Replayed++
		case item.Status == http.StatusCreated:
			im.counts.Stored++
		case item.Problem != nil:
			im.refuse(name, b.lines[i], item.Problem.Reason())
		default:
			im.refuse(name, b.lines[i], fmt.Sprintf("the server answered %d", item.Status))
		}
	}
	im.Moved(im.counts)
}

func (im *Import) refuse(name string, line int, reason string) {
	im.counts.Refused++
	im.Refused(Refusal{File: name, Line: line, Reason: reason})
}
