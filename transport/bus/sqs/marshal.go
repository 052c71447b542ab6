package sqs

import (
	"context"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill"
	wmsqs "github.com/ThreeDotsLabs/watermill-aws/sqs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"auditlog/transport/bus"
)

// metaUnreadable marks a received message of which something is missing; its value is the reason.
const metaUnreadable = "_unreadable"

// groupAttribute is where the marshaler leaves the group for the send's input.
var groupAttribute = string(types.MessageSystemAttributeNameMessageGroupId)

// marshaler makes SQS messages whose group is bus.MetaGroup. Metadata without a value are left out: the service refuses
// them.
type marshaler struct{}

func (marshaler) Marshal(m *message.Message) (*types.Message, error) {
	out := &types.Message{Body: aws.String(string(m.Payload)), MessageAttributes: attributes(m)}
	if group := m.Metadata.Get(bus.MetaGroup); group != "" {
		out.Attributes = map[string]string{groupAttribute: group}
	}
	return out, nil
}

func attributes(m *message.Message) map[string]types.MessageAttributeValue {
	out := make(map[string]types.MessageAttributeValue, 1+len(m.Metadata))
	put := func(name, value string) {
		if value != "" {
			out[name] = types.MessageAttributeValue{DataType: aws.String(wmsqs.AWSStringDataType), StringValue: &value}
		}
	}
	put(wmsqs.UUIDAttribute, m.UUID)
	for name, value := range m.Metadata {
		put(name, value)
	}
	return out
}

// sendInput makes the call of a marshaled message.
func sendInput(_ context.Context, url wmsqs.QueueURL, m *types.Message) (*awssqs.SendMessageInput, error) {
	in := &awssqs.SendMessageInput{QueueUrl: aws.String(string(url)), MessageBody: m.Body, MessageAttributes: m.MessageAttributes}
	if group, ok := m.Attributes[groupAttribute]; ok {
		in.MessageGroupId = &group
	}
	return in, nil
}

// unmarshal never fails: watermill-aws would receive such a message again and again. What is not as the marshaler makes it
// is marked, and the handler calls it poison.
func unmarshal(m *types.Message) *message.Message {
	meta := message.Metadata{}
	for name, v := range m.MessageAttributes {
		switch {
		case v.StringValue != nil:
			meta[name] = *v.StringValue
		case utf8.Valid(v.BinaryValue):
			meta[name] = string(v.BinaryValue)
		}
	}
	id := meta[wmsqs.UUIDAttribute]
	delete(meta, wmsqs.UUIDAttribute)
	delete(meta, metaUnreadable)
	if id == "" { // not from a marshaler of ours
		id = aws.ToString(m.MessageId)
	}
	if id == "" {
		id = watermill.NewULID()
	}
	if m.Body == nil {
		meta[metaUnreadable] = "message without a body"
	}
	out := message.NewMessage(id, []byte(aws.ToString(m.Body)))
	out.Metadata = meta
	return out
}
