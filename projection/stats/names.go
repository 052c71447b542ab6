package stats

import (
	"context"
	"fmt"

	"auditlog/eventstore"
	"auditlog/internal/entry"
	"auditlog/projection/find"
)

// Names turns an actor's token into its id. sample is a position where the actor may occur.
type Names interface {
	ActorID(ctx context.Context, tenant eventstore.TenantID, token [32]byte, sample eventstore.Position) (string, error)
}

// Unknown is the name of an actor whose last readable entry was erased or purged after the counts were read.
const Unknown = "unknown"

// StoreNames reads names from the event store, at positions that find gives. Nothing is kept: an erased name is in no
// later answer.
type StoreNames struct {
	Find interface {
		Positions(ctx context.Context, tenant eventstore.TenantID, label string, token [32]byte, after eventstore.Position, limit int) ([]eventstore.Position, error)
	}
	Store interface {
		ReadPositions(ctx context.Context, tenant eventstore.TenantID, at []eventstore.Position) ([]eventstore.Event, error)
		About(ctx context.Context, tenant eventstore.TenantID, entries []eventstore.EventID) ([]eventstore.Event, error)
	}
	Opener entry.Opener
}

// candidates is how many of the actor's entries are looked at; those that find has but the store tells to be erased
// are passed over.
const candidates = 4

// ActorID implements Names.
func (n StoreNames) ActorID(ctx context.Context, tenant eventstore.TenantID, token [32]byte, sample eventstore.Position) (string, error) {
	at, err := n.Find.Positions(ctx, tenant, find.Actor, token, 0, candidates)
	if err != nil {
		return "", fmt.Errorf("name of actor: %w", err)
	}
	events, err := n.Store.ReadPositions(ctx, tenant, append([]eventstore.Position{sample}, at...))
	if err != nil {
		return "", fmt.Errorf("name of actor: %w", err)
	}
	for _, ev := range events {
		if ev.Type != eventstore.EntryRecorded {
			continue
		}
		if erased, err := n.erased(ctx, ev); err != nil || erased {
			if err != nil {
				return "", err
			}
			continue
		}
		o, err := n.Opener.Open(ctx, ev)
		if err != nil {
			return "", fmt.Errorf("name of actor: %w", err)
		}
		if o.Priv == nil {
			continue
		}
		own, err := n.Opener.Ring.Token(ctx, tenant, find.Actor, []byte(o.Priv.Actor.ID))
		if err != nil {
			return "", fmt.Errorf("name of actor: %w", err)
		}
		if own == token {
			return o.Priv.Actor.ID, nil
		}
	}
	return Unknown, nil
}

func (n StoreNames) erased(ctx context.Context, ev eventstore.Event) (bool, error) {
	about, err := n.Store.About(ctx, ev.Tenant, []eventstore.EventID{ev.ID})
	if err != nil {
		return false, fmt.Errorf("name of actor: %w", err)
	}
	for _, a := range about {
		if a.Type == eventstore.EntryErased {
			return true, nil
		}
	}
	return false, nil
}
