//go:build mutant_no_dedup

package mutant

// On is the seeded bug of this build.
const On = NoDedup
