//go:build mutant_bigserial

package mutant

// On is the seeded bug of this build.
const On = Bigserial
