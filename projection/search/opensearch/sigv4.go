package opensearch

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/config"
)

// LoadSigV4 makes the signing settings of a service, "es" or "aoss", from the AWS SDK's settings of the environment and
// its files. Credentials are looked up with the first request.
func LoadSigV4(ctx context.Context, service string) (*SigV4, error) {
	if service != "es" && service != "aoss" {
		return nil, errors.New(`the service that requests are signed for is "es" or "aoss"`)
	}
	loaded, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	if loaded.Region == "" {
		return nil, errors.New("AWS_REGION: must name the cluster's region")
	}
	return &SigV4{Region: loaded.Region, Service: service, Credentials: loaded.Credentials}, nil
}
