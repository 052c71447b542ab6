package sqs

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"auditlog/transport/bus"
)

// State of a destination's queues. Numbers are the service's approximations.
type State struct {
	Destination string
	Queue       string
	Missing     bool // run Ensure; all else is zero
	Waiting     int
	InWork      int // received and not yet deleted
	Delayed     int
	Dead        int
	Oldest      time.Duration // Bus.Watch alone: about the age of the oldest message; 0: none is there
	Visibility  time.Duration
	Retention   time.Duration // 0: the server does not say
	MaxReceives int           // 0: no dead-letter queue is set
}

// Show tells the state of a destination's queues.
func (q *Queues) Show(ctx context.Context, destination string) (_ State, err error) {
	defer q.explain(&err)
	s := State{Destination: destination, Queue: q.cfg.Queue(destination)}
	url, err := q.url(ctx, s.Queue)
	if missing(err) {
		s.Missing = true
		return s, nil
	}
	if err != nil {
		return s, err
	}
	live, err := q.attributes(ctx, url)
	if err != nil {
		return s, err
	}
	var policy redrivePolicy
	if text := live[string(types.QueueAttributeNameRedrivePolicy)]; text != "" {
		if err := json.Unmarshal([]byte(text), &policy); err != nil {
			return s, fmt.Errorf("redrive policy of %s: %w", s.Queue, err)
		}
	}
	number := func(name types.QueueAttributeName) int {
		n, err2 := strconv.Atoi(live[string(name)])
		if err2 != nil {
			err = fmt.Errorf("%s of %s: %w", name, s.Queue, err2)
		}
		return n
	}
	s.Waiting = number(types.QueueAttributeNameApproximateNumberOfMessages)
	s.InWork = number(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible)
	s.Delayed = number(types.QueueAttributeNameApproximateNumberOfMessagesDelayed)
	s.Visibility = time.Duration(number(types.QueueAttributeNameVisibilityTimeout)) * time.Second
	if live[string(types.QueueAttributeNameMessageRetentionPeriod)] != "" {
		s.Retention = time.Duration(number(types.QueueAttributeNameMessageRetentionPeriod)) * time.Second
	}
	s.MaxReceives = int(policy.Receives)
	if err != nil {
		return s, err
	}
	deadURL, err := q.url(ctx, q.cfg.DeadQueue(destination))
	if missing(err) {
		s.MaxReceives = 0
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if live, err = q.attributes(ctx, deadURL); err != nil {
		return s, err
	}
	s.Dead = number(types.QueueAttributeNameApproximateNumberOfMessages) + number(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible)
	return s, err
}

// DeadLetter is one message of a dead-letter queue.
type DeadLetter struct {
	ID     string
	Range  string // shard:from-to, as the sender said
	Reason string // empty: the queue moved it after too many tries
	Sent   time.Time
}

// Dead gives up to ten of the dead letters, any of them. They stay.
func (q *Queues) Dead(ctx context.Context, destination string) (_ []DeadLetter, err error) {
	defer q.explain(&err)
	url, err := q.url(ctx, q.cfg.DeadQueue(destination))
	if err != nil {
		return nil, err
	}
	out, err := q.client.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: maxBatch, MessageAttributeNames: []string{"All"}, WaitTimeSeconds: 1,
		VisibilityTimeout:           1, // zero would mean the queue's own, and hide them from a redrive
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameSentTimestamp},
	})
	if err != nil {
		return nil, fmt.Errorf("dead letters of %s: %w", destination, err)
	}
	var all []DeadLetter
	for _, m := range out.Messages {
		got := unmarshal(&m)
		ms, _ := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64) // 0 says unknown
		all = append(all, DeadLetter{
			ID: got.UUID, Range: got.Metadata.Get(bus.MetaRange), Reason: got.Metadata.Get(middleware.ReasonForPoisonedKey), Sent: time.UnixMilli(ms),
		})
	}
	return all, nil
}
