package opensearch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"auditlog/eventstore"
	"auditlog/internal/mutant"
	"auditlog/projection"
)

// Index implements projection.Projector, projection.Reapplier and query.Index. It is safe for concurrent use.
type Index struct {
	cfg    Config
	server *server
	bulk   *bulker

	swapping sync.RWMutex // read-held while an envelope is applied, held while generations swap
	rebuild  sync.Mutex   // held by whoever makes a generation

	scrubbing sync.Mutex                   // guards removals
	removals  map[removal]map[string]int64 // by shard, an operation that is newer than the removal

	mu      sync.Mutex // guards the fields below
	ready   int        // generation whose indices were checked
	places  map[placeKey]string
	known   map[knownKey]string // indices that are there
	noted   int                 // indices of the live generation that State knows of
	changed chan struct{}       // closed and replaced when Visible moves
	asked   time.Time           // when Changed was last called

	dirty chan struct{} // holds one: something was applied since the last refresh
	stop  context.CancelFunc
	ended sync.WaitGroup
}

type placeKey struct {
	gen    int
	tenant eventstore.TenantID
}

type knownKey struct {
	gen int
	place
}

// Open makes an index over a server, which need not answer yet. Close ends it.
func Open(cfg Config) (*Index, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("search on opensearch: %w", err)
	}
	client, err := cfg.client()
	if err != nil {
		return nil, fmt.Errorf("search on opensearch: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &server{client, cfg.Requests.Timeout}
	x := &Index{
		cfg: cfg, server: s, bulk: &bulker{server: s, limits: cfg.Requests},
		places: map[placeKey]string{}, known: map[knownKey]string{}, removals: map[removal]map[string]int64{}, changed: make(chan struct{}), dirty: make(chan struct{}, 1), stop: stop,
	}
	x.dirty <- struct{}{} // what an earlier process applied may not be refreshed yet
	x.ended.Go(func() { x.watch(ctx) })
	if !cfg.ReadOnly {
		x.ended.Go(func() { x.refreshes(ctx) })
		x.ended.Go(func() { x.tends(ctx) })
	}
	return x, nil
}

// Close ends what runs beside calls. Calls under way fail or end.
func (x *Index) Close() error {
	x.stop()
	x.ended.Wait()
	return x.server.client.Close()
}

// Name is "search".
func (x *Index) Name() string { return "search" }

// Ping tells whether the server answers, for readiness.
func (x *Index) Ping(ctx context.Context) error {
	return x.server.do(ctx, http.MethodGet, "/_cluster/health?timeout=1s", nil, nil)
}

// Apply indexes what is not yet applied of the envelope. A *projection.Poison tells of an event whose bytes can never be
// read, or of a document that the server refuses for ever; all others of the envelope are indexed then.
func (x *Index) Apply(ctx context.Context, env projection.Envelope) error {
	return x.apply(ctx, env, false)
}

// Reapply implements projection.Reapplier.
func (x *Index) Reapply(ctx context.Context, env projection.Envelope) error {
	return x.apply(ctx, env, true)
}

func (x *Index) apply(ctx context.Context, env projection.Envelope, again bool) error {
	x.swapping.RLock()
	err := x.applyLive(ctx, env, again)
	x.swapping.RUnlock()
	if errors.Is(err, errLost) {
		return errors.Join(err, x.replaceLost(ctx))
	}
	return err
}

func (x *Index) applyLive(ctx context.Context, env projection.Envelope, again bool) error {
	gen, err := x.open(ctx)
	if err != nil {
		return err
	}
	applied, err := x.cfg.State.Ranges(ctx, gen, env.Shard)
	if err != nil {
		return err
	}
	whole := projection.Range{From: env.From, To: env.To}
	if !again && applied.Covers(whole) {
		return nil
	}
	if again {
		applied = nil
	}
	if mutant.On == mutant.RangeBeforeEffect {
		if err := x.cfg.State.Add(ctx, gen, env.Shard, whole); err != nil {
			return err
		}
	}
	if err := x.effect(ctx, gen, true, env, applied); err != nil {
		return err
	}
	if err := x.cfg.State.Add(ctx, gen, env.Shard, whole); err != nil {
		return err
	}
	x.kick()
	return nil
}

// open is the live generation, open for ranges and with the server as it should be.
func (x *Index) open(ctx context.Context) (gen int, err error) {
	live, err := x.cfg.State.Live(ctx)
	if err != nil {
		return 0, err
	}
	if live.ShutUntil > 0 {
		if live, err = x.reconcile(ctx, live); err != nil {
			return 0, err
		}
	}
	x.mu.Lock()
	ready := x.ready == live.N
	x.mu.Unlock()
	if ready {
		return live.N, nil
	}
	if err := x.prepare(ctx, live.N); err != nil {
		return 0, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ready = live.N
	return live.N, nil
}

// prepare puts the template, and checks that the server holds what State says: it may be another server, or one that
// lost its disk.
func (x *Index) prepare(ctx context.Context, gen int) error {
	if err := x.server.do(ctx, http.MethodPut, "/_index_template/"+x.cfg.Prefix, x.template(), nil); err != nil {
		return fmt.Errorf("put index template: %w", err)
	}
	noted, err := x.cfg.State.Indices(ctx, gen)
	if err != nil {
		return err
	}
	there, err := x.present(ctx)
	if err != nil {
		return err
	}
	for _, name := range noted {
		if _, ok := there[name]; !ok {
			return fmt.Errorf("%w: %s", errLost, name)
		}
	}
	var leftovers []string
	removals, err := x.cfg.State.Removals(ctx, gen, nil)
	if err != nil {
		return err
	}
	for name, made := range there {
		switch g := generation(name); {
		case g < gen && strings.HasPrefix(name, x.cfg.Prefix+"-g"), removals.Dropped[name]:
			leftovers = append(leftovers, name)
		case g == gen && made != rules:
			return fmt.Errorf("index %s was made by rules %d, not %d: rebuild the search projection", name, made, rules)
		}
	}
	return x.drop(ctx, leftovers...)
}

// effect writes what the envelope changes and waits for the server's acknowledgement of all of it.
func (x *Index) effect(ctx context.Context, gen int, live bool, env projection.Envelope, applied projection.Ranges) error {
	eff, err := x.gather(ctx, env, applied)
	if err != nil {
		return err
	}
	if err := x.purge(ctx, gen, live, eff.purged); err != nil {
		return err
	}
	names, err := x.names(ctx, gen, live, eff.documents)
	if err != nil {
		return err
	}
	items := make([]item, len(eff.documents))
	for i := range eff.documents {
		items[i] = indexItem(names[i], &eff.documents[i])
	}
	err = x.write(ctx, items)
	var poison *projection.Poison
	if err != nil && !errors.As(err, &poison) {
		return err
	}
	return errors.Join(err, x.settle(ctx, gen, eff.documents, names))
}

// names are the indices of documents, each made where it was missing.
func (x *Index) names(ctx context.Context, gen int, live bool, documents []document) ([]string, error) {
	names := make([]string, len(documents))
	for i := range documents {
		d := &documents[i]
		group, err := x.group(ctx, gen, d.tenant)
		if err != nil {
			return nil, err
		}
		if names[i], err = x.ensure(ctx, gen, live, place{group, monthOf(d.recordedAt)}); err != nil {
			return nil, err
		}
		if d.erased {
			if err := x.cfg.State.Scrub(ctx, gen, names[i]); err != nil {
				return nil, err
			}
		}
	}
	return names, nil
}

func poisonOf(failures []failure) error {
	if len(failures) == 0 {
		return nil
	}
	return &projection.Poison{Err: fmt.Errorf("opensearch refuses %d documents for ever, first: %s: %s", len(failures), failures[0].Type, failures[0].String())}
}

// Progress is the set of applied ranges of a shard.
func (x *Index) Progress(ctx context.Context, shard eventstore.Shard) (projection.Ranges, error) {
	live, err := x.cfg.State.Live(ctx)
	if err != nil {
		return nil, err
	}
	return x.cfg.State.Ranges(ctx, live.N, shard)
}

// Visible is the offset up to which every event of the shard can be found.
func (x *Index) Visible(ctx context.Context, shard eventstore.Shard) (eventstore.Offset, error) {
	marks, err := x.marks(ctx)
	return marks[shard], err
}

func (x *Index) marks(ctx context.Context) (map[eventstore.Shard]eventstore.Offset, error) {
	live, err := x.cfg.State.Live(ctx)
	if err != nil {
		return nil, err
	}
	return x.cfg.State.Visible(ctx, live.N)
}

// Changed is closed at the next move of Visible.
func (x *Index) Changed() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.asked = time.Now()
	return x.changed
}

func (x *Index) wake() {
	x.mu.Lock()
	defer x.mu.Unlock()
	close(x.changed)
	x.changed = make(chan struct{})
}
