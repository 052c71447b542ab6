package faults

import (
	"context"
	"encoding/base64"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"auditlog/internal/app"
	"auditlog/transport/bus/sqs"
	"auditlog/transport/bus/sqs/sqstest"
)

// poison sends what no worker can read into the queues of a service.
type poison struct {
	t      *testing.T
	client *awssqs.Client
	queues *sqs.Queues
	cfg    sqs.Config
	dead   map[string]int // before
	sent   atomic.Int64   // to each
	end    chan struct{}
	ended  chan struct{}
}

func newPoison(t *testing.T, server *sqstest.Server, prefix string) *poison {
	p := &poison{t: t, client: awssqs.NewFromConfig(server.AWS()), cfg: sqs.Config{AWS: server.AWS(), Prefix: prefix}, dead: map[string]int{}}
	var err error
	p.queues, err = sqs.NewQueues(p.cfg)
	fatal(t, err)
	return p
}

var bodies = []string{
	"this is no base64!", base64.StdEncoding.EncodeToString([]byte("no frame")), "{}", `"`, "AAAA",
}

// start sends on until stop: more than one in 100 of what the relay sends at this load.
func (p *poison) start(t *testing.T) {
	for _, d := range app.Projections {
		state, err := p.queues.Show(t.Context(), d)
		fatal(t, err)
		p.dead[d] = state.Dead
	}
	p.end, p.ended = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(p.ended)
		for {
			select {
			case <-p.end:
				return
			case <-time.After(200 * time.Millisecond):
			}
			for _, d := range app.Projections {
				if err := p.send(d, bodies[int(p.sent.Load())%len(bodies)]); err != nil {
					t.Error(err)
				}
			}
			p.sent.Add(1)
		}
	}()
}

func (p *poison) send(destination, body string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // the server is under load, and all it takes it writes to disk
	defer cancel()
	url, err := p.client.GetQueueUrl(ctx, &awssqs.GetQueueUrlInput{QueueName: aws.String(p.cfg.Queue(destination))})
	if err != nil {
		return err
	}
	_, err = p.client.SendMessage(ctx, &awssqs.SendMessageInput{QueueUrl: url.QueueUrl, MessageBody: &body})
	return err
}

// stop lets it send each kind at least once.
func (p *poison) stop(t *testing.T) {
	until(t, "poison of each kind", func() string {
		if n := p.sent.Load(); n < int64(len(bodies)) {
			return fmt.Sprint(n, " were sent")
		}
		return ""
	})
	close(p.end)
	<-p.ended
}

// check finds every poison message among the dead letters, and the queues empty.
func (p *poison) check() {
	p.t.Helper()
	sent := int(p.sent.Load())
	for _, d := range app.Projections {
		until(p.t, "empty queue "+d, func() string {
			state, err := p.queues.Show(p.t.Context(), d)
			if err != nil || state.Waiting+state.InWork+state.Delayed > 0 || state.Dead < p.dead[d]+sent {
				return fmt.Sprintf("%+v, %v", state, err)
			}
			if state.Dead != p.dead[d]+sent {
				p.t.Errorf("%d messages of %s are dead, %d of %d are poison", state.Dead, d, sent, state.Dead-p.dead[d])
			}
			return ""
		})
		letters, err := p.queues.Dead(p.t.Context(), d)
		fatal(p.t, err)
		for _, l := range letters {
			if p.dead[d] == 0 && l.Reason == "" {
				p.t.Errorf("a dead letter of %s has no reason: %+v", d, l)
			}
		}
		p.t.Logf("%s: %d poison messages, %d dead before", d, sent, p.dead[d])
	}
}
