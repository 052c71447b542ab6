package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/search"
	"auditlog/projection/search/opensearch"
	"auditlog/query"
)

// index is the search projection with its reader's side.
type index interface {
	projection.Projector
	query.Index
	io.Closer
	dump(ctx context.Context, w io.Writer) error
	// remake makes a new generation beside the live one, compares and swaps.
	remake(ctx context.Context, step func(done, head eventstore.Offset)) (Progress, error)
	// ping tells whether what the index lies in answers; errNoPing: it is part of the process.
	ping(ctx context.Context) error
}

// openSearch opens the index that the configuration names.
func (p *parts) openSearch(ctx context.Context, cfg Config, log *slog.Logger) error {
	if !cfg.Parts.embeddedSearch() {
		return p.openCluster(ctx, cfg, log)
	}
	x, err := search.Open(ctx, search.Config{Dir: p.dir.path, Store: p.store, Opener: p.opener(), Log: log})
	p.search = embeddedIndex{x}
	return p.opened(x, named(setDataDir, err))
}

// embeddedIndex is the index in the data dir.
type embeddedIndex struct{ *search.Index }

func (x embeddedIndex) dump(ctx context.Context, w io.Writer) error { return x.Dump(ctx, w) }

func (x embeddedIndex) remake(ctx context.Context, step func(done, head eventstore.Offset)) (Progress, error) {
	r, err := x.Rebuild(ctx, func(_ eventstore.Shard, done, head eventstore.Offset) { step(done, head) })
	return Progress{
		Equal: len(r.Differences) == 0, Detail: fmt.Sprintf("%d documents, %d differ from the old ones", r.Documents, len(r.Differences)),
	}, err
}

func (x embeddedIndex) ping(ctx context.Context) error {
	_, err := x.Visible(ctx, 0)
	return err
}

// openCluster opens the index on OpenSearch. The cluster need not answer yet.
func (p *parts) openCluster(ctx context.Context, cfg Config, log *slog.Logger) error {
	c := cfg.Parts.Search
	o := opensearch.Config{
		Prefix: c.Prefix, Username: c.Username, Password: opensearch.Secret(c.Password), CAFile: c.CAFile, Replicas: c.Replicas, Refresh: c.Refresh,
		ReadOnly: cfg.Duty == APIOnly, Store: p.store, Opener: p.opener(), Log: log,
		Place: func(_ context.Context, tenant eventstore.TenantID) (opensearch.Placement, error) {
			return opensearch.Placement{Own: slices.Contains(c.Own, tenant.String())}, nil
		},
	}
	for _, node := range strings.Split(c.Address, ",") {
		o.Addresses = append(o.Addresses, strings.TrimSpace(node))
	}
	var err error
	if c.SigV4 != "" {
		if o.AWS, err = opensearch.LoadSigV4(ctx, c.SigV4); err != nil {
			return named(setSearch, err)
		}
	}
	if o.State, err = p.openSearchState(ctx, cfg.Parts); err != nil {
		return err
	}
	x, err := opensearch.Open(o)
	p.search = clusterIndex{x}
	return p.opened(x, named(setSearch, err))
}

// clusterIndex is the index on OpenSearch.
type clusterIndex struct{ *opensearch.Index }

// errNoDump: the documents of a cluster are compared by its own rebuild, and read through queries.
var errNoDump = errors.New("an index on OpenSearch is not dumped")

func (x clusterIndex) dump(context.Context, io.Writer) error { return errNoDump }

func (x clusterIndex) remake(ctx context.Context, step func(done, head eventstore.Offset)) (Progress, error) {
	r, err := x.Rebuild(ctx, func(_ eventstore.Shard, done, head eventstore.Offset) { step(done, head) })
	return Progress{
		Equal:  len(r.Differences) == 0,
		Detail: fmt.Sprintf("%d documents, %d buckets differ from the old ones, %d events cannot be indexed", r.Documents, len(r.Differences), len(r.Skipped)),
	}, err
}

func (x clusterIndex) ping(ctx context.Context) error { return x.Ping(ctx) }
