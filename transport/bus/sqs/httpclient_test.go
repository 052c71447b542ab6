package sqs

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
)

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

// touchy is a body that fails when it is read after its end was closed, as the SDK's does.
type touchy struct {
	r      io.Reader
	closed bool
}

func (b *touchy) Read(p []byte) (int, error) {
	if b.closed {
		return 0, errors.New("read after close")
	}
	return b.r.Read(p)
}

func (b *touchy) Close() error { b.closed = true; return nil }

func TestBodyOutlivesTheSDKs(t *testing.T) {
	own := &touchy{r: bytes.NewReader([]byte("a body"))}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://queue", own)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = 6
	var seen []byte
	_, err = wholeBodies{doer(func(r *http.Request) (*http.Response, error) {
		_ = own.Close()
		if r.ContentLength != 6 || r.Body == io.ReadCloser(own) {
			t.Errorf("the client was given the body itself, %d bytes", r.ContentLength)
		}
		seen, err = io.ReadAll(r.Body)
		return nil, err
	})}.Do(req)
	if err != nil || string(seen) != "a body" {
		t.Fatalf("%q, %v", seen, err)
	}
	req.Body, req.ContentLength = &touchy{r: bytes.NewReader([]byte("short"))}, 6
	if _, err := (wholeBodies{doer(func(*http.Request) (*http.Response, error) { t.Error("sent"); return nil, nil })}).Do(req); err == nil {
		t.Error("a short body is no error")
	}
}
