package bus

import (
	"context"
	"fmt"
	"strconv"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"auditlog/projection"
)

// Metadata keys of a message. A queue service allows ten attributes and watermill's poison queue adds four. They are
// for routing and for people; the payload alone is believed.
const (
	MetaRange = "range" // shard:from-to
	MetaGroup = "group" // the tenant when all events are of one, else the shard: what fair queues share by
)

// Message wraps the payload of an envelope.
func Message(env projection.Envelope, payload []byte) *message.Message {
	m := message.NewMessage(watermill.NewULID(), payload)
	m.Metadata.Set(MetaRange, fmt.Sprintf("%d:%d-%d", env.Shard, env.From, env.To))
	m.Metadata.Set(MetaGroup, group(env))
	middleware.SetCorrelationID(watermill.NewULID(), m)
	return m
}

func group(env projection.Envelope) string {
	shard := strconv.Itoa(int(env.Shard))
	if len(env.Events) == 0 {
		return shard
	}
	for _, e := range env.Events[1:] {
		if e.Tenant != env.Events[0].Tenant {
			return shard
		}
	}
	return env.Events[0].Tenant.String()
}

// Handler makes a watermill handler of what takes envelopes.
func Handler(handle func(context.Context, projection.Envelope) error) message.NoPublishHandlerFunc {
	return func(m *message.Message) error {
		env, err := Decode(m.Payload)
		if err != nil {
			return err
		}
		return handle(m.Context(), env)
	}
}
