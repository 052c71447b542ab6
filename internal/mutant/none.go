//go:build !mutant_ack_before_commit && !mutant_bigserial && !mutant_no_dedup && !mutant_range_before_effect && !mutant_cursor_before_publish && !mutant_fence_ignored && !mutant_stale_save && !mutant_withdrawn_stored && !mutant_bulk_split && !mutant_doubt_refused

package mutant

// On is the seeded bug of this build.
const On = ""
