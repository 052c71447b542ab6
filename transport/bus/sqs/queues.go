package sqs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
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

func (q *Queues) explain(err *error) { *err = q.cfg.Explain(*err) }

// Outcome of ensuring one queue.
type Outcome struct {
	Queue   string
	Made    bool
	Changed []string // attributes that were otherwise, sorted
}

// Ensure makes a destination's dead-letter queue and its queue, or brings their attributes to what the config says. Messages
// in them stay.
func (q *Queues) Ensure(ctx context.Context, destination string) (_ []Outcome, err error) {
	defer q.explain(&err)
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
