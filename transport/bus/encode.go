package bus

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/zstd"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
	"auditlog/projection"
)

const (
	// MaxPayload bounds a payload in bytes: queue services bill by 64 KiB, and metadata needs room.
	MaxPayload = 60 << 10

	version     = 1
	kindEvents  = 1 // the events of the range follow
	kindPointer = 2 // the events are in the store

	maxFrame = MaxPayload / 4 * 3 // bytes before base64
	maxPlain = 8 << 20            // of one payload, uncompressed
)

// leastEvent is what an event takes in a frame at the least: its sealed part, its id and its hashes do not shrink.
const leastEvent = 64

var encoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2),
		zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // only unsound options can do it
	}
	return e
})

// Encode gives the payload of an envelope, at most MaxPayload bytes. Events that do not fit stay behind: the payload is a
// pointer to them. It fails on events that lie outside the range or, where they go along, whose public part is damaged.
func Encode(env projection.Envelope) ([]byte, error) {
	at := env.From
	for _, e := range env.Events {
		if e.Offset <= at || e.Offset > env.To || e.Shard != env.Shard {
			return nil, fmt.Errorf("encode envelope: event at shard %d, offset %d is not in its place", e.Shard, e.Offset)
		}
		at = e.Offset
	}
	if env.Pointer || !mayFit(env.Events) {
		return pointer(env), nil
	}
	var err error
	if env.Events, err = barePublics(env.Events); err != nil {
		return nil, err
	}
	if plain := appendEnvelope(make([]byte, 0, plainSize(env)), env); len(plain) <= maxPlain {
		if frame := compress(plain, kindEvents); len(frame) <= maxFrame {
			return armour(frame), nil
		}
	}
	return pointer(env), nil
}

// pointer is the payload of the range alone.
func pointer(env projection.Envelope) []byte {
	env.Events = nil
	return armour(compress(appendEnvelope(nil, env), kindPointer))
}

// mayFit guesses, on the large side, so that what cannot go along is not packed in vain.
func mayFit(events []eventstore.Event) bool {
	size := 0
	for i := range events {
		if size += leastEvent + len(events[i].Private); size > maxFrame {
			return false
		}
	}
	return true
}

// barePublics copies the events with their public parts in plain form.
func barePublics(events []eventstore.Event) ([]eventstore.Event, error) {
	bare := make([]eventstore.Event, len(events))
	plain := make([]byte, 0, 512*len(events))
	for i, e := range events {
		start := len(plain)
		var err error
		if plain, err = format.Bare(plain, e.Public); err != nil {
			return nil, fmt.Errorf("encode event %s: %w", e.ID, err)
		}
		e.Public = plain[start:len(plain):len(plain)]
		bare[i] = e
	}
	return bare, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// compress makes version, kind, the compressed bytes and a CRC-32C of all before it: zstd's own checksum leaves its
// header out.
func compress(plain []byte, kind byte) []byte {
	frame := encoder().EncodeAll(plain, []byte{version, kind})
	return binary.LittleEndian.AppendUint32(frame, crc32.Checksum(frame, castagnoli))
}

func armour(frame []byte) []byte {
	return base64.StdEncoding.AppendEncode(make([]byte, 0, base64.StdEncoding.EncodedLen(len(frame))), frame)
}

// plainSize is at least what appendEnvelope writes of any but the oddest envelope, and little more.
func plainSize(env projection.Envelope) int {
	size := 256 + 64*len(env.Events)
	for i := range env.Events {
		size += len(env.Events[i].Public) + len(env.Events[i].Private)
	}
	return size
}

// appendEnvelope writes the frame's content: shard, from, to, epoch, the tables of tenants and types, then the events.
// Integers are varints; offsets and times are differences to the event before.
func appendEnvelope(b []byte, env projection.Envelope) []byte {
	b = binary.AppendUvarint(b, uint64(env.Shard))
	b = binary.AppendUvarint(b, uint64(env.From))
	b = binary.AppendUvarint(b, uint64(env.To-env.From))
	b = binary.AppendUvarint(b, env.Epoch)
	tenants, types := map[eventstore.TenantID]uint64{}, map[eventstore.Type]uint64{}
	var tenantList, typeList []byte
	for _, e := range env.Events {
		if _, known := tenants[e.Tenant]; !known {
			tenants[e.Tenant] = uint64(len(tenants))
			tenantList = append(tenantList, e.Tenant[:]...)
		}
		if _, known := types[e.Type]; !known {
			types[e.Type] = uint64(len(types))
			typeList = appendBytes(typeList, []byte(e.Type))
		}
	}
	b = append(binary.AppendUvarint(b, uint64(len(tenants))), tenantList...)
	b = append(binary.AppendUvarint(b, uint64(len(types))), typeList...)
	b = binary.AppendUvarint(b, uint64(len(env.Events)))
	offset, at := env.From, eventstore.Micros(0)
	for _, e := range env.Events {
		b = binary.AppendUvarint(b, uint64(e.Offset-offset))
		b = binary.AppendVarint(b, int64(e.RecordedAt-at))
		offset, at = e.Offset, e.RecordedAt
		b = binary.AppendUvarint(b, tenants[e.Tenant])
		b = binary.AppendUvarint(b, uint64(e.Position))
		b = binary.AppendUvarint(b, types[e.Type])
		b = append(b, e.ID[:]...)
		b = append(b, e.EntryID[:]...)
		b = binary.AppendUvarint(b, uint64(e.Key.Epoch))
		b = binary.AppendUvarint(b, uint64(e.Key.Index))
		b = appendBytes(b, e.Public)
		b = appendBytes(b, e.Private)
	}
	return b
}

func appendBytes(b, s []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }
