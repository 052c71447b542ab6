package sqs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Redrive moves all dead letters back to the destination's queue and waits for the end of it. It tells how many were
// moved. When ctx ends the service goes on by itself.
func (q *Queues) Redrive(ctx context.Context, destination string) (moved int64, err error) {
	defer q.explain(&err)
	arns := [2]string{}
	for i, name := range []string{q.cfg.DeadQueue(destination), q.cfg.Queue(destination)} {
		url, err := q.url(ctx, name)
		if err != nil {
			return 0, err
		}
		if arns[i], err = q.arn(ctx, url); err != nil {
			return 0, err
		}
	}
	// The target is named: messages that came here as poison have no source queue of which the service knows.
	if _, err := q.client.StartMessageMoveTask(ctx, &awssqs.StartMessageMoveTaskInput{SourceArn: &arns[0], DestinationArn: &arns[1]}); err != nil {
		return 0, fmt.Errorf("redrive %s: %w", destination, err)
	}
	for {
		out, err := q.client.ListMessageMoveTasks(ctx, &awssqs.ListMessageMoveTasksInput{SourceArn: &arns[0], MaxResults: aws.Int32(1)})
		if err != nil {
			return 0, fmt.Errorf("redrive %s: %w", destination, err)
		}
		if len(out.Results) == 0 {
			return 0, fmt.Errorf("redrive %s: the service knows of no move", destination)
		}
		task := out.Results[0]
		switch aws.ToString(task.Status) {
		case "RUNNING":
			pause(ctx, 250*time.Millisecond)
			if ctx.Err() != nil {
				return task.ApproximateNumberOfMessagesMoved, ctx.Err()
			}
		case "COMPLETED":
			return task.ApproximateNumberOfMessagesMoved, nil
		default:
			return task.ApproximateNumberOfMessagesMoved, errors.New("redrive " + destination + ": " + aws.ToString(task.Status) + " " + aws.ToString(task.FailureReason))
		}
	}
}
