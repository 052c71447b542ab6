//go:build mutant_withdrawn_stored

package mutant

// On is the seeded bug of this build.
const On = WithdrawnStored
