package sqs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go/middleware"
)

const (
	callTimeout = 15 * time.Second // of one call with the SDK's retries; a receive has its wait on top
	maxBytes    = 256 << 10        // of a batch: every region takes so much, and the service bills by 64 KiB anyway
)

func newClient(cfg Config) *awssqs.Client {
	return awssqs.NewFromConfig(cfg.AWS, withWholeBodies, withoutMD5, counted(cfg.OnCall), bounded)
}

// withoutMD5 leaves out the SDK's check of bodies by MD5, there and back: a payload has a checksum of its own.
func withoutMD5(o *awssqs.Options) { o.DisableMessageChecksumValidation = true }

// bounded makes the SDK's client wait no longer than callTimeout, unless the caller says how long.
func bounded(o *awssqs.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		bound := middleware.InitializeMiddlewareFunc("bound", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			if _, has := ctx.Deadline(); !has {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, callTimeout)
				defer cancel()
			}
			return next.HandleInitialize(ctx, in)
		})
		return stack.Initialize.Add(bound, middleware.Before)
	})
}

// counted makes the SDK's client report every request, retries included.
func counted(onCall func(operation string)) func(*awssqs.Options) {
	return func(o *awssqs.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			count := middleware.FinalizeMiddlewareFunc("count", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
				onCall(middleware.GetOperationName(ctx))
				return next.HandleFinalize(ctx, in)
			})
			return stack.Finalize.Add(count, middleware.After) // inside of the retries
		})
	}
}

// answered makes the SDK's client ask f first, by the operation's input. When f does not know it, the call goes out.
func answered(f func(ctx context.Context, params any) (result any, known bool, err error)) func(*awssqs.Options) {
	return func(o *awssqs.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			ask := middleware.InitializeMiddlewareFunc("batch", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, _ middleware.Metadata, err error) {
				result, known, err := f(ctx, in.Parameters)
				if known {
					return middleware.InitializeOutput{Result: result}, middleware.Metadata{}, err
				}
				return next.HandleInitialize(ctx, in)
			})
			return stack.Initialize.Add(ask, middleware.Before)
		})
	}
}

// entryErrors matches the failed entries of a batch with their items, whose entry ids are their indices.
func entryErrors(n int, failed []types.BatchResultErrorEntry, err error) []error {
	if err == nil && len(failed) == 0 {
		return nil
	}
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	for _, f := range failed {
		if i, bad := strconv.Atoi(aws.ToString(f.Id)); bad == nil && i >= 0 && i < n {
			errs[i] = fmt.Errorf("%s: %s", aws.ToString(f.Code), aws.ToString(f.Message))
		}
	}
	return errs
}

func entryID(i int) *string { return aws.String(strconv.Itoa(i)) }

// sends gathers single sends into batches, by queue.
type sends struct {
	client *awssqs.Client
	linger time.Duration
	mu     sync.Mutex // guards queues
	queues map[string]*batcher[*awssqs.SendMessageInput]
}

// answer is what the SDK asks first: a SendMessage waits for its place in a batch and for the batch's outcome.
func (s *sends) answer(ctx context.Context, params any) (any, bool, error) {
	in, ok := params.(*awssqs.SendMessageInput)
	if !ok {
		return nil, false, nil
	}
	select {
	case err := <-s.queue(aws.ToString(in.QueueUrl)).add(in):
		return &awssqs.SendMessageOutput{}, true, err
	case <-ctx.Done():
		return nil, true, ctx.Err()
	}
}

func (s *sends) queue(url string) *batcher[*awssqs.SendMessageInput] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues == nil {
		s.queues = map[string]*batcher[*awssqs.SendMessageInput]{}
	}
	b := s.queues[url]
	if b == nil {
		b = &batcher[*awssqs.SendMessageInput]{
			linger: s.linger, maxBytes: maxBytes, size: sendSize,
			send: func(batch []*awssqs.SendMessageInput) []error { return s.send(url, batch) },
		}
		s.queues[url] = b
	}
	return b
}

func (s *sends) send(url string, batch []*awssqs.SendMessageInput) []error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	entries := make([]types.SendMessageBatchRequestEntry, len(batch))
	for i, in := range batch {
		entries[i] = types.SendMessageBatchRequestEntry{
			Id: entryID(i), MessageBody: in.MessageBody, MessageAttributes: in.MessageAttributes, MessageGroupId: in.MessageGroupId,
		}
	}
	out, err := s.client.SendMessageBatch(ctx, &awssqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries})
	if err != nil {
		return entryErrors(len(batch), nil, err)
	}
	return entryErrors(len(batch), out.Failed, nil)
}

func (s *sends) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.queues {
		b.drain()
	}
}

// sendSize is what a message takes of a batch's bytes: body, and names, types and values of its attributes.
func sendSize(in *awssqs.SendMessageInput) int {
	n := len(aws.ToString(in.MessageBody))
	for name, v := range in.MessageAttributes {
		n += len(name) + len(aws.ToString(v.DataType)) + len(aws.ToString(v.StringValue)) + len(v.BinaryValue)
	}
	return n
}

// visibility is a message's new time of being invisible, from now.
type visibility struct {
	handle string
	d      time.Duration
}

// inflight deletes, extends and gives back the received messages of one queue, in batches.
type inflight struct {
	client  *awssqs.Client
	url     string
	log     *slog.Logger
	deletes *batcher[string]
	changes *batcher[visibility]
}

func newInflight(client *awssqs.Client, url string, linger time.Duration, log *slog.Logger) *inflight {
	f := &inflight{client: client, url: url, log: log}
	f.deletes = &batcher[string]{linger: linger, maxBytes: maxBytes, size: func(string) int { return 0 }, send: f.delete}
	f.changes = &batcher[visibility]{linger: linger, maxBytes: maxBytes, size: func(visibility) int { return 0 }, send: f.change}
	return f
}

func (f *inflight) delete(handles []string) []error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	entries := make([]types.DeleteMessageBatchRequestEntry, len(handles))
	for i := range handles {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: entryID(i), ReceiptHandle: &handles[i]}
	}
	out, err := f.client.DeleteMessageBatch(ctx, &awssqs.DeleteMessageBatchInput{QueueUrl: &f.url, Entries: entries})
	if err != nil {
		return f.report("messages not deleted, they will come again", entryErrors(len(handles), nil, err))
	}
	return f.report("messages not deleted, they will come again", entryErrors(len(handles), out.Failed, nil))
}

func (f *inflight) change(all []visibility) []error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(all))
	for i, v := range all {
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{Id: entryID(i), ReceiptHandle: &all[i].handle, VisibilityTimeout: seconds(v.d)}
	}
	out, err := f.client.ChangeMessageVisibilityBatch(ctx, &awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: &f.url, Entries: entries})
	if err != nil {
		return f.report("visibility of messages not changed", entryErrors(len(all), nil, err))
	}
	return f.report("visibility of messages not changed", entryErrors(len(all), out.Failed, nil))
}

// report logs what failed, once for a batch.
func (f *inflight) report(what string, errs []error) []error {
	n, first := 0, error(nil)
	for _, err := range errs {
		if err != nil {
			n, first = n+1, cmp.Or(first, err)
		}
	}
	if n > 0 {
		f.log.Warn(what, "queue", f.url, "messages", n, "error", first)
	}
	return errs
}

func (f *inflight) drain() {
	f.deletes.drain()
	f.changes.drain()
}

// missing tells whether the queue does not exist.
func missing(err error) bool {
	var gone *types.QueueDoesNotExist
	return errors.As(err, &gone)
}
