//go:build mutant_doubt_refused

package mutant

// On is the seeded bug of this build.
const On = DoubtRefused
