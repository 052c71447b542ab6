package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"auditlog/internal/app"
	"auditlog/transport/bus/sqs"
)

// queuesCmd works on the queues of the SQS bus. Region, credentials and endpoint are the AWS SDK's settings.
type queuesCmd struct {
	Ensure  queuesEnsureCmd  `cmd:"" help:"Make the queues and their dead-letter queues, or bring their settings up to date; safe to repeat."`
	Show    queuesShowCmd    `cmd:"" help:"Print how many messages wait, are in work, or are dead."`
	Redrive queuesRedriveCmd `cmd:"" help:"Move the dead letters back to their queue, after a fix."`
}

// queueFlags name the queues.
type queueFlags struct {
	Prefix       string   `name:"queue-prefix" env:"AUDITLOG_QUEUE_PREFIX" default:"auditlog-" placeholder:"TEXT" help:"What the queues' names begin with (${default}). Region, credentials and endpoint are the AWS SDK's settings: AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL_SQS, …"`
	Destinations []string `arg:"" optional:"" name:"projection" help:"Projections whose queues are meant (default: all of them)."`
}

func (f queueFlags) names() []string {
	if len(f.Destinations) == 0 {
		return app.Projections
	}
	return f.Destinations
}

func (f queueFlags) config(ctx context.Context) (sqs.Config, error) {
	aws, err := sqs.LoadAWS(ctx)
	if err != nil {
		return sqs.Config{}, err
	}
	return sqs.Config{AWS: aws, Prefix: f.Prefix}, nil
}

func (f queueFlags) queues(ctx context.Context) (*sqs.Queues, error) {
	cfg, err := f.config(ctx)
	if err != nil {
		return nil, err
	}
	q, err := sqs.NewQueues(cfg)
	return q, usage(err)
}

type queuesEnsureCmd struct {
	queueFlags  `embed:""`
	Visibility  time.Duration `name:"queue-visibility" env:"AUDITLOG_QUEUE_VISIBILITY" default:"60s" placeholder:"TIME" help:"How long a message is a worker's without a sign of life (${default})."`
	Retention   time.Duration `name:"queue-retention" env:"AUDITLOG_QUEUE_RETENTION" default:"336h" placeholder:"TIME" help:"How long messages and dead letters are kept (${default}, 14 days)."`
	MaxReceives int           `name:"queue-max-receives" env:"AUDITLOG_QUEUE_MAX_RECEIVES" default:"5" placeholder:"N" help:"Tries before a message is dead (${default})."`
}

// Run prints a line for each queue.
func (c *queuesEnsureCmd) Run(ctx context.Context, s streams) error {
	cfg, err := c.config(ctx)
	if err != nil {
		return err
	}
	cfg.Visibility, cfg.Retention, cfg.MaxReceives = c.Visibility, c.Retention, c.MaxReceives
	q, err := sqs.NewQueues(cfg)
	if err != nil {
		return usage(err)
	}
	for _, d := range c.names() {
		outcomes, err := q.Ensure(ctx, d)
		if err != nil {
			return err
		}
		for _, o := range outcomes {
			what := "unchanged"
			switch {
			case o.Made:
				what = "made"
			case len(o.Changed) > 0:
				what = "changed " + strings.Join(o.Changed, ", ")
			}
			if _, err := fmt.Fprintf(s.out, "%s: %s\n", o.Queue, what); err != nil {
				return err
			}
		}
	}
	return nil
}

type queuesShowCmd struct {
	queueFlags `embed:""`
	Dead       bool `default:"true" negatable:"" help:"Print up to ten dead letters of each queue with their reasons, below the table."`
}

// Run prints a table, then dead letters. A missing queue makes it fail, after that.
func (c *queuesShowCmd) Run(ctx context.Context, s streams) error {
	q, err := c.queues(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "QUEUE\tWAITING\tIN WORK\tDELAYED\tDEAD\tVISIBILITY\tTRIES")
	lost, dead := 0, []string(nil)
	for _, d := range c.names() {
		state, err := q.Show(ctx, d)
		if err != nil {
			return err
		}
		if state.Missing {
			lost++
			fmt.Fprintf(table, "%s\tmissing\n", state.Queue)
			continue
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%v\t%d\n", state.Queue, state.Waiting, state.InWork, state.Delayed, state.Dead, state.Visibility, state.MaxReceives)
		if state.Dead > 0 {
			dead = append(dead, d)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if c.Dead {
		for _, d := range dead {
			if err := printDead(ctx, s.out, q, d); err != nil {
				return err
			}
		}
	}
	if lost > 0 {
		return errors.New("queues are missing: make them by `auditlog queues ensure`")
	}
	return nil
}

func printDead(ctx context.Context, w io.Writer, q *sqs.Queues, destination string) error {
	letters, err := q.Dead(ctx, destination)
	if err != nil {
		return err
	}
	for _, l := range letters {
		reason := l.Reason
		if reason == "" {
			reason = "too many tries"
		}
		if _, err := fmt.Fprintf(w, "%s %s %s range %s: %q\n", destination, l.Sent.UTC().Format(time.RFC3339), l.ID, l.Range, reason); err != nil {
			return err
		}
	}
	return nil
}

type queuesRedriveCmd struct {
	queueFlags `embed:""`
}

// Run moves and says how many.
func (c *queuesRedriveCmd) Run(ctx context.Context, s streams) error {
	q, err := c.queues(ctx)
	if err != nil {
		return err
	}
	for _, d := range c.names() {
		moved, err := q.Redrive(ctx, d)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(s.out, "%s: moved %d\n", d, moved); err != nil {
			return err
		}
	}
	return nil
}
