package sqs_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"auditlog/eventstore"
	"auditlog/projection/projtest"
	"auditlog/transport/bus"
	"auditlog/transport/bus/sqs"
	"auditlog/transport/bus/sqs/sqstest"
)

func TestEnsureIsIdempotentAndChanges(t *testing.T) {
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
	m := projtest.NewMemory()
	m.Append(2)
	one, other := eventstore.TenantID{15: 1}, eventstore.TenantID{15: 2}
	m.Change(1, func(e *eventstore.Event) { e.Tenant = one })
	m.Change(2, func(e *eventstore.Event) { e.Tenant = other })
	cfg := sqstest.Config(t)
	ensure(t, cfg, "a")
	b, err := sqs.New(m, cfg, bus.RouterOptions{Log: quiet})
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
