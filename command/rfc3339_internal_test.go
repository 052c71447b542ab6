package command

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"auditlog/eventstore"
)

func TestParseTime(t *testing.T) {
	for in, want := range map[string]string{
		"1970-01-01T00:00:00Z":                "1970-01-01T00:00:00.000000Z",
		"2024-02-29T23:59:59Z":                "2024-02-29T23:59:59.000000Z",
		"2000-02-29T12:00:00.5Z":              "2000-02-29T12:00:00.500000Z",
		"2026-11-23T10:15:00.123456789+05:30": "2026-11-23T04:45:00.123456Z",
		"2026-01-01T00:00:00.000001-23:59":    "2026-01-01T23:59:00.000001Z",
		"2026-11-23T10:15:00-00:00":           "2026-11-23T10:15:00.000000Z",
		"0000-01-01T00:00:00Z":                "0000-01-01T00:00:00.000000Z",
		"9999-12-31T23:59:59.999999Z":         "9999-12-31T23:59:59.999999Z",
	} {
		got, ok := parseTime([]byte(in))
		if !ok || got.String() != want {
			t.Errorf("%s: got %v %v, want %s", in, got, ok, want)
		}
	}
}

func TestParseTimeRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"F1 no such day": "2024-02-30T00:00:00Z", "F1 no leap year": "2023-02-29T00:00:00Z", "F1 century": "1900-02-29T00:00:00Z",
		"F1 hour 24": "2024-01-01T24:00:00Z", "F1 leap second": "2016-12-31T23:59:60Z", "F1 no zone": "2024-01-01T00:00:00",
		"F1 epoch": "1700000000", "F1 lower t": "2024-01-01t00:00:00Z", "F1 lower z": "2024-01-01T00:00:00z", "F1 zone +24:00": "2024-01-01T00:00:00+24:00",
		"F1 comma": "2024-01-01T00:00:00,5Z", "zone minutes": "2024-01-01T00:00:00+00:60", "no digits": "2024-01-01T00:00:00.Z",
		"ten digits": "2024-01-01T00:00:00.1234567890Z", "month 13": "2024-13-01T00:00:00Z", "month 0": "2024-00-01T00:00:00Z", "day 0": "2024-01-00T00:00:00Z",
		"day 31 of April": "2024-04-31T00:00:00Z", "minute 60": "2024-01-01T00:60:00Z", "space": "2024-01-01 00:00:00Z", "sign": "+024-01-01T00:00:00Z",
		"zone without colon": "2024-01-01T00:00:00+0000", "zone and Z": "2024-01-01T00:00:00+00:00Z", "tail": "2024-01-01T00:00:00Z ", "empty": "",
		"fraction to the end": "2024-01-01T00:00:00.123456", "letters": "2O24-01-01T00:00:00Z", "five-digit year": "12024-01-01T00:00:00Z",
	} {
		if got, ok := parseTime([]byte(in)); ok {
			t.Errorf("%s: %q was read as %s", name, in, got)
		}
	}
}

// TestParseTimeAgreesWithTime compares with package time on what both read.
func TestParseTimeAgreesWithTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02d", rapid.IntRange(0, 9999).Draw(t, "y"), rapid.IntRange(0, 13).Draw(t, "m"),
			rapid.IntRange(0, 32).Draw(t, "d"), rapid.IntRange(0, 24).Draw(t, "h"), rapid.IntRange(0, 60).Draw(t, "min"), rapid.IntRange(0, 60).Draw(t, "s"))
		if n := rapid.IntRange(0, 9).Draw(t, "digits"); n > 0 {
			in += "." + strings.Repeat(rapid.SampledFrom([]string{"0", "1", "9"}).Draw(t, "digit"), n)
		}
		in += rapid.SampledFrom([]string{"Z", "+00:00", "-07:30", "+23:59", "+24:00"}).Draw(t, "zone")
		want, err := time.Parse(time.RFC3339Nano, in)
		got, ok := parseTime([]byte(in))
		if strings.HasSuffix(in, "+24:00") && !ok {
			return // package time reads it
		}
		if ok != (err == nil) || ok && got != eventstore.Micros(want.UnixMicro()) {
			t.Fatalf("%s: got %v %v, want %v %v", in, got, ok, want, err)
		}
	})
}

func FuzzParseTime(f *testing.F) {
	f.Add("2026-11-23T10:15:00.123456Z")
	f.Add("2024-02-30T00:00:00+24:00")
	f.Fuzz(func(t *testing.T, in string) {
		got, ok := parseTime([]byte(in))
		if !ok {
			return
		}
		want, err := time.Parse(time.RFC3339Nano, in)
		if err != nil || got != eventstore.Micros(want.UnixMicro()) {
			t.Errorf("%q: read as %v; package time: %v, %v", in, got, want, err)
		}
	})
}

func BenchmarkParseTime(b *testing.B) {
	in := []byte("2026-11-23T10:15:00.123456Z")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := parseTime(in); !ok {
			b.Fatal("refused")
		}
	}
}
