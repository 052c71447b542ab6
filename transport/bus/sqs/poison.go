package sqs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	wmsqs "github.com/ThreeDotsLabs/watermill-aws/sqs"

	"auditlog/transport/bus"
)

// deadLetters sends poison to the dead-letter queue of its destination: the message as it came, and watermill's
// metadata of what is wrong with it. Only then is the message deleted.
type deadLetters struct {
	cfg    Config
	client *awssqs.Client
	urls   wmsqs.QueueUrlResolver
}

func newDeadLetters(cfg Config) *deadLetters {
	names := wmsqs.NewGetQueueUrlByNameUrlResolver(wmsqs.GetQueueUrlByNameUrlResolverConfig{
		GenerateGetQueueUrlInput: func(_ context.Context, topic string) (*awssqs.GetQueueUrlInput, error) {
			return &awssqs.GetQueueUrlInput{QueueName: aws.String(cfg.DeadQueue(topic))}, nil
		},
	})
	return &deadLetters{cfg: cfg, client: newClient(cfg), urls: names}
}

// delivery is a message on its way through the router; the poison queue's hook finds it in the message's context.
type delivery struct {
	m   *message.Message
	err error // why its dead letter was not sent
}

type deliveryKey struct{}

// around adds the dead-letter queue to what the router shall do. The caller's own hooks stay.
func (d *deadLetters) around(o bus.RouterOptions) bus.RouterOptions {
	outermost, onPoison := o.Outermost, o.OnPoison
	o.Outermost = func(h message.HandlerFunc) message.HandlerFunc {
		inner := func(m *message.Message) ([]*message.Message, error) {
			del := &delivery{m: m}
			m.SetContext(context.WithValue(m.Context(), deliveryKey{}, del))
			out, err := h(m)
			if err == nil && del.err != nil { // not acknowledged: it comes again, and in the end dies without a reason
				err = del.err
			}
			return out, err
		}
		if outermost != nil {
			return outermost(inner)
		}
		return inner
	}
	o.OnPoison = func(ctx context.Context, destination, reason string, payload []byte) {
		if del, ok := ctx.Value(deliveryKey{}).(*delivery); ok {
			del.err = d.send(ctx, destination, del.m)
		}
		if onPoison != nil {
			onPoison(ctx, destination, reason, payload)
		}
	}
	return o
}

// kept are the attributes that a dead letter has in any case. The service takes ten.
var kept = []string{
	wmsqs.UUIDAttribute, bus.MetaRange, bus.MetaGroup, middleware.CorrelationIDMetadataKey, middleware.ReasonForPoisonedKey,
	middleware.PoisonedTopicKey, middleware.PoisonedHandlerKey, middleware.PoisonedSubscriberKey,
}

const maxAttributes = 10

// maxReason bounds the reason's bytes: it counts to the message's size.
const maxReason = 1024

func (d *deadLetters) send(ctx context.Context, destination string, m *message.Message) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	queue, err := d.urls.ResolveQueueUrl(ctx, wmsqs.ResolveQueueUrlParams{Topic: destination, SqsClient: d.client, Logger: bus.Logger(d.cfg.Log)})
	if err == nil && queue.QueueURL == nil {
		err = fmt.Errorf("queue %s is not there: make it by `auditlog queues ensure`", d.cfg.DeadQueue(destination))
	}
	if err != nil {
		return fmt.Errorf("dead letter of %s: %w", destination, err)
	}
	all := attributes(m)
	if len(all) > maxAttributes-1 { // not from our relay
		maps.DeleteFunc(all, func(name string, _ types.MessageAttributeValue) bool { return !slices.Contains(kept, name) })
	}
	all[middleware.ReasonForPoisonedKey] = text(m.Metadata.Get(middleware.ReasonForPoisonedKey))
	body := string(m.Payload)
	if body == "" {
		body = "-" // the service takes no message without a body
	}
	if _, err := d.client.SendMessage(ctx, &awssqs.SendMessageInput{
		QueueUrl: aws.String(string(*queue.QueueURL)), MessageBody: &body, MessageAttributes: all,
	}); err != nil {
		return fmt.Errorf("dead letter of %s: %w", destination, err)
	}
	return nil
}

// text makes an attribute of what may hold anything: only the characters that the service takes, and not too many.
func text(s string) types.MessageAttributeValue {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	for len(s) > maxReason {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	if s == "" {
		s = "-"
	}
	return types.MessageAttributeValue{DataType: aws.String(wmsqs.AWSStringDataType), StringValue: &s}
}
