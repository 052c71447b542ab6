package sqs

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
)

// wholeBodies gives net/http request bodies that lie in memory, of a type that it knows.
//
// The SDK's own type it does not know, so it sends the head and then the body straight to the connection, and only then
// looks whether the body has ended. When the answer is faster than that look, the SDK has closed the body by then; the
// look fails with EOF, and the connection is cut while the answer is being read (smithy-go v1.28.8, Request.Build and
// ClientHandler.Handle; net/http, transferWriter.writeBody). The SDK tries again, and what a receive had brought is
// gone until its visibility timeout. Against a server near by, on a busy machine, that was one receive in a thousand.
type wholeBodies struct{ client aws.HTTPClient }

func (w wholeBodies) Do(req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.ContentLength <= 0 {
		return w.client.Do(req)
	}
	body := make([]byte, req.ContentLength)
	if _, err := io.ReadFull(req.Body, body); err != nil {
		return nil, fmt.Errorf("request body: %w", err)
	}
	whole := req.WithContext(req.Context()) // the SDK closes the body of its own
	whole.Body = io.NopCloser(bytes.NewReader(body))
	return w.client.Do(whole)
}

func withWholeBodies(o *awssqs.Options) { o.HTTPClient = wholeBodies{o.HTTPClient} }
