package stats

import (
	"context"
	"io"

	"auditlog/projection/readmodel"
)

const dumpRollups = `
	SELECT 'rollup', hex(n.id), r.unit, r.start, c.action, c.severity, c.outcome, c.resource_type, coalesce(hex(a.token), 'erased'), r.n
	FROM rollups r JOIN tenants n ON n.no = r.tenant JOIN combos c ON c.no = r.combo LEFT JOIN actors a ON a.no = r.actor`

const dumpEntries = `
	SELECT 'entry', hex(n.id), e.position, e.occurred, c.action, c.severity, c.outcome, c.resource_type, coalesce(hex(a.token), 'erased')
	FROM entries e JOIN tenants n ON n.no = e.tenant JOIN combos c ON c.no = e.combo LEFT JOIN actors a ON a.no = e.actor
	ORDER BY 2, 3`

const dumpActors = `
	SELECT 'actor', hex(n.id), hex(a.token), a.entries FROM actors a JOIN tenants n ON n.no = a.tenant ORDER BY 2, 3`

const inOrder = ` ORDER BY 2, 3, 4, 5, 6, 7, 8, 9`

// dump writes everything but the file's own numbers and samples.
func (f *file) dump(ctx context.Context, w io.Writer) error {
	return readmodel.Dump(ctx, f.DB.Read, w, dumpRollups+inOrder, dumpEntries, dumpActors, readmodel.DumpMarks)
}

// Digest implements readmodel.Model: the days' counts, which any difference of an entry's row shows in.
func (f *file) Digest(ctx context.Context, w io.Writer) error {
	return readmodel.Dump(ctx, f.DB.Read, w, dumpRollups+` WHERE r.unit = 1440`+inOrder, dumpActors, readmodel.DumpMarks)
}
