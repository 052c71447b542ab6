package sqs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"auditlog/eventstore"
	"auditlog/projection/projtest"
	"auditlog/transport/bus"
	"auditlog/transport/bus/sqs"
	"auditlog/transport/bus/sqs/sqstest"
)

func TestEnsureIsIdempotentAndChanges(t *testing.T) {
	t.Parallel()
	cfg := sqstest.Config(t)
	q := ensure(t, cfg)
	if s := show(t, q, "a"); !s.Missing || s.Queue != cfg.Queue("a") {
		t.Errorf("before: %+v", s)
	}
	step := func(cfg sqs.Config, made bool, changed ...string) {
		t.Helper()
		q, err := sqs.NewQueues(cfg)
		if err != nil {
			t.Fatal(err)
		}
		got, err := q.Ensure(t.Context(), "a")
		if err != nil || len(got) != 2 || got[0].Queue != cfg.Queue("a") || got[1].Queue != cfg.DeadQueue("a") {
			t.Fatalf("%+v, %v", got, err)
		}
		if got[0].Made != made || got[1].Made != made || !slices.Equal(got[0].Changed, changed) || len(got[1].Changed) > 0 {
			t.Errorf("%+v, want made %v, changed %v", got, made, changed)
		}
	}
	step(cfg, true)
	step(cfg, false)
	cfg.Visibility, cfg.MaxReceives = 9*time.Second, 7
	step(cfg, false, "RedrivePolicy", "VisibilityTimeout")
	step(cfg, false)
	s := show(t, ensure(t, cfg), "a")
	if s.Missing || s.Visibility != 9*time.Second || s.MaxReceives != 7 || (s.Retention != 0 && s.Retention != 14*24*time.Hour) {
		t.Errorf("after: %+v", s)
	}
}

// The group is the tenant's when the envelope is of one tenant, on a standard queue.
func TestGroupIsTheTenant(t *testing.T) {
	t.Parallel()
	m := projtest.NewMemory()
	m.Append(2)
	one, other := eventstore.TenantID{15: 1}, eventstore.TenantID{15: 2}
	m.Change(1, func(e *eventstore.Event) { e.Tenant = one })
	m.Change(2, func(e *eventstore.Event) { e.Tenant = other })
	cfg := sqstest.Config(t)
	ensure(t, cfg, "a")
	b, err := sqs.New(cfg, bus.RouterOptions{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, "a", envelope(t, m, 0, 1))
	publish(t, b, "a", envelope(t, m, 0, 2))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	client := awssqs.NewFromConfig(cfg.AWS)
	url, err := client.GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: aws.String(cfg.Queue("a"))})
	if err != nil {
		t.Fatal(err)
	}
	groups := map[string]string{}
	eventually(t, "both messages", func() bool {
		out, err := client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{
			QueueUrl: url.QueueUrl, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range out.Messages {
			groups[aws.ToString(m.MessageAttributes[bus.MetaRange].StringValue)] = m.Attributes["MessageGroupId"]
			if n := len(m.MessageAttributes); n > 5 {
				t.Errorf("%d attributes", n)
			}
		}
		return len(groups) == 2
	})
	if groups["0:0-1"] != one.String() || groups["0:0-2"] != "0" {
		t.Errorf("groups %v, want tenant %s and shard 0", groups, one)
	}
}

func TestConfigTellsAllComplaints(t *testing.T) {
	t.Parallel()
	_, err := sqs.NewQueues(sqs.Config{Prefix: "no spaces", Visibility: 1500 * time.Millisecond, Wait: time.Minute, Retention: 1, MaxReceives: -1, Workers: 2000, Linger: time.Second})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, word := range []string{"prefix", "credentials", "visibility", "wait", "retention", "max receives", "workers", "linger"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("no word of %s: %v", word, err)
		}
	}
}

// What fails comes again after the delay, and after so many tries lies among the dead letters, from where a redrive
// brings it back.
func TestBackoffDeadLetterRedrive(t *testing.T) {
	t.Parallel()
	m := projtest.NewMemory()
	m.Append(1)
	var mu sync.Mutex
	var asked []int
	cfg := sqstest.Config(t)
	cfg.MaxReceives = 3
	cfg.Backoff = func(receives int) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, receives)
		return time.Second
	}
	k := tally{fail: func(call int) error {
		if call <= 6 { // three deliveries of two tries each
			return errors.New("down")
		}
		return nil
	}}
	b, _ := start(t, cfg, bus.RouterOptions{Retries: 1}, map[string]handler{"a": k.handle})
	q := ensure(t, cfg, "a")
	began := time.Now()
	publish(t, b, "a", envelope(t, m, 0, 1))
	eventually(t, "a dead letter", func() bool { return show(t, q, "a").Dead == 1 })
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("dead after %v, with two delays of a second", took)
	}
	mu.Lock()
	if len(asked) != 3 || asked[0] != 1 || asked[1] != 2 || asked[2] != 3 {
		t.Errorf("delays were asked for receives %v", asked)
	}
	mu.Unlock()
	if moved, err := q.Redrive(t.Context(), "a"); err != nil || moved != 1 {
		t.Fatalf("redrive moved %d, %v", moved, err)
	}
	eventually(t, "the event", k.has(1))
	eventually(t, "empty queues", func() bool { s := show(t, q, "a"); return s.Waiting+s.InWork+s.Dead == 0 })
}

// Whatever goes wrong below, the setting or the right that it comes from is named.
func TestExplain(t *testing.T) {
	t.Parallel()
	cfg := sqs.Config{AWS: aws.Config{Region: "mars-1"}}
	call := func(err error) error {
		return fmt.Errorf("queue a: %w", &smithy.OperationError{ServiceID: "SQS", OperationName: "SendMessageBatch", Err: err})
	}
	for want, err := range map[string]error{
		"AWS_REGION=mars-1 (AWS_ENDPOINT_URL_SQS is not set)": call(&net.DNSError{Err: "no such host", Name: "sqs.mars-1.amazonaws.com"}),
		"not allowed sqs:SendMessage:":                        call(&smithy.GenericAPIError{Code: "AccessDenied"}),
		"AWS_ACCESS_KEY_ID":                                   call(&smithy.GenericAPIError{Code: "SignatureDoesNotMatch"}),
		"no SQS server answers":                               call(&smithy.DeserializationError{Err: io.EOF}),
		"no answer from":                                      call(context.DeadlineExceeded),
	} {
		got := cfg.Explain(err)
		if !strings.Contains(got.Error(), want) || !errors.Is(got, err) {
			t.Errorf("%v, want %q", got, want)
		}
	}
	if got := cfg.Explain(errors.New("other")); got == nil || got.Error() != "other" || cfg.Explain(nil) != nil {
		t.Errorf("what has no known cause became %v", got)
	}
}
