package sqs

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Watch tells the state of the destinations' queues, now and then every so often, until ctx ends: for metrics and alerts. It
// needs the right to sqs:GetQueueUrl and sqs:GetQueueAttributes, of the dead-letter queues too. What cannot be told is
// logged and left out.
func (b *Bus) Watch(ctx context.Context, every time.Duration, destinations []string, tell func(State)) {
	q := &Queues{cfg: b.cfg, client: newClient(b.cfg)}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		for _, d := range destinations {
			s, err := q.Show(ctx, d)
			switch {
			case err == nil:
				s.Oldest = b.ages.oldest(d, time.Now(), s.Waiting+s.InWork+s.Delayed > 0)
				tell(s)
			case ctx.Err() == nil:
				b.cfg.Log.WarnContext(ctx, "state of a queue is not known", "destination", d, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ages estimates how old the oldest message of a queue is, which the service tells in CloudWatch only. Messages come about
// in the order in which they were sent, so none that waits is much older than the one received last, or than the
// moment when the queue was seen empty.
type ages struct {
	mu   sync.Mutex           // guards sent
	sent map[string]time.Time // by destination: nothing that waits was sent before
}

func (a *ages) received(destination string, m *types.Message) {
	ms, err := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64)
	if err != nil {
		return
	}
	a.since(destination, time.UnixMilli(ms))
}

func (a *ages) since(destination string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sent == nil {
		a.sent = map[string]time.Time{}
	}
	a.sent[destination] = at
}

func (a *ages) oldest(destination string, now time.Time, some bool) time.Duration {
	a.mu.Lock()
	sent, known := a.sent[destination]
	a.mu.Unlock()
	if !some || !known {
		a.since(destination, now)
		return 0
	}
	return max(0, now.Sub(sent))
}
