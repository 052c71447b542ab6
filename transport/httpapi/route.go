package httpapi

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/fault"
	"auditlog/internal/limit"
	"auditlog/transport/httpapi/auth"
)

// scope says which tenant a route works on.
type scope uint8

const (
	oneTenant scope = iota // the credential's, or the one that a platform admin names
	ownOrAll               // the credential's; all for a platform admin
	noTenant               // none
)

// route is one row of the table of what exists.
type route struct {
	method string
	path   string // Echo's form: /logs/:id
	name   string // operationId
	tag    string
	title  string
	doc    string

	load        load      // what a request counts as
	who         auth.Role // any of them may
	exportRight bool      // a reader also needs the right "export"
	live        bool      // a stream: a one-time ticket stands for the credential, and the protocol chooses the form
	scope       scope

	params  []param
	headers []headerDoc
	body    *body
	answers []answer
	faults  []fault.Kind // beside those that every route can give

	timeout time.Duration // 0: Config.HandlerTimeout; negative: none, the handler bounds its own steps
	hidden  bool          // not in the OpenAPI document
	handle  func(s *Server, w http.ResponseWriter, r *request) error
}

// body is what a route reads.
type body struct {
	types    []string // media types
	limit    int      // bytes, compressed or not
	bulk     bool     // has Config.BulkTimeout to arrive
	optional bool     // an empty body reaches the handler
	schema   reflect.Type
	doc      string
}

// answer is one way in which a route succeeds.
type answer struct {
	status  int
	doc     string
	types   []string       // media types; nil: application/json
	schema  reflect.Type   // nil: not JSON
	or      []reflect.Type // other forms of the same answer
	headers []headerDoc
}

// headerDoc is a header of a request or an answer, for the document.
type headerDoc struct{ name, doc string }

// request is a request whose route's checks have all passed.
type request struct {
	*http.Request
	id     string // of the request, as in X-Request-ID
	given  string // the request id, if the client gave one
	who    *auth.Principal
	tenant eventstore.TenantID // zero for noTenant, and for ownOrAll of a platform admin
	args   args
	entry  eventstore.EventID // of the path; zero when the path has none
	route  *route

	place, download *limit.Pool // where it has a place; nil: nowhere
	held            int64       // bytes of the pool of bodies

	ctx  context.Context // of the work on it; see startClock
	stop context.CancelFunc
}

// Context ends with the client, and with the time that the route has once its request was read.
func (r *request) Context() context.Context { return r.ctx }

// hasHead tells whether HEAD answers as GET does, without the body: everywhere but where the body is the whole point, and
// its length and end are not known before it is made.
func (rt *route) hasHead() bool { return rt.method == http.MethodGet && rt.timeout != unbounded }

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }
