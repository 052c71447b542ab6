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

// template is the body of the index template. Documents lie newest first, so that a page ends where it is full: in order of
// arrival each document beats those before it, and all of a tenant's would be looked at. Refreshes are asked for, so that their marks are known, and do not wait
// for merges of small segments, which each tenth would for most of a second. Expunging must leave no deleted document behind.
func (x *Index) template() []byte {
	return fmt.Appendf(nil, `{"index_patterns":[%q],"priority":500,"template":{"settings":{"index":{"number_of_shards":%d,"number_of_replicas":%d,
		"refresh_interval":"-1","sort.field":["position"],"sort.order":["desc"],"soft_deletes.retention.operations":0,"merge_on_flush.enabled":false,"merge.policy.expunge_deletes_allowed":0}},"mappings":`+mapping+`}}`,
		x.cfg.Prefix+"-g*", x.cfg.Shards, x.cfg.Replicas, rules)
}

// pattern matches the indices of a generation.
func (x *Index) pattern(gen int) string { return fmt.Sprintf("%s-g%d-*", x.cfg.Prefix, gen) }

// place is which documents an index holds.
type place struct {
	group string
	month string // "2006.01", of recorded_at
}

func monthOf(recorded eventstore.Micros) string { return recorded.Time().Format("2006.01") }

// indexName is the nth index of a place: the one before it was dropped.
func (x *Index) indexName(gen int, at place, n int) string {
	name := fmt.Sprintf("%s-g%d-%s-%s", x.cfg.Prefix, gen, at.group, at.month)
	if n > 1 {
		name += "-" + strconv.Itoa(n)
	}
	return name
}

// writeAlias is what writers call an index. They insist on an alias, so that a server that makes indices by itself never
// makes one that was dropped or lost.
func writeAlias(name string) string { return name + "-w" }

var indexNames = regexp.MustCompile(`^([a-z0-9]+)-g[0-9]+-([a-z0-9-]+)-([0-9]{4}\.[0-9]{2})(-[0-9]+)?$`)

// parse tells the place of an index of this prefix.
func (x *Index) parse(name string) (at place, ok bool) {
	m := indexNames.FindStringSubmatch(name)
	if m == nil || m[1] != x.cfg.Prefix {
		return at, false
	}
	return place{m[2], m[3]}, true
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

// ensure gives the index of a place, and makes it when it is not known to be there. Only those of the live generation are
// put into the alias that readers ask. Each has an alias of its own that writers use.
func (x *Index) ensure(ctx context.Context, gen int, live bool, at place) (string, error) {
	key := knownKey{gen, at}
	x.mu.Lock()
	name, ok := x.known[key]
	x.mu.Unlock()
	if ok {
		return name, nil
	}
	removals, err := x.cfg.State.Removals(ctx, gen, nil)
	if err != nil {
		return "", err
	}
	for n := 1; name == "" || removals.Dropped[name]; n++ {
		name = x.indexName(gen, at, n)
	}
	aliases := clause{writeAlias(name): clause{}}
	if live {
		aliases[x.cfg.Prefix] = clause{}
	}
	err = x.server.do(ctx, http.MethodPut, "/"+name, mustJSON(clause{"aliases": aliases}), nil)
	if err != nil && !isRefused(err, "resource_already_exists_exception") {
		return "", fmt.Errorf("make index %s: %w", name, err)
	}
	if live { // replaced while it was made: it must not linger in the alias. No document is in it yet.
		now, err := x.cfg.State.Live(ctx)
		if err != nil {
			return "", err
		}
		if now.N != gen {
			return "", errors.Join(ErrClosed, x.drop(ctx, name))
		}
	}
	err = x.cfg.State.AddIndex(ctx, gen, name)
	if errors.Is(err, ErrClosed) { // dropped while it was made again
		return "", errors.Join(err, x.drop(ctx, name))
	}
	if err != nil {
		return "", err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.known[key] = name
	return name, nil
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
