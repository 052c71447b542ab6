package sqs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"auditlog/transport/bus"
)

// Queues makes, shows and redrives the queues of destinations. It needs more rights than the bus.
type Queues struct {
	cfg    Config
	client *awssqs.Client
}

// NewQueues makes a Queues. It calls nothing yet.
func NewQueues(cfg Config) (*Queues, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Queues{cfg: cfg, client: newClient(cfg)}, nil
}

// Outcome of ensuring one queue.
type Outcome struct {
	Queue   string
	Made    bool
	Changed []string // attributes that were otherwise, sorted
}

// Ensure makes a destination's dead-letter queue and its queue, or brings their attributes to what the config says. Messages
// in them stay.
func (q *Queues) Ensure(ctx context.Context, destination string) ([]Outcome, error) {
	retention := strconv.Itoa(int(q.cfg.Retention / time.Second))
	dead, deadURL, err := q.ensure(ctx, q.cfg.DeadQueue(destination), map[string]string{
		string(types.QueueAttributeNameMessageRetentionPeriod): retention,
	})
	if err != nil {
		return nil, err
	}
	arn, err := q.arn(ctx, deadURL)
	if err != nil {
		return nil, err
	}
	redrive, err := json.Marshal(redrivePolicy{arn, receives(q.cfg.MaxReceives)})
	if err != nil {
		return nil, err
	}
	live, _, err := q.ensure(ctx, q.cfg.Queue(destination), map[string]string{
		string(types.QueueAttributeNameMessageRetentionPeriod):        retention,
		string(types.QueueAttributeNameVisibilityTimeout):             strconv.Itoa(int(seconds(q.cfg.Visibility))),
		string(types.QueueAttributeNameReceiveMessageWaitTimeSeconds): strconv.Itoa(int(seconds(q.cfg.Wait))),
		string(types.QueueAttributeNameRedrivePolicy):                 string(redrive),
	})
	if err != nil {
		return nil, err
	}
	return []Outcome{live, dead}, nil
}

// redrivePolicy is the attribute of that name. The service gives its number back as a number or as a string.
type redrivePolicy struct {
	Target   string   `json:"deadLetterTargetArn"`
	Receives receives `json:"maxReceiveCount"`
}

type receives int

func (r *receives) UnmarshalJSON(b []byte) error {
	if s, err := strconv.Unquote(string(b)); err == nil {
		b = []byte(s)
	}
	n, err := strconv.Atoi(string(b))
	*r = receives(n)
	return err
}

// same compares an attribute's values; a policy by what it means. A server that keeps messages for ever names no
// retention, and cannot be told one.
func same(name, is, want string) bool {
	switch name {
	case string(types.QueueAttributeNameRedrivePolicy):
		var a, b redrivePolicy
		return json.Unmarshal([]byte(is), &a) == nil && json.Unmarshal([]byte(want), &b) == nil && a == b
	case string(types.QueueAttributeNameMessageRetentionPeriod):
		return is == "" || is == want
	default:
		return is == want
	}
}

func (q *Queues) ensure(ctx context.Context, name string, want map[string]string) (Outcome, string, error) {
	o := Outcome{Queue: name}
	if len(name) > maxName {
		return o, "", fmt.Errorf("queue name %s is longer than %d", name, maxName)
	}
	url, err := q.url(ctx, name)
	if missing(err) {
		made, err := q.client.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: &name, Attributes: want})
		if err != nil {
			return o, "", fmt.Errorf("make queue %s: %w", name, err)
		}
		o.Made = true
		return o, aws.ToString(made.QueueUrl), nil
	}
	if err != nil {
		return o, "", err
	}
	is, err := q.attributes(ctx, url)
	if err != nil {
		return o, "", err
	}
	for name, value := range want {
		if !same(name, is[name], value) {
			o.Changed = append(o.Changed, name)
		}
	}
	slices.Sort(o.Changed)
	if len(o.Changed) > 0 {
		if _, err := q.client.SetQueueAttributes(ctx, &awssqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: want}); err != nil {
			return o, "", fmt.Errorf("change queue %s: %w", name, err)
		}
	}
	return o, url, nil
}

func (q *Queues) url(ctx context.Context, name string) (string, error) {
	out, err := q.client.GetQueueUrl(ctx, &awssqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		return "", fmt.Errorf("queue %s: %w", name, err)
	}
	return aws.ToString(out.QueueUrl), nil
}

func (q *Queues) attributes(ctx context.Context, url string) (map[string]string, error) {
	out, err := q.client.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		return nil, fmt.Errorf("attributes of queue %s: %w", url, err)
	}
	return out.Attributes, nil
}

func (q *Queues) arn(ctx context.Context, url string) (string, error) {
	all, err := q.attributes(ctx, url)
	return all[string(types.QueueAttributeNameQueueArn)], err
}

// State of a destination's queues. Numbers are the service's approximations.
type State struct {
	Destination string
	Queue       string
	Missing     bool // run Ensure; all else is zero
	Waiting     int
	InWork      int // received and not yet deleted
	Delayed     int
	Dead        int
	Visibility  time.Duration
	Retention   time.Duration // 0: the server does not say
	MaxReceives int           // 0: no dead-letter queue is set
}

// Show tells the state of a destination's queues.
func (q *Queues) Show(ctx context.Context, destination string) (State, error) {
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
func (q *Queues) Dead(ctx context.Context, destination string) ([]DeadLetter, error) {
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

// Redrive moves all dead letters back to the destination's queue and waits for the end of it. It tells how many were
// moved. When ctx ends the service goes on by itself.
func (q *Queues) Redrive(ctx context.Context, destination string) (moved int64, err error) {
	arns := [2]string{}
	for i, name := range []string{q.cfg.DeadQueue(destination), q.cfg.Queue(destination)} {
		url, err := q.url(ctx, name)
		if err != nil {
			return 0, err
		}
		if arns[i], err = q.arn(ctx, url); err != nil {
			return 0, err
		}
	}
	// The target is named: messages that came here as poison have no source queue of which the service knows.
	if _, err := q.client.StartMessageMoveTask(ctx, &awssqs.StartMessageMoveTaskInput{SourceArn: &arns[0], DestinationArn: &arns[1]}); err != nil {
		return 0, fmt.Errorf("redrive %s: %w", destination, err)
	}
	for {
		out, err := q.client.ListMessageMoveTasks(ctx, &awssqs.ListMessageMoveTasksInput{SourceArn: &arns[0], MaxResults: aws.Int32(1)})
		if err != nil {
			return 0, fmt.Errorf("redrive %s: %w", destination, err)
		}
		if len(out.Results) == 0 {
			return 0, fmt.Errorf("redrive %s: the service knows of no move", destination)
		}
		task := out.Results[0]
		switch aws.ToString(task.Status) {
		case "RUNNING":
			pause(ctx, 250*time.Millisecond)
			if ctx.Err() != nil {
				return task.ApproximateNumberOfMessagesMoved, ctx.Err()
			}
		case "COMPLETED":
			return task.ApproximateNumberOfMessagesMoved, nil
		default:
			return task.ApproximateNumberOfMessagesMoved, errors.New("redrive " + destination + ": " + aws.ToString(task.Status) + " " + aws.ToString(task.FailureReason))
		}
	}
}
