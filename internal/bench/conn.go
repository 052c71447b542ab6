package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"time"
)

// conn is a client of one keep-alive connection that costs as little as can be: it shares the machine with the service.
type conn struct {
	addr string
	c    net.Conn
	used time.Time
	old  bool // has had an answer
	in   *bufio.Reader
	out  []byte
	body []byte
}

func dial(addr string) (*conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{addr: addr, c: c, used: time.Now(), in: bufio.NewReaderSize(c, 64<<10)}, nil
}

// idle is how long a connection may be unused: the service closes one after a minute, and one that has not sent anything
// after the five seconds that a request's header may take.
const (
	idle = 30 * time.Second
	shy  = 2 * time.Second
)

// awake dials again after a long silence.
func (c *conn) awake() error {
	now, most := time.Now(), idle
	if !c.old {
		most = shy
	}
	if now.Sub(c.used) > most {
		fresh, err := net.Dial("tcp", c.addr)
		if err != nil {
			return err
		}
		c.close()
		c.c = fresh
		c.in.Reset(fresh)
	}
	c.used = now
	return nil
}

func (c *conn) close() { _ = c.c.Close() }

// do sends a request and gives the answer's status and body, which is valid until the next call.
func (c *conn) do(method, path, token string, body []byte) (int, []byte, error) {
	b := append(c.out[:0], method...)
	b = append(append(b, ' '), path...)
	b = append(b, " HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer "...)
	b = append(b, token...)
	if method == "POST" {
		b = append(b, "\r\nContent-Type: application/json\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(body)), 10)
	}
	b = append(append(b, "\r\n\r\n"...), body...)
	c.out = b
	if err := c.awake(); err != nil {
		return 0, nil, err
	}
	if _, err := c.c.Write(b); err != nil {
		return 0, nil, err
	}
	return c.answer()
}

func (c *conn) answer() (int, []byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil || len(line) < len("HTTP/1.1 200") {
		return 0, nil, fmt.Errorf("status line %q: %w", line, err)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, nil, err
	}
	length, chunked := -1, false
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch textproto.CanonicalMIMEHeaderKey(string(name)) {
		case "Content-Length":
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, nil, err
			}
		case "Transfer-Encoding":
			chunked = true
		}
	}
	c.body = c.body[:0]
	if chunked {
		return status, c.body, errors.New("a chunked answer where a short one is due")
	}
	c.body = append(c.body, make([]byte, max(length, 0))...)
	_, err = io.ReadFull(c.in, c.body)
	c.old = err == nil
	return status, c.body, err
}

// want is do with the status that must come.
func (c *conn) want(status int, method, path, token string, body []byte) ([]byte, error) {
	got, answer, err := c.do(method, path, token, body)
	if err == nil && got != status {
		err = fmt.Errorf("%s %s answers %d %.300s", method, path, got, answer)
	}
	return answer, err
}
