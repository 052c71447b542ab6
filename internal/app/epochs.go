package app

import (
	"context"
	"fmt"

	"auditlog/eventstore"
)

// startEpochs starts a new key epoch for every tenant. A keyring that was restored from a backup has forgotten the leases
// that came after it: going on in the same epoch would seal a second message under a key that has sealed one.
func (p *parts) startEpochs(ctx context.Context) error {
	for after := (eventstore.TenantID{}); ; {
		page, err := p.store.Tenants(ctx, after, 500)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, t := range page {
			if err := p.ring.StartEpoch(ctx, t.ID); err != nil {
				return fmt.Errorf("%s: start a key epoch for tenant %s: %w", setKeys, t.ID, err)
			}
		}
		after = page[len(page)-1].ID
	}
}
