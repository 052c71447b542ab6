//go:build mutant_stale_save

package mutant

// On is the seeded bug of this build.
const On = StaleSave
