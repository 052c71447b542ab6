package readmodel

import (
	"context"
	"errors"
)

// Prepare makes, or brings up to date, what a Database needs before its first Open, as the role that owns the database:
// the list of generations, and what the service role may do with it. service is the role whose address Database gets.
func Prepare(ctx context.Context, owner, service string, o DatabaseOptions) error {
	return errors.New("projections cannot be kept on PostgreSQL yet")
}
