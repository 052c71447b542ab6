package sqs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
)

// Config of a bus and its queues. Zero values take the defaults.
type Config struct {
	AWS    aws.Config // see LoadAWS
	Prefix string     // of the queues' names; default "auditlog-"

	Visibility  time.Duration                    // how long a message is ours without a sign of life; whole seconds, 1 s to 12 h; default 60 s
	Wait        time.Duration                    // of a receive for the first message; whole seconds, up to 20 s; default 4 s, below Drain, which waits for it
	Retention   time.Duration                    // of messages and dead letters; whole seconds, 60 s to 14 days, the default
	MaxReceives int                              // tries before the queue calls a message dead, 1 to 1,000; default 5
	Workers     int                              // messages of a destination in work at once, 1 to 1,000; default 64: what waits of one shard is applied together
	Linger      time.Duration                    // least time between calls of one kind that are not full batches; up to 100 ms; default 50 ms; < 0: none
	Drain       time.Duration                    // how long closing waits for a receive and for messages in work before it cancels them; default 5 s
	Backoff     func(receives int) time.Duration // delay before the next try of a message received so many times; default Backoff
	OnCall      func(operation string)           // each request to the service, retries included, e.g. "SendMessageBatch"
	Log         *slog.Logger
}

// Bounds that the service sets.
const (
	maxVisibility = 12 * time.Hour
	maxWait       = 20 * time.Second
	maxRetention  = 14 * 24 * time.Hour
	maxReceives   = 1000
	maxName       = 80
	maxLinger     = 100 * time.Millisecond
	maxBatch      = 10
)

// LoadAWS is the SDK's own configuration, from its environment and files: credentials, region and endpoint are found as
// in every AWS program (AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL_SQS, the roles of tasks and pods, …).
func LoadAWS(ctx context.Context) (aws.Config, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return aws.Config{}, fmt.Errorf("settings of the AWS SDK: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, errors.New("settings of the AWS SDK: AWS_REGION is not set")
	}
	cfg.Credentials = credentials{cfg.Credentials}
	return cfg, nil
}

// Backoff is 2 s, 8 s, 32 s, then 2 minutes, a fifth more or less: the sweeper brings what is late, so a delay costs
// nothing, and five tries shall outlast a restart of what failed.
func Backoff(receives int) time.Duration {
	d := 2 * time.Minute
	if receives < 4 {
		d = 2 * time.Second << (2 * (max(receives, 1) - 1))
	}
	return d * time.Duration(80+rand.IntN(41)) / 100
}

func (c Config) withDefaults() Config {
	if c.Prefix == "" {
		c.Prefix = "auditlog-"
	}
	if c.Visibility == 0 {
		c.Visibility = time.Minute
	}
	if c.Wait == 0 {
		c.Wait = 4 * time.Second
	}
	if c.Retention == 0 {
		c.Retention = maxRetention
	}
	if c.MaxReceives == 0 {
		c.MaxReceives = 5
	}
	if c.Workers == 0 {
		c.Workers = 64
	}
	if c.Linger == 0 {
		c.Linger = 50 * time.Millisecond
	}
	c.Linger = max(c.Linger, 0)
	if c.Drain == 0 {
		c.Drain = 5 * time.Second
	}
	if c.Backoff == nil {
		c.Backoff = Backoff
	}
	if c.OnCall == nil {
		c.OnCall = func(string) {}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

var prefixForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)

// validate tells all complaints about a config with defaults.
func (c Config) validate() error {
	var all []error
	if !prefixForm.MatchString(c.Prefix) {
		all = append(all, fmt.Errorf("queue prefix %q: up to 40 of A-Z a-z 0-9 _ -", c.Prefix))
	}
	if c.AWS.Credentials == nil || c.AWS.Region == "" {
		all = append(all, errors.New("queues: no AWS region or credentials"))
	}
	for _, d := range []struct {
		name      string
		is        time.Duration
		low, high time.Duration
	}{
		{"visibility", c.Visibility, time.Second, maxVisibility},
		{"wait", c.Wait, time.Second, maxWait},
		{"retention", c.Retention, time.Minute, maxRetention},
	} {
		if d.is < d.low || d.is > d.high || d.is%time.Second != 0 {
			all = append(all, fmt.Errorf("queue %s %v: whole seconds from %v to %v", d.name, d.is, d.low, d.high))
		}
	}
	for _, n := range []struct {
		name string
		is   int
	}{{"max receives", c.MaxReceives}, {"workers", c.Workers}} {
		if n.is < 1 || n.is > maxReceives {
			all = append(all, fmt.Errorf("queue %s %d: 1 to %d", n.name, n.is, maxReceives))
		}
	}
	if c.Linger > maxLinger {
		all = append(all, fmt.Errorf("queue linger %v: up to %v", c.Linger, maxLinger))
	}
	return errors.Join(all...)
}

// Queue is the name of a destination's queue.
func (c Config) Queue(destination string) string { return c.withDefaults().Prefix + destination }

// DeadQueue is the name of a destination's dead-letter queue.
func (c Config) DeadQueue(destination string) string { return c.Queue(destination) + "-dead" }

// seconds rounds up to the service's unit.
func seconds(d time.Duration) int32 { return int32((max(d, 0) + time.Second - 1) / time.Second) }
