package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"auditlog/internal/fault"
)

// allowed tells what Allow says of a path (RFC 9110 §10.2.1). It is made of what is served, once.
type allowed struct {
	literal  map[string]string // paths without a parameter
	patterns []allowedPattern  // paths with one, the more literal ones first
}

type allowedPattern struct {
	segments []string
	allow    string
}

// methodOrder is how Allow lists them.
var methodOrder = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodOptions}

func newAllowed(served []*echo.Route) allowed {
	methods := map[string][]string{}
	for _, r := range served {
		methods[r.Path] = append(methods[r.Path], r.Method)
	}
	a := allowed{literal: map[string]string{}}
	for path, known := range methods {
		known = append(known, http.MethodOptions)
		slices.SortFunc(known, func(a, b string) int { return slices.Index(methodOrder, a) - slices.Index(methodOrder, b) })
		allow := strings.Join(known, ", ")
		if !strings.Contains(path, ":") {
			a.literal[path] = allow
			continue
		}
		a.patterns = append(a.patterns, allowedPattern{strings.Split(path, "/"), allow})
	}
	slices.SortFunc(a.patterns, func(a, b allowedPattern) int { return comparePatterns(a.segments, b.segments) })
	return a
}

// comparePatterns puts a literal segment before a parameter, as the router does.
func comparePatterns(a, b []string) int {
	return slices.CompareFunc(a, b, func(a, b string) int {
		switch aParam, bParam := isParam(a), isParam(b); {
		case aParam == bParam:
			return strings.Compare(a, b)
		case aParam:
			return 1
		default:
			return -1
		}
	})
}

func isParam(segment string) bool { return strings.HasPrefix(segment, ":") }

// of is the Allow of a path; "" when nothing is there.
func (a *allowed) of(path string) string {
	if allow := a.literal[path]; allow != "" {
		return allow
	}
	segments := strings.Split(path, "/")
	for _, p := range a.patterns {
		if slices.EqualFunc(p.segments, segments, func(want, have string) bool { return want == have || isParam(want) && have != "" }) {
			return p.allow
		}
	}
	return ""
}

// errMethod is 405; answerError adds what is allowed.
var errMethod = fault.New(fault.Method, "this path does not know the method; see Allow")

// unrouted answers the methods that no route takes: OPTIONS is the same for every path, and TRACE and CONNECT are refused
// before a router could take them for anything.
func (s *Server) unrouted(c echo.Context) error {
	r := c.Request()
	path := echo.GetPath(r) // as the router sees it
	allow := s.allow.of(path)
	switch {
	case allow == "" && path != "": // CONNECT host:port has no path
		return fault.New(fault.NotFound, "there is nothing at this path")
	case r.Method != http.MethodOptions:
		return errMethod
	}
	c.Response().Header().Set("Allow", allow)
	c.Response().WriteHeader(http.StatusNoContent)
	return nil
}
