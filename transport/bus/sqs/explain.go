package sqs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
)

// Explain names the setting or the right that an error of the service comes from, where there is one.
func (c Config) Explain(err error) error {
	var (
		identity *noCredentials
		api      smithy.APIError
		network  net.Error
		foreign  *smithy.DeserializationError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &identity):
		return fmt.Errorf("no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the task a role: %w", err)
	case errors.As(err, &api):
		return c.explainAnswer(err, api.ErrorCode())
	case errors.As(err, &network):
		return fmt.Errorf("no answer from the SQS server at %s: %w", c.server(), err)
	case errors.As(err, &foreign):
		return fmt.Errorf("no SQS server answers at %s: %w", c.server(), err)
	}
	return err
}

// explainAnswer goes by the codes of https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html.
func (c Config) explainAnswer(err error, code string) error {
	switch code {
	case "AccessDenied", "AccessDeniedException", "AuthorizationErrorException", "NotAuthorized", "OptInRequired":
		var call *smithy.OperationError
		what := "this"
		if errors.As(err, &call) {
			what = "sqs:" + strings.TrimSuffix(call.Operation(), "Batch") // a batch needs the right of the single call
		}
		return fmt.Errorf("the AWS credentials are not allowed %s: %w", what, err)
	case "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature",
		"MissingAuthenticationToken", "ExpiredToken", "ExpiredTokenException", "InvalidSecurity":
		return fmt.Errorf("the AWS credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the task's role) are refused by %s: %w", c.server(), err)
	case "UnknownError", "UnknownOperationException", "InvalidAction":
		return fmt.Errorf("no SQS server answers at %s: %w", c.server(), err)
	}
	return err
}

// server names the setting that says where the server is, which the client knows best.
func (c Config) server() string {
	if url := awssqs.NewFromConfig(c.AWS).Options().BaseEndpoint; url != nil {
		return "AWS_ENDPOINT_URL_SQS=" + *url
	}
	return "AWS_REGION=" + c.AWS.Region + " (AWS_ENDPOINT_URL_SQS is not set)"
}

// noCredentials is what went wrong where the SDK looked for credentials.
type noCredentials struct{ error }

func (e *noCredentials) Unwrap() error { return e.error }

// credentials makes the errors of finding them recognizable.
type credentials struct{ aws.CredentialsProvider }

func (c credentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return found, &noCredentials{err}
	}
	return found, nil
}
