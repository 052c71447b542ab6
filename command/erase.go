package command

import (
	"context"

	"auditlog/eventstore"
	"auditlog/eventstore/format"
)

// Erase makes an entry unreadable and answers with the id of the event that did. From that event's commit every read
// shows the entry as erased; a worker with a cursor destroys its keys after, whatever happens here. A second erasure
// appends nothing and answers with the first's event. Errors: NotFound, Purged, and Record's.
func (c *Commands) Erase(ctx context.Context, who Caller, id eventstore.EventID, reason string) (eventstore.EventID, error) {
	out, err := c.appendAbout(ctx, who,
		format.Public{Type: eventstore.EntryErased, EntryID: id},
		format.Private{Reason: reason})
	if err != nil {
		return eventstore.EventID{}, err
	}
	if out.Status == eventstore.TargetErased {
		return out.ID, nil
	}
	if problem := refusal(out.Status, ""); problem != nil {
		return eventstore.EventID{}, problem
	}
	return out.ID, nil
}
