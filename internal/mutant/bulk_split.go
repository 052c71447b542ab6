//go:build mutant_bulk_split

package mutant

// On is the seeded bug of this build.
const On = BulkSplit
