//go:build mutant_cursor_before_publish

package mutant

// On is the seeded bug of this build.
const On = CursorBeforePublish
