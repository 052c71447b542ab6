package sqs

import (
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// intake receives in batches for the workers of one subscription, each of which asks for one message at a time. At most
// one batch waits for workers; its messages are held like those in work.
type intake struct {
	client   *awssqs.Client
	input    *awssqs.ReceiveMessageInput
	holds    *holds
	linger   time.Duration
	log      *slog.Logger
	received func(*types.Message)
	ask      chan struct{}      // a worker wants a message; read only between receives
	ready    chan types.Message // unbuffered
	ended    chan struct{}      // closed when run has ended
}

// next is the next message for a worker. After run has ended it waits for ctx to end.
func (in *intake) next(ctx context.Context) (types.Message, error) {
	for {
		select {
		case m := <-in.ready:
			return m, nil
		case in.ask <- struct{}{}: // taken only while nothing is under way, and again if another got what came
		case <-ctx.Done():
			return types.Message{}, ctx.Err()
		}
	}
}

// run receives until ctx ends. Batches that are not full come no faster than one each linger. A receive that is under way
// at the end is cut only when drain ends: a server that does not notice would give it the next message, for nobody.
func (in *intake) run(ctx, drain context.Context) {
	defer close(in.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-in.ask:
		}
		messages := in.receive(ctx, drain)
		got := time.Now()
		for i, m := range messages {
			select {
			case in.ready <- m:
			case <-ctx.Done():
				for _, m := range messages[i:] {
					in.holds.giveBack(aws.ToString(m.ReceiptHandle), 0)
				}
				return
			}
		}
		if len(messages) < maxBatch {
			pause(ctx, in.linger-time.Since(got))
		}
	}
}

const maxReceivePause = 5 * time.Second

// receive waits for messages. Once ctx has ended it asks no more.
func (in *intake) receive(ctx, drain context.Context) []types.Message {
	for wait := 100 * time.Millisecond; ctx.Err() == nil; {
		call, cancel := context.WithTimeout(drain, callTimeout+time.Duration(in.input.WaitTimeSeconds)*time.Second)
		out, err := in.client.ReceiveMessage(call, in.input)
		cancel()
		switch {
		case err == nil && len(out.Messages) > 0:
			now := time.Now()
			for _, m := range out.Messages {
				in.holds.add(aws.ToString(m.ReceiptHandle), now)
				in.received(&m)
			}
			return out.Messages
		case err == nil:
			wait = 100 * time.Millisecond
		case ctx.Err() == nil:
			in.log.WarnContext(ctx, "receive failed, trying again", "queue", aws.ToString(in.input.QueueUrl), "in", wait, "error", err)
			pause(ctx, wait)
			wait = min(2*wait, maxReceivePause)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
