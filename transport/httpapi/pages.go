package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"strconv"

	"github.com/labstack/echo/v4"

	"auditlog/web"
)

// page is a file that is served as it is.
type page struct {
	body   []byte
	kind   string // media type
	etag   string
	policy string // Content-Security-Policy; "": none
}

func newPage(body []byte, kind, policy string) page {
	sum := sha256.Sum256(body)
	return page{body: body, kind: kind, policy: policy, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
}

func (p page) serve(c echo.Context) error {
	h := c.Response().Header()
	h.Set("Content-Type", p.kind)
	h.Set("ETag", p.etag)
	h.Set("Cache-Control", "no-cache")
	h.Set("Referrer-Policy", "no-referrer")
	if p.policy != "" {
		h.Set("Content-Security-Policy", p.policy)
	}
	if c.Request().Header.Get("If-None-Match") == p.etag {
		c.Response().WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Length", strconv.Itoa(len(p.body)))
	c.Response().WriteHeader(http.StatusOK)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	_, _ = c.Response().Write(p.body) // a client that is gone needs no answer
	return nil
}

// addPages serves the embedded files at their own paths, the pages at theirs, and the OpenAPI document.
func (s *Server) addPages(e *echo.Echo) {
	add := func(at string, p page) {
		e.GET(at, p.serve)
		e.HEAD(at, p.serve)
	}
	add("/openapi.json", newPage(s.openapi, "application/json", ""))
	files := web.Files()
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		switch name {
		case "index.html":
			add("/", newPage(body, "text/html; charset=utf-8", web.ContentSecurityPolicy))
		case "docs.html":
			add("/docs", newPage(body, "text/html; charset=utf-8", web.ContentSecurityPolicy))
		default:
			add("/"+name, newPage(body, mediaType(name), ""))
		}
		return nil
	})
	if err != nil {
		panic("httpapi: " + err.Error()) // the files are embedded: reading them cannot fail
	}
}

// mediaType goes by the file's ending, and never by the machine's own tables.
func mediaType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return "text/plain; charset=utf-8"
	}
}
