package opensearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"auditlog/eventstore"
)

// rules is raised whenever documents of the same event would differ from those before: tokens, terms or fields.
const rules = 1

// mapping is strict: a field that is not here is refused, never guessed. Words and terms are only searched, numbers are
// also sorted by; the source is not kept, since answers are read from the event store.
const mapping = `{
  "_meta": {"rules": %d},
  "dynamic": "strict",
  "_source": {"enabled": false},
  "_routing": {"required": true},
  "properties": {
    "tenant":      {"type": "keyword"},
    "kind":        {"type": "keyword"},
    "position":    {"type": "long"},
    "version":     {"type": "long", "index": false},
    "shard":       {"type": "integer"},
    "offset":      {"type": "long"},
    "occurred_at": {"type": "long"},
    "recorded_at": {"type": "long"},
    "terms":       {"type": "keyword", "doc_values": false},
    "words":       {"type": "text", "analyzer": "whitespace", "norms": false, "index_options": "docs"},
    "digest":      {"type": "integer", "index": false}
  }
}`

// template is the body of the index template. Refreshes are asked for, so that their marks are known; expunging must
// leave no deleted document behind.
func (x *Index) template() []byte {
	return fmt.Appendf(nil, `{"index_patterns":[%q],"priority":500,"template":{"settings":{"index":{"number_of_shards":%d,"number_of_replicas":%d,
		"refresh_interval":"-1","soft_deletes.retention.operations":0,"merge.policy.expunge_deletes_allowed":0}},"mappings":`+mapping+`}}`,
		x.cfg.Prefix+"-g*", x.cfg.Shards, x.cfg.Replicas, rules)
}

// pattern matches the indices of a generation.
func (x *Index) pattern(gen int) string { return fmt.Sprintf("%s-g%d-*", x.cfg.Prefix, gen) }

// indexName is where a document of a group lies.
func (x *Index) indexName(gen int, group string, recorded eventstore.Micros) string {
	return fmt.Sprintf("%s-g%d-%s-%s", x.cfg.Prefix, gen, group, recorded.Time().Format("2006.01"))
}

func (p Placement) group(tenant eventstore.TenantID) (string, error) {
	switch {
	case p.Own:
		return "t" + tenant.String(), nil
	case p.Class == "":
		return "all", nil
	case !soundClass.MatchString(p.Class):
		return "", fmt.Errorf("retention class %q: must be 1 to 20 lower-case letters and digits", p.Class)
	}
	return p.Class, nil
}

// group is where a generation holds a tenant's documents.
func (x *Index) group(ctx context.Context, gen int, tenant eventstore.TenantID) (string, error) {
	key := placeKey{gen, tenant}
	x.mu.Lock()
	group, ok := x.places[key]
	x.mu.Unlock()
	if ok {
		return group, nil
	}
	p, err := x.cfg.Place(ctx, tenant)
	if err != nil {
		return "", fmt.Errorf("place tenant %s: %w", tenant, err)
	}
	if group, err = p.group(tenant); err != nil {
		return "", fmt.Errorf("place tenant %s: %w", tenant, err)
	}
	if group, err = x.cfg.State.Place(ctx, gen, tenant, group); err != nil {
		return "", err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.places[key] = group
	return group, nil
}

// ensure makes an index that is not known to be there. Only those of the live generation are put into the alias.
func (x *Index) ensure(ctx context.Context, gen int, live bool, name string) error {
	x.mu.Lock()
	known := x.known[name]
	x.mu.Unlock()
	if known {
		return nil
	}
	body := []byte(`{}`)
	if live {
		body = fmt.Appendf(nil, `{"aliases":{%q:{}}}`, x.cfg.Prefix)
	}
	err := x.server.do(ctx, http.MethodPut, "/"+name, body, nil)
	if err != nil && !isRefused(err, "resource_already_exists_exception") {
		return fmt.Errorf("make index %s: %w", name, err)
	}
	if live { // replaced while it was made: it must not linger in the alias. No document is in it yet.
		now, err := x.cfg.State.Live(ctx)
		if err != nil {
			return err
		}
		if now.N != gen {
			return errors.Join(ErrClosed, x.drop(ctx, name))
		}
	}
	if err := x.cfg.State.AddIndex(ctx, gen, name); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.known[name] = true
	return nil
}

// drop deletes indices.
func (x *Index) drop(ctx context.Context, names ...string) error {
	for chunk := range slices.Chunk(names, 20) { // names go into the path
		err := x.server.do(ctx, http.MethodDelete, "/"+strings.Join(chunk, ",")+"?ignore_unavailable=true", nil, nil)
		if err != nil && !isRefused(err, "index_not_found_exception") {
			return fmt.Errorf("drop indices: %w", err)
		}
	}
	return nil
}

// present are the server's indices of any generation, with the rules by which each was made.
func (x *Index) present(ctx context.Context) (map[string]int, error) {
	var answer map[string]struct {
		Mappings struct {
			Meta struct {
				Rules int `json:"rules"`
			} `json:"_meta"`
		} `json:"mappings"`
	}
	err := x.server.do(ctx, http.MethodGet, "/"+x.cfg.Prefix+"-g*/_mapping?allow_no_indices=true", nil, &answer)
	if err != nil && !isRefused(err, "index_not_found_exception") {
		return nil, fmt.Errorf("list indices: %w", err)
	}
	out := map[string]int{}
	for name, m := range answer {
		out[name] = m.Mappings.Meta.Rules
	}
	return out, nil
}

var generationOf = regexp.MustCompile(`^[a-z0-9]+-g([0-9]+)-`)

// generation is the number in an index's name; 0 for none.
func generation(name string) int {
	m := generationOf.FindStringSubmatch(name)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0
	}
	return n
}

// aliased is the generation whose indices the alias holds; 0 when there is no alias.
func (x *Index) aliased(ctx context.Context) (gen int, err error) {
	var answer map[string]json.RawMessage
	err = x.server.do(ctx, http.MethodGet, "/_alias/"+x.cfg.Prefix, nil, &answer)
	var r *refused
	if errors.As(err, &r) && r.Status == http.StatusNotFound {
		return 0, nil
	}
	for name := range answer {
		gen = max(gen, generation(name))
	}
	return gen, err
}
