package sqs

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"pgregory.net/rapid"

	"auditlog/transport/bus"
)

// Whatever the service gives, there is a message with an id, and no mark comes from outside.
func TestUnmarshalNeverFails(t *testing.T) {
	text := rapid.OneOf(rapid.Just((*string)(nil)), rapid.Map(rapid.String(), func(s string) *string { return &s }))
	name := rapid.OneOf(rapid.SampledFrom([]string{"_watermill_message_uuid", metaUnreadable, bus.MetaGroup}), rapid.String())
	value := rapid.Custom(func(t *rapid.T) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: text.Draw(t, "type"), StringValue: text.Draw(t, "string"), BinaryValue: rapid.SliceOf(rapid.Byte()).Draw(t, "binary")}
	})
	rapid.Check(t, func(t *rapid.T) {
		m := &types.Message{Body: text.Draw(t, "body"), MessageId: text.Draw(t, "id"), MessageAttributes: rapid.MapOf(name, value).Draw(t, "attributes")}
		got := unmarshal(m)
		if got.UUID == "" || string(got.Payload) != aws.ToString(m.Body) {
			t.Fatalf("message %q with %q", got.UUID, got.Payload)
		}
		if marked := got.Metadata.Get(metaUnreadable) != ""; marked != (m.Body == nil) {
			t.Fatalf("marked %v, body there %v", marked, m.Body != nil)
		}
	})
}

func TestMarshalRoundTrip(t *testing.T) {
	m := message.NewMessage("id-1", []byte("payload"))
	m.Metadata = message.Metadata{bus.MetaGroup: "tenant-1", bus.MetaRange: "0:1-2", "empty": ""}
	sqs, err := marshaler{}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	in, err := sendInput(t.Context(), "http://queue", sqs)
	if err != nil || aws.ToString(in.MessageGroupId) != "tenant-1" || aws.ToString(in.QueueUrl) != "http://queue" {
		t.Fatalf("send input %+v, %v", in, err)
	}
	got := unmarshal(&types.Message{Body: in.MessageBody, MessageAttributes: in.MessageAttributes})
	if got.UUID != "id-1" || string(got.Payload) != "payload" || got.Metadata.Get(bus.MetaRange) != "0:1-2" || len(got.Metadata) != 2 {
		t.Errorf("came back as %q %q %v", got.UUID, got.Payload, got.Metadata)
	}
}

// A reason may quote what a message held: only what the service takes as an attribute is left of it.
func TestReasonText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "reason"))
		got := aws.ToString(text(s).StringValue)
		if got == "" || len(got) > maxReason || !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\x01\x1b\uffff") {
			t.Fatalf("%q", got)
		}
	})
	if got := aws.ToString(text(strings.Repeat("ä", maxReason)).StringValue); len(got) != maxReason {
		t.Errorf("%d bytes of a long reason", len(got))
	}
}
