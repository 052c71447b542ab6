package command

import "auditlog/eventstore"

// parseTime reads an RFC 3339 §5.6 date-time: upper-case T and Z or ±hh:mm, a real date, seconds up to 59 (a leap second
// has no place in UTC microseconds), 1 to 9 digits of fraction, which are cut to microseconds towards the past.
func parseTime(s []byte) (eventstore.Micros, bool) {
	if len(s) < len("2006-01-02T15:04:05Z") || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	year, ok1 := digits(s[0:4])
	month, ok2 := digits(s[5:7])
	day, ok3 := digits(s[8:10])
	hour, ok4 := digits(s[11:13])
	minute, ok5 := digits(s[14:16])
	second, ok6 := digits(s[17:19])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6) || hour > 23 || minute > 59 || second > 59 || !isDate(year, month, day) {
		return 0, false
	}
	micros, rest, ok := fraction(s[19:])
	if !ok {
		return 0, false
	}
	offset, ok := zone(rest)
	if !ok {
		return 0, false
	}
	seconds := ((daysSince1970(year, month, day)*24+hour)*60+minute-offset)*60 + second
	return eventstore.Micros(seconds*1_000_000 + micros), true
}

// digits reads a decimal number of few digits.
func digits(s []byte) (n int64, ok bool) {
	for _, b := range s {
		if b < '0' || b > '9' {
			return 0, false
		}
		n = n*10 + int64(b-'0')
	}
	return n, true
}

// fraction reads an optional fraction of a second as whole microseconds.
func fraction(s []byte) (micros int64, rest []byte, ok bool) {
	if s[0] != '.' {
		return 0, s, true
	}
	end := 1
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		if end <= 6 {
			micros = micros*10 + int64(s[end]-'0')
		}
		end++
	}
	if end < 2 || end > 10 {
		return 0, nil, false
	}
	for i := end; i <= 6; i++ {
		micros *= 10
	}
	return micros, s[end:], true
}

// zone reads Z or ±hh:mm as minutes ahead of UTC.
func zone(s []byte) (minutes int64, ok bool) {
	if len(s) == 1 {
		return 0, s[0] == 'Z'
	}
	if len(s) != len("+hh:mm") || s[3] != ':' || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	h, ok1 := digits(s[1:3])
	m, ok2 := digits(s[4:6])
	if !ok1 || !ok2 || h > 23 || m > 59 {
		return 0, false
	}
	if s[0] == '-' {
		return -(h*60 + m), true
	}
	return h*60 + m, true
}

func isDate(year, month, day int64) bool {
	if month < 1 || month > 12 || day < 1 {
		return false
	}
	last := [...]int64{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[month-1]
	if month == 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0) {
		last = 29
	}
	return day <= last
}

// daysSince1970 counts in the proleptic Gregorian calendar. Years begin in March here, so that the leap day is the last.
func daysSince1970(year, month, day int64) int64 {
	if month <= 2 {
		year, month = year-1, month+12
	}
	year += 400 // above zero for any four-digit year, so that division rounds down
	leaps := year/4 - year/100 + year/400
	return year*365 + leaps + (153*(month-3)+2)/5 + day - 1 - (719468 + 146097)
}
