package sqs_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"auditlog/eventstore"
	"auditlog/projection"
	"auditlog/projection/projtest"
	"auditlog/transport/bus"
	"auditlog/transport/bus/sqs"
	"auditlog/transport/bus/sqs/sqstest"
)

// Poison of every kind goes to the dead-letter queue with its reason at once, and what is good flows past it.
func TestPoisonGoesToTheDeadLetters(t *testing.T) {
	t.Parallel()
	m := projtest.NewMemory()
	m.Append(100)
	cfg := sqstest.Config(t)
	k := tally{fail: func(call int) error { return nil }}
	poison := func(ctx context.Context, env projection.Envelope) error {
		if env.To == 50 {
			return &projection.Poison{Err: errors.New("fifty \x1b[31m is \u0000 bad")}
		}
		return k.handle(ctx, env)
	}
	var mu sync.Mutex
	hooked := 0
	b, _ := start(t, cfg, bus.RouterOptions{OnPoison: func(context.Context, string, string, []byte) {
		mu.Lock()
		defer mu.Unlock()
		hooked++
	}}, map[string]handler{"a": poison})
	client := awssqs.NewFromConfig(cfg.AWS)
	url, err := client.GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: aws.String(cfg.Queue("a"))})
	if err != nil {
		t.Fatal(err)
	}
	many := map[string]types.MessageAttributeValue{}
	for _, name := range strings.Split("abcdefghij", "") {
		many[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("x")}
	}
	foreign := []awssqs.SendMessageInput{
		{MessageBody: aws.String("not an envelope")},
		{MessageBody: aws.String("{}"), MessageAttributes: many},
		{MessageBody: aws.String("x"), MessageAttributes: map[string]types.MessageAttributeValue{
			"_watermill_message_uuid": {DataType: aws.String("Binary"), BinaryValue: []byte{0xff, 0}},
			"n":                       {DataType: aws.String("Number"), StringValue: aws.String("1")},
		}},
	}
	for i := range foreign {
		foreign[i].QueueUrl = url.QueueUrl
		if _, err := client.SendMessage(t.Context(), &foreign[i]); err != nil {
			t.Fatal(err)
		}
	}
	for at := eventstore.Offset(0); at < 100; at += 10 {
		publish(t, b, "a", envelope(t, m, at, at+10))
	}
	eventually(t, "the 90 good events", k.has(90))
	q := ensure(t, cfg, "a")
	eventually(t, "four dead letters", func() bool { s := show(t, q, "a"); return s.Dead == 4 && s.Waiting+s.InWork == 0 })
	reasons := map[string]sqs.DeadLetter{}
	eventually(t, "four dead letters with a reason", func() bool {
		dead, err := q.Dead(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dead {
			reasons[d.ID] = d
		}
		return len(reasons) == 4
	})
	undecodable, fifty := 0, 0
	for _, d := range reasons {
		switch {
		case strings.Contains(d.Reason, "decode envelope"):
			undecodable++
		case d.Range == "0:40-50" && strings.Contains(d.Reason, "fifty [31m is  bad"):
			fifty++
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if undecodable != 3 || fifty != 1 || hooked != 4 {
		t.Errorf("%d undecodable, %d of the projection, %d told: %+v", undecodable, fifty, hooked, reasons)
	}
}

// One message in a hundred is poison, of one kind or another: all others arrive, and it lies among the dead letters.
func TestOneInAHundredIsPoison(t *testing.T) {
	t.Parallel()
	const all, each = 400, 100
	m := projtest.NewMemory()
	m.Append(all)
	cfg := sqstest.Config(t)
	cfg.MaxReceives = 2 // of what panics
	var k tally
	b, _ := start(t, cfg, bus.RouterOptions{Retries: 1}, map[string]handler{"a": func(ctx context.Context, env projection.Envelope) error {
		switch env.To {
		case 1 * each:
			return &projection.Poison{Err: errors.New("unknown type")}
		case 2 * each:
			panic("of a bug")
		case 3 * each:
			return errors.Join(errors.New("while applying"), &projection.Poison{Err: errors.New("wrong tenant")})
		}
		return k.handle(ctx, env)
	}})
	q := ensure(t, cfg, "a")
	client := awssqs.NewFromConfig(cfg.AWS)
	url, err := client.GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: aws.String(cfg.Queue("a"))})
	if err != nil {
		t.Fatal(err)
	}
	for at := range eventstore.Offset(all) {
		if at == all-each/2 {
			if _, err := client.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: url.QueueUrl, MessageBody: aws.String(`{"bad":`)}); err != nil {
				t.Fatal(err)
			}
		}
		publish(t, b, "a", envelope(t, m, at, at+1))
	}
	eventually(t, "all that is good", k.has(all-3))
	eventually(t, "four dead letters", func() bool { s := show(t, q, "a"); return s.Dead == 4 && s.Waiting+s.InWork == 0 })
	reasons := map[string]string{}
	eventually(t, "four reasons", func() bool {
		dead, err := q.Dead(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dead {
			reasons[d.Range] = d.Reason
		}
		return len(reasons) == 4
	})
	for span, want := range map[string]string{"0:99-100": "unknown type", "0:199-200": "", "0:299-300": "wrong tenant", "": "decode envelope"} {
		if got, there := reasons[span]; !there || !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("range %q: reason %q, want %q", span, got, want)
		}
	}
}
