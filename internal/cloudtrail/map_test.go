package cloudtrail

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"auditlog/command"
	"auditlog/internal/canon"
)

// sample is every record of the file that AUDITLOG_SAMPLE names, or of the project's own sample.
func sample(t *testing.T) [][]byte {
	t.Helper()
	path := os.Getenv("AUDITLOG_SAMPLE")
	if path == "" {
		path = "../../test/e2e/testdata/cloudtrail.ndjson"
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	var records [][]byte
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		records = append(records, bytes.Clone(lines.Bytes()))
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(records) < 200 {
		t.Fatalf("the sample holds %d records", len(records))
	}
	return records
}

func mapped(t *testing.T, record []byte) ([]byte, map[string]any) {
	t.Helper()
	b, err := AppendEntry(nil, record)
	if err != nil {
		t.Fatalf("%v\n%s", err, record)
	}
	var e map[string]any
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return b, e
}

func TestEveryRecordOfTheSampleIsAValidEntry(t *testing.T) {
	for i, record := range sample(t) {
		b, _ := mapped(t, record)
		doc, err := canon.Parse(b, canon.Limits{FoldDepth: 2})
		if err != nil {
			t.Fatalf("record %d: %v\n%s", i+1, err, b)
		}
		if _, broken := command.ParseEntry(doc.Root(), "", command.Defaults{}); len(broken) > 0 {
			t.Errorf("record %d: %+v\n%s", i+1, broken, b)
		}
		doc.Release()
		if bytes.ContainsAny(b, "\r\n") {
			t.Errorf("record %d: the entry has a line break", i+1)
		}
	}
}

// What an entry carries in a field of its own, together with its metadata, is the whole record again.
func TestNothingIsLost(t *testing.T) {
	for i, record := range sample(t) {
		var want map[string]any
		if err := json.Unmarshal(record, &want); err != nil {
			t.Fatal(err)
		}
		_, e := mapped(t, record)
		got, ok := e["metadata"].(map[string]any)
		if !ok {
			t.Fatalf("record %d has no metadata", i+1)
		}
		source, _ := e["source"].(map[string]any)
		for name, v := range map[string]any{
			"eventTime": e["occurred_at"], "eventName": e["action"], "requestID": e["request_id"], "errorMessage": e["message"],
			"userAgent": source["user_agent"], "sourceIPAddress": first(source["ip"], source["service"]),
		} {
			if _, kept := got[name]; !kept && v != nil {
				got[name] = v
			}
		}
		if a, b := text(t, got), text(t, want); a != b {
			t.Errorf("record %d: put together again\n%s\nwas\n%s", i+1, a, b)
		}
	}
}

func first(values ...any) any {
	if i := slices.IndexFunc(values, func(v any) bool { return v != nil }); i >= 0 {
		return values[i]
	}
	return nil
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTheSameRecordGivesTheSameBytes(t *testing.T) {
	record := sample(t)[0]
	a, _ := mapped(t, record)
	b, err := AppendEntry([]byte("kept"), record)
	if err != nil || string(b) != "kept"+string(a) {
		t.Errorf("got %s, %v", b, err)
	}
}

// base is a record that each case changes.
const base = `{"eventID":"e-1","eventName":"Get","eventSource":"s3.amazonaws.com","eventTime":"2024-02-29T00:00:00Z"%s}`

func TestFields(t *testing.T) {
	for _, c := range []struct{ name, with, want string }{
		{"user", `"userIdentity":{"type":"IAMUser","arn":"arn:1","userName":"ann","accessKeyId":"AK"}`,
			`"actor":{"id":"arn:1","name":"ann","session_id":"AK","type":"user"}`},
		{"assumed role", `"userIdentity":{"type":"AssumedRole","principalId":"P:i","sessionContext":{"sessionIssuer":{"userName":"deploy"}}}`,
			`"actor":{"id":"P:i","name":"deploy","type":"service"}`},
		{"service", `"userIdentity":{"type":"AWSService","invokedBy":"ec2.amazonaws.com"}`, `"actor":{"id":"ec2.amazonaws.com","type":"service"}`},
		{"no type", `"userIdentity":{"accountId":"1","invokedBy":"x.amazonaws.com"}`, `"actor":{"id":"x.amazonaws.com","type":"service"}`},
		{"no type, account only", `"userIdentity":{"accountId":"1"}`, `"actor":{"id":"1","type":"user"}`},
		{"no identity", `"userIdentity":null`, `"actor":{"id":"unknown","type":"anonymous"}`},
		{"anonymous", `"userIdentity":{"type":"AWSAccount2","accountId":"anonymous","principalId":"-"}`, `"actor":{"id":"-","type":"anonymous"}`},
		{"address", `"sourceIPAddress":"192.0.2.1"`, `"source":{"ip":"192.0.2.1"}`},
		{"address of version 6", `"sourceIPAddress":"2001:db8::1","userAgent":"x"`, `"source":{"ip":"2001:db8::1","user_agent":"x"}`},
		{"service as source", `"sourceIPAddress":"AWS Internal"`, `"source":{"service":"AWS Internal"}`},
		{"no resources", `"resources":[]`, `"resource":{"type":"s3.amazonaws.com"}`},
		{"resources", `"resources":[{"ARN":"a","type":"T"},{"ARN":"b"},{"accountId":"1"},{"ARN":"c","type":"U"}]`,
			`"related":[{"id":"b","type":"s3.amazonaws.com"},{"id":"c","type":"U"}],"resource":{"id":"a","type":"T"}`},
		{"odd action", `"eventName":"Get Böx"`, `"action":"Get_B__x"`},
		{"success", `"responseElements":null`, `"outcome":"success"`},
		{"denied", `"errorCode":"AccessDenied","errorMessage":"no"`, `"message":"no"`},
		{"denied by EC2", `"errorCode":"Client.UnauthorizedOperation"`, `"outcome":"denied"`},
		{"failure", `"errorCode":"NoSuchBucketPolicy"`, `"outcome":"failure"`},
		{"mistake", `"errorCode":"NoSuchBucketPolicy"`, `"severity":"WARNING"`},
		{"fault", `"errorCode":"ThrottlingException"`, `"severity":"ERROR"`},
		{"failed sign-in", `"responseElements":{"ConsoleLogin":"Failure"}`, `"outcome":"denied"`},
		{"nulls stay", `"responseElements":null,"requestID":null`, `"requestID":null`},
		{"key", `"eventID":"e-2"`, `"idempotency_key":"cloudtrail:e-2"`},
		{"a text that the field refuses stays in metadata", `"requestID":"a\u0007b"`, `"requestID":"a\u0007b"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, e := mapped(t, record(t, c.with))
			if got := text(t, e); !strings.Contains(got, c.want) {
				t.Errorf("want %s in\n%s", c.want, got)
			}
		})
	}
}

// record is base with members put in or replaced.
func record(t *testing.T, with string) []byte {
	t.Helper()
	r := map[string]any{}
	for _, s := range []string{strings.Replace(base, "%s", "", 1), "{" + with + "}"} {
		if err := json.Unmarshal([]byte(s), &r); err != nil {
			t.Fatalf("%v: %s", err, s)
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRefused(t *testing.T) {
	for _, r := range []string{
		``, `[]`, `{}`, `{"eventID":"e"`, `{"eventID":"e","eventName":"n","eventSource":"s"}`,
		`{"eventID":7,"eventName":"n","eventSource":"s","eventTime":"t"}`,
		`{"eventID":"` + strings.Repeat("e", 250) + `","eventName":"n","eventSource":"s","eventTime":"t"}`,
		`{"eventID":"a","eventID":"b","eventName":"n","eventSource":"s","eventTime":"t"}`,
	} {
		if b, err := AppendEntry([]byte("kept"), []byte(r)); err == nil || string(b) != "kept" {
			t.Errorf("%.60s: got %q, %v", r, b, err)
		}
	}
}
