package importer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// MaxRecord bounds one record in bytes: CloudTrail's own limit is 256 KiB. A longer line is refused, the next is read.
const MaxRecord = 1 << 20

// errLong refuses a record.
var errLong = fmt.Errorf("the record is longer than %d bytes", MaxRecord)

// recordsFile is how a file begins that CloudTrail delivers: one document that holds a list.
var recordsFile = regexp.MustCompile(`^\s*\{\s*"Records"\s*:\s*\[`)

// Records calls yield for each record of a file: of each line that is not blank, or of each element of
// {"Records":[…]}. gzip is seen by its first bytes. line counts lines, or records of such a document, from 1. bad is
// why a record cannot be one. record is yield's until the next call. An error of yield ends the walk and is returned.
func Records(r io.Reader, yield func(line int, record []byte, bad error) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unzip, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("damaged gzip: %w", err)
		}
		in = bufio.NewReaderSize(unzip, 64<<10)
	}
	if head, _ := in.Peek(512); recordsFile.Match(head) {
		return documents(in, yield)
	}
	return lines(in, yield)
}

func lines(in *bufio.Reader, yield func(int, []byte, error) error) error {
	var record []byte
	for line := 1; ; line++ {
		var bad, err error
		record, bad, err = readLine(in, record[:0])
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return fmt.Errorf("line %d: %w", line, err)
		}
		if text := bytes.TrimSpace(record); len(text) > 0 || bad != nil {
			if err := yield(line, text, bad); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

// readLine appends the next line without its end. A long one is read to its end and reported as bad.
func readLine(in *bufio.Reader, line []byte) (_ []byte, bad, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > MaxRecord {
			bad, line = errLong, line[:0]
		}
		if bad == nil {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, bad, err
		}
	}
}

// documents reads one or more {"Records":[…], …}; other members are passed over.
func documents(in io.Reader, yield func(int, []byte, error) error) error {
	dec := json.NewDecoder(in)
	n := 0
	for first := true; ; first = false {
		if err := expect(dec, json.Delim('{')); err != nil {
			if errors.Is(err, io.EOF) && !first {
				return nil
			}
			return fmt.Errorf("after record %d: %w", n, err)
		}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return fmt.Errorf("after record %d: %w", n, err)
			}
			if key == "Records" {
				err = elements(dec, &n, yield)
			} else {
				err = dec.Decode(new(json.RawMessage))
			}
			if err != nil {
				return err
			}
		}
		if err := expect(dec, json.Delim('}')); err != nil {
			return fmt.Errorf("after record %d: %w", n, cut(err))
		}
	}
}

func elements(dec *json.Decoder, n *int, yield func(int, []byte, error) error) error {
	if err := expect(dec, json.Delim('[')); err != nil {
		return fmt.Errorf("Records: %w", cut(err))
	}
	for dec.More() {
		var record json.RawMessage
		*n++
		if err := dec.Decode(&record); err != nil {
			return fmt.Errorf("record %d: %w", *n, cut(err))
		}
		var bad error
		if len(record) > MaxRecord {
			record, bad = nil, errLong
		}
		if err := yield(*n, record, bad); err != nil {
			return err
		}
	}
	if err := expect(dec, json.Delim(']')); err != nil {
		return fmt.Errorf("after record %d: %w", *n, cut(err))
	}
	return nil
}

func expect(dec *json.Decoder, want json.Delim) error {
	got, err := dec.Token()
	if err == nil && got != want {
		err = fmt.Errorf("%q where %q is due", got, want)
	}
	return err
}

// cut says plainly what an end in the middle is.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
