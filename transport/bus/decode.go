package bus

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"sync"

	"github.com/klauspost/compress/zstd"

	"auditlog/eventstore"
	"auditlog/projection"
)

var decoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxPlain), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err) // only unsound options can do it
	}
	return d
})

var errShort = errors.New("ends too early")

// Decode reads a payload. Every error is a *projection.Poison.
func Decode(payload []byte) (projection.Envelope, error) {
	env, err := decode(payload)
	if err != nil {
		return projection.Envelope{}, &projection.Poison{Err: fmt.Errorf("decode envelope: %w", err)}
	}
	return env, nil
}

func decode(payload []byte) (env projection.Envelope, err error) {
	if len(payload) > MaxPayload {
		return env, fmt.Errorf("%d bytes, more than %d", len(payload), MaxPayload)
	}
	if bytes.ContainsAny(payload, "\r\n") { // the decoder passes over them
		return env, errors.New("holds line breaks")
	}
	frame, err := base64.StdEncoding.Strict().AppendDecode(nil, payload)
	if err != nil {
		return env, err
	}
	if len(frame) < 6 {
		return env, errShort
	}
	frame, sum := frame[:len(frame)-4], binary.LittleEndian.Uint32(frame[len(frame)-4:])
	if crc32.Checksum(frame, castagnoli) != sum {
		return env, errors.New("checksum is wrong")
	}
	if frame[0] != version {
		return env, fmt.Errorf("version %d is unknown", frame[0])
	}
	if frame[1] != kindEvents && frame[1] != kindPointer {
		return env, fmt.Errorf("kind %d is unknown", frame[1])
	}
	plain, err := decoder().DecodeAll(frame[2:], nil)
	if err != nil {
		return env, err
	}
	r := reader{b: plain}
	env = r.envelope()
	env.Pointer = frame[1] == kindPointer
	switch {
	case r.err != nil:
		return env, r.err
	case len(r.b) > 0:
		return env, fmt.Errorf("%d bytes too many", len(r.b))
	case env.Pointer && len(env.Events) > 0:
		return env, errors.New("a pointer holds events")
	}
	return env, nil
}

// reader takes values off b; after the first failure it yields zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) uint(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	if v > most {
		r.fail(fmt.Errorf("a number is %d, more than %d", v, most))
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail(errShort)
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

// count reads the length of a list whose elements take at least each bytes.
func (r *reader) count(each int) int { return int(r.uint(uint64(len(r.b) / each))) }

func (r *reader) id() (id [16]byte) {
	copy(id[:], r.bytes(16))
	return id
}

func (r *reader) envelope() projection.Envelope {
	env := projection.Envelope{Shard: eventstore.Shard(r.uint(math.MaxUint16)), From: eventstore.Offset(r.uint(math.MaxInt64))}
	env.To = env.From + eventstore.Offset(r.uint(uint64(math.MaxInt64-env.From)))
	env.Epoch = r.uint(math.MaxUint64)
	tenants := make([]eventstore.TenantID, r.count(16))
	for i := range tenants {
		tenants[i] = r.id()
	}
	types := make([]eventstore.Type, r.count(1))
	for i := range types {
		types[i] = eventstore.Type(r.bytes(r.uint(math.MaxUint16)))
	}
	n := r.count(40)
	if n == 0 || r.err != nil {
		return env
	}
	env.Events = make([]eventstore.Event, n)
	offset, at := env.From, eventstore.Micros(0)
	for i := range env.Events {
		e := &env.Events[i]
		e.Shard = env.Shard
		e.Offset = offset + eventstore.Offset(r.uint(uint64(env.To-offset)))
		if e.Offset == offset {
			r.fail(errors.New("offsets do not ascend"))
		}
		e.RecordedAt = at + eventstore.Micros(r.int())
		offset, at = e.Offset, e.RecordedAt
		if t := r.uint(math.MaxUint32); t < uint64(len(tenants)) {
			e.Tenant = tenants[t]
		} else {
			r.fail(errors.New("an event names no tenant"))
		}
		e.Position = eventstore.Position(r.uint(math.MaxInt64))
		if t := r.uint(math.MaxUint32); t < uint64(len(types)) {
			e.Type = types[t]
		} else {
			r.fail(errors.New("an event names no type"))
		}
		e.ID, e.EntryID = r.id(), r.id()
		e.Key = eventstore.KeyRef{Epoch: uint32(r.uint(math.MaxUint32)), Index: uint32(r.uint(math.MaxUint32))}
		e.Public = r.bytes(r.uint(maxPlain))
		e.Private = r.bytes(r.uint(maxPlain))
		if r.err != nil {
			return env
		}
	}
	return env
}
