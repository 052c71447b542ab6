//go:build mutant_ack_before_commit

package mutant

// On is the seeded bug of this build.
const On = AckBeforeCommit
