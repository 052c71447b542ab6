package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"auditlog/transport/bus/sqs"
)

// removeQueues deletes every queue of the stack's prefix.
func (s *stack) removeQueues(ctx context.Context) error {
	if !s.prepared {
		return nil
	}
	cfg, err := sqs.LoadAWS(ctx)
	if err != nil {
		return err
	}
	client := awssqs.NewFromConfig(cfg)
	list, err := client.ListQueues(ctx, &awssqs.ListQueuesInput{QueueNamePrefix: aws.String(s.name + "-")})
	if err != nil {
		return err
	}
	var errs []error
	for _, queue := range list.QueueUrls {
		_, err := client.DeleteQueue(ctx, &awssqs.DeleteQueueInput{QueueUrl: &queue})
		var gone *types.QueueDoesNotExist
		if !errors.As(err, &gone) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removeIndices deletes the indices and the template of the stack's prefix.
func (s *stack) removeIndices(ctx context.Context) error {
	if !s.prepared {
		return nil
	}
	var errs []error
	for list, path := range map[string]string{"/_cat/indices/" + s.name + "-*?h=index": "/", "/_cat/templates/" + s.name + "?h=name": "/_index_template/"} {
		names, err := s.search(ctx, http.MethodGet, list, nil)
		errs = append(errs, err)
		for _, name := range strings.Fields(string(names)) {
			_, err := s.search(ctx, http.MethodDelete, path+name, nil)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// errBusy says that the search server has no room for a request right now.
var errBusy = errors.New("the search server is busy")

// search sends a request to the search server, which must answer 2xx.
func (s *stack) search(ctx context.Context, method, path string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.Servers.Search+path, body)
	if err != nil {
		return nil, fmt.Errorf("--search: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s answers %d %.300s", method, path, resp.StatusCode, answer)
		if resp.StatusCode == http.StatusTooManyRequests {
			err = fmt.Errorf("%w: %w", errBusy, err)
		}
	}
	return answer, err
}
