package httpapi

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"auditlog/internal/fault"
)

func init() { huma.DefaultArrayNullable = false } // no list of ours is ever null; huma has this setting for the process alone

// commonFaults are what any route can answer with.
var commonFaults = []fault.Kind{
	fault.Malformed, fault.Unauthenticated, fault.Forbidden, fault.TenantMismatch, fault.NotAcceptable, fault.UnknownParameter, fault.QueryTooCostly,
	fault.HeadersTooLarge, fault.Unavailable, fault.Internal,
}

// What routes can answer with besides, by what they have.
var (
	tenantFaults = []fault.Kind{fault.TenantRequired, fault.BadID, fault.TenantInactive, fault.NotFound} // the last: no such tenant, to a platform admin
	paramFaults  = []fault.Kind{fault.Invalid, fault.BadUTF8}
	bodyFaults   = []fault.Kind{
		fault.Timeout, fault.TooLarge, fault.MediaType, fault.DuplicateKey, fault.BadUTF8, fault.Invalid, fault.UnknownField, fault.TooDeep, fault.NumberRange,
	}
)

// describe makes the OpenAPI 3.1 document of the table. It panics on a defect of the table, which every test would meet.
func describe(table []route, version string) []byte {
	types := huma.NewMapRegistry("#/components/schemas/", schemaName)
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{Title: "auditlog", Version: version, Description: "A multi-tenant audit log. Times are RFC 3339 in UTC with six digits; errors are problem " +
			"documents (RFC 9457); the tenant comes from the credential. HEAD is answered as GET without the body, but for exports, streams and replays. OPTIONS " +
			"lists a path's methods. An answer's type never depends on Accept, streams apart; but when the most specific ranges in it that cover a route's types " +
			"(RFC 9110, section 12.5.1) all have q=0, or none covers any, the answer is 406."},
		Servers: []*huma.Server{{URL: "/", Description: "this server"}},
		Tags: []*huma.Tag{{Name: "Write", Description: "Record and amend."}, {Name: "Read", Description: "Search, count, export, watch, replay."},
			{Name: "Manage", Description: "Erase and clean up."}, {Name: "Tenants", Description: "Create and list."}},
		Paths: map[string]*huma.PathItem{},
		Components: &huma.Components{Schemas: types, SecuritySchemes: map[string]*huma.SecurityScheme{
			"bearer": {Type: "http", Scheme: "bearer", BearerFormat: "JWT"},
			"ticket": {Type: "apiKey", In: "query", Name: "ticket"},
		}},
		Security: []map[string][]string{{"bearer": {}}},
	}
	for i := range table {
		if !table[i].hidden {
			put(doc.Paths, &table[i], operation(&table[i], types))
		}
	}
	types.Map()["NewEntry"].Properties["severity"].Pattern = anyCase(severityNames)
	b, err := json.Marshal(doc)
	if err != nil {
		panic("httpapi: " + err.Error())
	}
	return b
}

// schemaName is the type's name without our suffix, e.g. Entry for entryView.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	return strings.TrimSuffix(name, "View")
}

func openAPIPath(p string) string { return strings.ReplaceAll(p, ":id", "{id}") }

func put(paths map[string]*huma.PathItem, rt *route, op *huma.Operation) {
	p := openAPIPath(rt.path)
	if paths[p] == nil {
		paths[p] = &huma.PathItem{}
	}
	switch rt.method {
	case http.MethodGet:
		paths[p].Get = op
	case http.MethodPost:
		paths[p].Post = op
	case http.MethodPatch:
		paths[p].Patch = op
	case http.MethodDelete:
		paths[p].Delete = op
	default:
		panic("httpapi: no place for " + rt.method)
	}
}

func operation(rt *route, types huma.Registry) *huma.Operation {
	doc := rt.doc
	if doc != "" {
		doc += " "
	}
	op := &huma.Operation{
		OperationID: rt.name, Summary: rt.title, Tags: []string{rt.tag}, Description: doc + "For: " + strings.Join(rt.who.Names(), ", ") + ".",
		Responses: map[string]*huma.Response{},
	}
	if strings.Contains(rt.path, ":id") {
		op.Parameters = append(op.Parameters, &huma.Param{Name: "id", In: "path", Required: true, Schema: &huma.Schema{Type: "string", Format: "uuid"}})
	}
	for i := range rt.params {
		if rt.live && rt.params[i].name == "ticket" {
			continue // it is a security scheme
		}
		op.Parameters = append(op.Parameters, describeParam(&rt.params[i]))
	}
	headers := rt.headers
	if rt.scope == oneTenant {
		headers = append(slices.Clone(headers), headerDoc{"X-Tenant-ID", "the tenant, for a platform admin; others need not send it"})
	}
	for _, h := range headers {
		op.Parameters = append(op.Parameters, &huma.Param{Name: h.name, In: "header", Description: h.doc, Schema: &huma.Schema{Type: "string"}})
	}
	if rt.live {
		op.Security = []map[string][]string{{"bearer": {}}, {"ticket": {}}}
	}
	if rt.body != nil {
		op.RequestBody = describeBody(rt.body, types)
	}
	for _, a := range rt.answers {
		op.Responses[strconv.Itoa(a.status)] = describeAnswer(a, types)
	}
	describeFaults(op, rt, types)
	return op
}

func describeParam(p *param) *huma.Param {
	out := &huma.Param{Name: p.name, In: "query", Description: p.doc, Required: p.required, Schema: p.schema()}
	switch p.kind {
	case metadataParam:
		// OpenAPI has no parameters whose names are open. In an exploded form object the members' names are the parameters',
		// so they carry the prefix themselves; the object's own name is never sent.
		out.Name, out.Style, out.Explode = metadataPrefix+"{path}", "form", ptr(true)
		out.Example = map[string]string{metadataPrefix + "with": "ben"}
		out.Schema = &huma.Schema{Type: "object", AdditionalProperties: &huma.Schema{Type: "string"},
			Extensions: map[string]any{"propertyNames": map[string]string{"pattern": "^metadata\\..+"}}}
	case listParam:
		out.Style, out.Explode = "form", ptr(false)
	}
	out.Schema.Default = p.def
	return out
}

func ptr[T any](v T) *T { return &v }

func (p *param) schema() *huma.Schema {
	enum := make([]any, 0, len(p.enum))
	for _, e := range p.enum {
		enum = append(enum, e)
	}
	switch p.kind {
	case listParam:
		one := &huma.Schema{Type: "string", Enum: enum}
		if p.fold {
			one = &huma.Schema{Type: "string", Pattern: anyCase(p.enum), Examples: enum}
		}
		return &huma.Schema{Type: "array", Items: one}
	case enumParam:
		return &huma.Schema{Type: "string", Enum: enum}
	case intParam:
		s := &huma.Schema{Type: "integer", Format: "int64", Minimum: ptr(float64(p.min))}
		if p.max < 1<<53 {
			s.Maximum = ptr(float64(p.max))
		}
		return s
	case boolParam:
		return &huma.Schema{Type: "boolean"}
	case timeParam:
		return &huma.Schema{Type: "string", Format: "date-time"}
	case durationParam:
		return &huma.Schema{Type: "string", Examples: []any{"500ms"}}
	default:
		return &huma.Schema{Type: "string", MinLength: ptr(1), MaxLength: ptr(p.limit())}
	}
}

// anyCase is a pattern for words in any case: an enum would have validating clients refuse what is accepted here.
func anyCase(words []string) string {
	var b strings.Builder
	for i, word := range words {
		b.WriteString([]string{"^(", "|"}[min(i, 1)])
		for _, c := range word {
			b.WriteString("[" + string(c) + strings.ToLower(string(c)) + "]")
		}
	}
	return b.String() + ")$"
}

func describeBody(b *body, types huma.Registry) *huma.RequestBody {
	out := &huma.RequestBody{Description: b.doc, Required: true, Content: map[string]*huma.MediaType{}}
	for _, t := range b.types {
		if t == ndjsonType {
			out.Content[t] = &huma.MediaType{Schema: &huma.Schema{Type: "string"}}
			continue
		}
		out.Content[t] = &huma.MediaType{Schema: types.Schema(b.schema, true, "")}
	}
	return out
}

func describeAnswer(a answer, types huma.Registry) *huma.Response {
	out := &huma.Response{Description: a.doc, Content: map[string]*huma.MediaType{}}
	if a.schema != nil {
		form := types.Schema(a.schema, true, "")
		if len(a.or) > 0 {
			form = &huma.Schema{OneOf: []*huma.Schema{form}}
			for _, other := range a.or {
				form.OneOf = append(form.OneOf, types.Schema(other, true, ""))
			}
		}
		out.Content["application/json"] = &huma.MediaType{Schema: form}
	} else {
		for _, t := range a.types {
			out.Content[t] = &huma.MediaType{Schema: &huma.Schema{Type: "string"}}
		}
	}
	for _, h := range a.headers {
		if out.Headers == nil {
			out.Headers = map[string]*huma.Param{}
		}
		out.Headers[h.name] = &huma.Header{Description: h.doc, Schema: &huma.Schema{Type: "string"}}
	}
	return out
}

var retryHeader = headerDoc{"Retry-After", "seconds after which a retry may succeed"}

// faultHeaders are what refusals of a status carry.
var faultHeaders = map[int][]headerDoc{
	http.StatusTooManyRequests: {
		retryHeader,
		{"RateLimit-Policy", "the quota that is used up, e.g. \"tenant-requests\";q=2000;w=2: so many within so many seconds"},
		{"RateLimit", "what is left of it, and the seconds until more is: \"tenant-requests\";r=0;t=1"},
		{"RateLimit-Limit", "the quota, for clients of older drafts of the same"}, {"RateLimit-Remaining", "what is left of it"},
		{"RateLimit-Reset", "seconds until more is left"},
	},
	http.StatusServiceUnavailable: {retryHeader},
}

// describeFaults lists the problems by status, with their slugs.
func describeFaults(op *huma.Operation, rt *route, types huma.Registry) {
	kinds := append(slices.Clone(commonFaults), rt.faults...)
	if rt.scope == oneTenant {
		kinds = append(kinds, tenantFaults...)
	}
	if len(rt.params) > 0 {
		kinds = append(kinds, paramFaults...)
	}
	if rt.body != nil {
		kinds = append(kinds, bodyFaults...)
	}
	if rt.load != noLoad {
		kinds = append(kinds, fault.RateLimited, fault.Overloaded)
	}
	slices.Sort(kinds)
	for _, kind := range slices.Compact(kinds) {
		status := strconv.Itoa(kindProblems[kind].status)
		if known := op.Responses[status]; known != nil {
			known.Description += ", " + kind.String()
			continue
		}
		op.Responses[status] = describeAnswer(answer{doc: kind.String(), headers: faultHeaders[kindProblems[kind].status]}, types)
		op.Responses[status].Content["application/problem+json"] = &huma.MediaType{Schema: types.Schema(typeOf[problem](), true, "")}
	}
}
