package stats

import (
	"context"
	"io"

	"auditlog/projection/readmodel"
)

const dumpRollups = `
	SELECT 'rollup', hex(n.id), r.unit, r.start,
		CASE r.kind WHEN 1 THEN concat_ws(' ', c.action, c.severity, c.outcome, c.resource_type) ELSE CASE WHEN a.token IS NULL THEN 'erased' ELSE hex(a.token) END END, r.n
	FROM rollups r JOIN tenants n ON n.no = r.tenant
	LEFT JOIN combos c ON r.kind = 1 AND c.no = r.key LEFT JOIN actors a ON r.kind = 2 AND a.no = r.key`

const dumpEntries = `
	SELECT 'entry', hex(n.id), e.position, e.occurred, c.action, c.severity, c.outcome, c.resource_type, CASE WHEN a.token IS NULL THEN 'erased' ELSE hex(a.token) END
	FROM entries e JOIN tenants n ON n.no = e.tenant JOIN combos c ON c.no = e.combo LEFT JOIN actors a ON a.no = e.actor
	ORDER BY 2, 3`

const dumpActors = `
	SELECT 'actor', hex(n.id), hex(a.token), a.entries FROM actors a JOIN tenants n ON n.no = a.tenant ORDER BY 2, 3`

const inOrder = ` ORDER BY 2, 3, 4, 5`

// dump writes everything but the tables' own numbers and samples.
func (f *tables) dump(ctx context.Context, w io.Writer) error {
	return readmodel.Dump(ctx, f.DB.Read, w, dumpRollups+inOrder, dumpEntries, dumpActors, readmodel.DumpMarks)
}

// Digest implements readmodel.Model: the days' counts, which any difference of an entry's row shows in.
func (f *tables) Digest(ctx context.Context, w io.Writer) error {
	return readmodel.Dump(ctx, f.DB.Read, w, dumpRollups+` WHERE r.unit = 1440`+inOrder, dumpActors, readmodel.DumpMarks)
}
