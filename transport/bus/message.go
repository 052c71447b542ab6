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

// Messages wraps the payloads of an envelope as messages with the same correlation id.
func Messages(env projection.Envelope, payloads [][]byte) []*message.Message {
	id, span, group := watermill.NewULID(), fmt.Sprintf("%d:%d-%d", env.Shard, env.From, env.To), group(env)
	out := make([]*message.Message, len(payloads))
	for i, p := range payloads {
		m := message.NewMessage(watermill.NewULID(), p)
		m.Metadata.Set(MetaRange, span)
		m.Metadata.Set(MetaGroup, group)
		middleware.SetCorrelationID(id, m)
		out[i] = m
	}
	return out
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

// Handler makes a watermill handler of what takes envelopes. Pointers are read from the store, page by page.
func Handler(source projection.Source, handle func(context.Context, projection.Envelope) error) message.NoPublishHandlerFunc {
	return func(m *message.Message) error {
		env, pointer, err := Decode(m.Payload)
		if err != nil {
			return err
		}
		if !pointer {
			return handle(m.Context(), env)
		}
		for at := env.From; at < env.To; {
			page, err := projection.ReadEnvelope(m.Context(), source, env.Shard, projection.Range{From: at, To: env.To}, pointerPage)
			if err != nil {
				return err
			}
			page.Epoch = env.Epoch
			if err := handle(m.Context(), page); err != nil {
				return err
			}
			at = page.To
		}
		return nil
	}
}

const pointerPage = 64 // events; a pointer stands for one, or for one beside removed ones
