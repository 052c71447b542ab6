package bus

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"auditlog/projection"
)

// RouterOptions of NewRouter. Zero values take the defaults.
type RouterOptions struct {
	Timeout  time.Duration // of one try of one message; default 30 s
	Retries  int           // tries after the first before the message goes back to the bus; default 6
	Backoff  time.Duration // before the first retry, doubled up to 2 s; default 50 ms
	Closing  time.Duration // how long Close waits for messages in work; default 10 s
	OnPoison func(ctx context.Context, destination, reason string, payload []byte)
	OnDone   func(destination string, took time.Duration, err error) // after each delivery with its retries
	Log      *slog.Logger

	Outermost message.HandlerMiddleware // a bus's own, around all others; nil: none
}

func (o RouterOptions) withDefaults() RouterOptions {
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Retries <= 0 {
		o.Retries = 6
	}
	if o.Backoff <= 0 {
		o.Backoff = 50 * time.Millisecond
	}
	if o.Closing <= 0 {
		o.Closing = 10 * time.Second
	}
	if o.OnPoison == nil {
		o.OnPoison = func(context.Context, string, string, []byte) {}
	}
	if o.OnDone == nil {
		o.OnDone = func(string, time.Duration, error) {}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// Logger carries watermill's log into slog, its chatter at debug level.
func Logger(log *slog.Logger) watermill.LoggerAdapter {
	return watermill.NewSlogLoggerWithLevelMapping(log, map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug})
}

// NewRouter makes the watermill router that every bus uses: Recoverer → metrics → correlation → poison queue → short
// retry → timeout. Only what can never succeed goes to the poison queue; anything else goes back to the bus.
func NewRouter(o RouterOptions) (*message.Router, error) {
	o = o.withDefaults()
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: o.Closing}, Logger(o.Log))
	if err != nil {
		return nil, err
	}
	poison, err := middleware.PoisonQueueWithFilter(poisonQueue{o}, "poison", isPoison)
	if err != nil {
		return nil, err
	}
	if o.Outermost != nil {
		router.AddMiddleware(o.Outermost)
	}
	router.AddMiddleware(
		middleware.Recoverer,
		measure(o.OnDone),
		middleware.CorrelationID,
		poison,
		middleware.Retry{
			MaxRetries: o.Retries, InitialInterval: o.Backoff, MaxInterval: 2 * time.Second, Multiplier: 2, RandomizationFactor: 0.2,
			ResetContextOnRetry: true, // the timeout below ended the one of the try before
			ShouldRetry:         func(p middleware.RetryParams) bool { return !isPoison(p.Err) },
		}.Middleware,
		middleware.Timeout(o.Timeout),
	)
	return router, nil
}

// LaneName names the handler and the topic of one of several lanes of a destination, whose own name holds no "#".
func LaneName(destination string, lane int) string {
	return destination + "#" + strconv.Itoa(lane)
}

// destination is what a handler's name says it takes messages for.
func destination(handler string) string {
	name, _, _ := strings.Cut(handler, "#")
	return name
}

func isPoison(err error) bool {
	var p *projection.Poison
	return errors.As(err, &p)
}

func measure(done func(string, time.Duration, error)) message.HandlerMiddleware {
	return func(h message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			start := time.Now()
			out, err := h(m)
			done(destination(message.HandlerNameFromCtx(m.Context())), time.Since(start), err)
			return out, err
		}
	}
}

// poisonQueue is where undecodable messages end. Nothing is lost with one: the sweeper brings its range from the store.
type poisonQueue struct{ o RouterOptions }

func (q poisonQueue) Publish(_ string, messages ...*message.Message) error {
	for _, m := range messages {
		destination, reason := destination(m.Metadata.Get(middleware.PoisonedHandlerKey)), m.Metadata.Get(middleware.ReasonForPoisonedKey)
		q.o.Log.ErrorContext(m.Context(), "message cannot be understood, its range will come from the store",
			"destination", destination, "range", m.Metadata.Get(MetaRange), "reason", reason)
		q.o.OnPoison(m.Context(), destination, reason, m.Payload)
	}
	return nil
}

func (poisonQueue) Close() error { return nil }
