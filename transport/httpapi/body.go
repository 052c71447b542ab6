package httpapi

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"auditlog/internal/fault"
)

// Limits of bodies, in bytes, before and after decompression.
const (
	maxBody  = 256 << 10
	maxBulk  = 5 << 20
	maxRatio = 100 // decompressed bytes for one compressed
)

// buffers are for bodies and answers. What grew beyond keepBuffer is left to the collector.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const keepBuffer = 1 << 20

func borrow() *bytes.Buffer {
	b := buffers.Get().(*bytes.Buffer)
	b.Reset()
	return b
}

func giveBack(b *bytes.Buffer) {
	if b.Cap() <= keepBuffer {
		buffers.Put(b)
	}
}

// readBody reads the whole body of a route into buf and gives its media type. Errors: MediaType, TooLarge, Timeout,
// Malformed (broken gzip, an empty body that is not optional), Overloaded (no room for it).
func (s *Server) readBody(w http.ResponseWriter, r *request, buf *bytes.Buffer) (mediaType string, err error) {
	b := r.route.body
	if mediaType, err = bodyType(r.Header, b); err != nil {
		return "", err
	}
	zipped, err := isGzip(r.Header)
	if err != nil {
		return "", err
	}
	limit := int64(b.limit)
	if r.ContentLength > limit {
		return "", &http.MaxBytesError{Limit: limit}
	}
	if b.bulk {
		readBy(w, s.cfg.BulkTimeout)
	}
	body := http.MaxBytesReader(w, r.Body, limit)
	if zipped {
		err = s.unzip(r, body, buf, limit)
	} else {
		err = s.fill(r, buf, body, r.ContentLength, limit)
	}
	if err != nil {
		return "", bodyError(err)
	}
	readBy(w, 0)
	s.startClock(w, r)
	if buf.Len() == 0 && !b.optional {
		return "", fault.New(fault.Malformed, "the body is empty")
	}
	return mediaType, nil
}

// readBy bounds the time for what is still to be read of a request; 0 lifts the bound, for a body that is there whole.
// net/http reads the rest of a refused body before it lets go of the connection, so the bound stays on after an error.
func readBy(w http.ResponseWriter, timeout time.Duration) {
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	// The connection of a test without a network knows no deadlines; a real one always does.
	_ = http.NewResponseController(w).SetReadDeadline(deadline)
}

// writeBy bounds the time until an answer is written. What net/http sets by itself begins with the head, so that a slow
// body would use it up.
func writeBy(w http.ResponseWriter, timeout time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(timeout)) // as in readBy
}

// bodyError gives a kind to what reading a body can end in: a client that breaks off, or sends broken chunks, has sent
// something malformed.
func bodyError(err error) error {
	if l, ok := errors.AsType[*limited](err); ok {
		return l
	}
	switch f := faultOf(err); {
	case f.Kind == fault.Internal, f.Kind == fault.Unavailable:
		return fault.Wrap(fault.Malformed, err, "the body could not be read to its end")
	default:
		return f
	}
}

// bodyType checks Content-Type: one of the route's types, in UTF-8 if it says anything about that.
func bodyType(h http.Header, b *body) (string, error) {
	values := h["Content-Type"]
	if len(values) == 0 && b.optional {
		return b.types[0], nil
	}
	if len(values) == 1 && values[0] == b.types[0] { // by far the most frequent
		return b.types[0], nil
	}
	refused := fault.New(fault.MediaType, "the body must come as Content-Type: "+strings.Join(b.types, " or "))
	if len(values) != 1 {
		return "", refused
	}
	t, params, err := mime.ParseMediaType(values[0])
	if err != nil || !slices.Contains(b.types, t) {
		return "", refused
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return "", refused
		}
	}
	return t, nil
}

// isGzip checks Content-Encoding: absent, or gzip once.
func isGzip(h http.Header) (bool, error) {
	values := h["Content-Encoding"]
	switch {
	case len(values) == 0:
		return false, nil
	case len(values) == 1 && strings.EqualFold(values[0], "gzip"):
		return true, nil
	}
	return false, fault.New(fault.MediaType, "the only Content-Encoding is gzip, once")
}

var gunzips = sync.Pool{New: func() any { return new(gzip.Reader) }}

// counter counts what passes.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// unzip decompresses at most limit bytes, and never more than maxRatio for one.
func (s *Server) unzip(r *request, body io.Reader, buf *bytes.Buffer, limit int64) error {
	z := gunzips.Get().(*gzip.Reader)
	defer gunzips.Put(z)
	in := &counter{Reader: body}
	err := z.Reset(in)
	if err == nil {
		err = s.fill(r, buf, io.LimitReader(z, limit+1), 0, limit+1)
	}
	var network *http.MaxBytesError
	switch {
	case int64(buf.Len()) > limit:
		return &http.MaxBytesError{Limit: limit}
	case int64(buf.Len()) > maxRatio*in.n && in.n > 0:
		return fault.Newf(fault.TooLarge, "the body is compressed more than %d times", maxRatio)
	case err == nil, errors.As(err, &network):
		return err
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fault.Wrap(fault.Malformed, err, "the body is not sound gzip")
	}
	return err // deflate's own errors and the network's; bodyError tells them apart
}
