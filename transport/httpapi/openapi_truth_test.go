package httpapi_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"auditlog/transport/httpapi"
)

// schemaDoc is as much of a schema as the tests below look at.
type schemaDoc struct {
	Ref           string `json:"$ref"`
	Pattern       string
	Enum          []string
	Items         *schemaDoc
	OneOf         []schemaDoc
	Properties    map[string]schemaDoc
	PropertyNames struct{ Pattern string }
}

type operationDoc struct {
	OperationID string
	Parameters  []struct {
		Name, In, Style, Description string
		Explode                      bool
		Example                      map[string]string
		Schema                       schemaDoc
	}
	Responses map[string]struct {
		Description string
		Content     map[string]struct{ Schema schemaDoc }
		Headers     map[string]struct{ Description string }
	}
}

type openAPIDoc struct {
	Info       struct{ Description string }
	Paths      map[string]map[string]operationDoc
	Components struct{ Schemas map[string]schemaDoc }
}

func readOpenAPI(t *testing.T) (doc openAPIDoc) {
	t.Helper()
	if err := json.Unmarshal(httpapi.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestCreatedIsDocumentedInEveryForm compares the answers to a retry, after an erasure too, with what the document lists.
func TestCreatedIsDocumentedInEveryForm(t *testing.T) {
	var forms []string
	for _, form := range readOpenAPI(t).Paths["/api/v1/logs"]["post"].Responses["201"].Content["application/json"].Schema.OneOf {
		forms = append(forms, strings.TrimPrefix(form.Ref, "#/components/schemas/"))
	}
	if !slices.Equal(forms, []string{"Entry", "ErasedEntry", "PurgedEntry"}) {
		t.Errorf("201 of POST: %v", forms)
	}
	w := newWorld(t, httpapi.Config{})
	record := func() string {
		return w.do(call{method: "POST", path: "/api/v1/logs", token: w.token("writer"), body: goodEntry, header: http.Header{"Idempotency-Key": {"k"}}}).body
	}
	id := object(t, record())["id"].(string)
	w.do(call{method: "DELETE", path: "/api/v1/logs/" + id, token: w.token("tenant_admin"), body: `{"reason":"r"}`})
	form(t, "replay after erasure", record(), &httpapi.ErasedEntryView{})
	form(t, "replay after purge", string(httpapi.PurgedReceipt()), &httpapi.PurgedEntryView{})
}

// TestTenantProblemsAreDocumented sends what only the credential's tenant can be wrong with.
func TestTenantProblemsAreDocumented(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	doc := readOpenAPI(t)
	for _, rt := range httpapi.Routes() {
		if rt.NoTenant || rt.Who.Names()[0] != "admin" {
			continue
		}
		path := strings.ReplaceAll(rt.Path, ":id", w.a.ID.String())
		got := w.do(call{method: rt.Method, path: path, token: w.tokenOf("", "admin"), header: http.Header{"X-Tenant-Id": {"018f0000-0000-7000-8000-00000000000a"}}})
		listed := doc.Paths[strings.ReplaceAll(rt.Path, ":id", "{id}")][strings.ToLower(rt.Method)].Responses["404"].Description
		if got.status != 404 || !strings.Contains(listed, "not-found") {
			t.Errorf("%s of an unknown tenant: %d, documented %q", rt.Name, got.status, listed)
		}
	}
}

// TestMetadataParameterSendsItsOwnName makes a query string from the document, as a client generator does for an exploded
// form object: its members' names are the parameters' names.
func TestMetadataParameterSendsItsOwnName(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	w.post(goodEntry)
	for _, p := range readOpenAPI(t).Paths["/api/v1/logs"]["get"].Parameters {
		if !strings.HasPrefix(p.Name, "metadata") {
			continue
		}
		names := regexp.MustCompile(p.Schema.PropertyNames.Pattern)
		if p.Name != "metadata.{path}" || p.Style != "form" || !p.Explode || names.MatchString("with") || !names.MatchString("metadata.with") || len(p.Example) == 0 {
			t.Fatalf("described as %+v", p)
		}
		for name := range p.Example {
			if got := w.do(get("/api/v1/logs?min_position=2&wait=8s&"+name+"=ben", w.token("reader"))); got.status != 200 || !names.MatchString(name) {
				t.Errorf("the example %s: %d %s", name, got.status, got.body)
			}
		}
		return
	}
	t.Error("metadata filters are not documented")
}

// TestSeverityIsDocumentedInAnyCase holds the patterns to what is accepted.
func TestSeverityIsDocumentedInAnyCase(t *testing.T) {
	w := newWorld(t, httpapi.Config{})
	doc := readOpenAPI(t)
	body := doc.Components.Schemas["NewEntry"].Properties["severity"]
	var filter schemaDoc
	for _, p := range doc.Paths["/api/v1/logs"]["get"].Parameters {
		if p.Name == "severity" {
			filter = *p.Schema.Items
		}
	}
	for name, schema := range map[string]schemaDoc{"body": body, "filter": filter} {
		if schema.Pattern == "" || len(schema.Enum) > 0 {
			t.Fatalf("%s: %+v", name, schema)
		}
	}
	for value, good := range map[string]bool{"INFO": true, "info": true, "Warning": true, "eRRor": true, "CRITICAL": true, "loud": false, "INFOX": false, "": false} {
		posted := w.do(call{method: "POST", path: "/api/v1/logs", token: w.token("writer"), body: strings.Replace(goodEntry, "{", `{"severity":"`+value+`",`, 1)})
		listed := w.do(get("/api/v1/logs?severity="+value, w.token("reader")))
		if (posted.status == 201) != good || (listed.status == 200) != good ||
			regexp.MustCompile(body.Pattern).MatchString(value) != good || regexp.MustCompile(filter.Pattern).MatchString(value) != good {
			t.Errorf("%q: %d, %d", value, posted.status, listed.status)
		}
	}
}

// TestOnlyProblemsThatCanHappenAreDocumented holds a kind of problem to the routes that have a reason to give it.
func TestOnlyProblemsThatCanHappenAreDocumented(t *testing.T) {
	for _, path := range readOpenAPI(t).Paths {
		for _, op := range path {
			if conflict := op.Responses["409"].Description; strings.Contains(conflict, "legal-hold") {
				t.Errorf("%s: 409 %s", op.OperationID, conflict)
			}
		}
	}
}
