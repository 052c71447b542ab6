package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
)

// sample is a file of CloudTrail records and what it holds, read without the code under test.
type sample struct {
	path  string
	lines [][]byte

	total, ec2, decrypt, errors, denied int
}

func openSample(t *testing.T) sample {
	t.Helper()
	s := sample{path: os.Getenv("AUDITLOG_SAMPLE")}
	if s.path == "" {
		s.path = "testdata/cloudtrail.ndjson"
	}
	data, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	var r io.Reader = bytes.NewReader(data)
	if strings.HasSuffix(s.path, ".gz") {
		if r, err = gzip.NewReader(r); err != nil {
			t.Fatal(err)
		}
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var record struct{ EventSource, EventName, ErrorCode string }
		if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
			t.Fatal(err)
		}
		s.lines = append(s.lines, bytes.Clone(lines.Bytes()))
		s.count(record.EventSource, record.EventName, record.ErrorCode)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if s.total < 200 || s.ec2 == 0 || s.decrypt == 0 || s.denied == 0 || s.errors <= s.denied {
		t.Fatalf("the sample is too poor: %d records, %d of EC2, %d Decrypt, %d errors, %d denied", s.total, s.ec2, s.decrypt, s.errors, s.denied)
	}
	return s
}

func (s *sample) count(source, name, code string) {
	s.total++
	if source == "ec2.amazonaws.com" {
		s.ec2++
	}
	if name == "Decrypt" {
		s.decrypt++
	}
	if code != "" {
		s.errors++
	}
	if code == "AccessDenied" || code == "Client.UnauthorizedOperation" {
		s.denied++
	}
}

// The figures of the real file, so that a mistake in counting above shows.
func TestRealSampleHoldsWhatIsKnownOfIt(t *testing.T) {
	s := openSample(t)
	want := [5]int{300, 114, 38, 38, 16}
	if s.total == 2900 {
		want = [5]int{2900, 892, 178, 300, 60}
	}
	if got := [5]int{s.total, s.ec2, s.decrypt, s.errors, s.denied}; got != want {
		t.Errorf("the sample %s holds %v, want %v", s.path, got, want)
	}
}
