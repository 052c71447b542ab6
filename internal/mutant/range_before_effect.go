//go:build mutant_range_before_effect

package mutant

// On is the seeded bug of this build.
const On = RangeBeforeEffect
