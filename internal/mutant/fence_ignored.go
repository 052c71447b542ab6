//go:build mutant_fence_ignored

package mutant

// On is the seeded bug of this build.
const On = FenceIgnored
