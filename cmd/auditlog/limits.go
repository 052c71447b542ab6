package main

import "auditlog/internal/app"

// limitFlags are bounds of what a process takes in.
type limitFlags struct {
	Requests int      `name:"limit-requests" env:"AUDITLOG_LIMIT_REQUESTS" default:"1000" placeholder:"N" help:"Writes a second that a tenant may send, on average; twice as many at once after a rest, as with all rates. Processes on one database share it; 0 is no limit (${default})."`
	Entries  int      `name:"limit-entries" env:"AUDITLOG_LIMIT_ENTRIES" default:"10000" placeholder:"N" help:"Entries a second that a tenant may send; 0 is no limit (${default})."`
	Tenants  []string `name:"limit-tenants" env:"AUDITLOG_LIMIT_TENANTS" placeholder:"ID=N/M" help:"Tenants with rates of their own: N writes and M entries a second, 0 is no limit (none)."`
	Searches int      `name:"limit-searches" env:"AUDITLOG_LIMIT_SEARCHES" default:"50" placeholder:"N" help:"Searches, and other reads but the next two, a second of one principal; 0 is no limit (${default})."`
	Stats    int      `name:"limit-stats" env:"AUDITLOG_LIMIT_STATS" default:"10" placeholder:"N" help:"Statistics a second of one principal; 0 is no limit (${default})."`
	Exports  int      `name:"limit-exports" env:"AUDITLOG_LIMIT_EXPORTS" default:"60" placeholder:"N" help:"Exports an hour of one principal; 0 is no limit (${default})."`
	Writes   int      `name:"inflight-writes" env:"AUDITLOG_INFLIGHT_WRITES" default:"512" placeholder:"N" help:"Writes in progress at once in this process, beyond which they are answered 503; 0 is no bound (${default})."`
	Reads    int      `name:"inflight-reads" env:"AUDITLOG_INFLIGHT_READS" default:"128" placeholder:"N" help:"Reads likewise, live streams apart; half of them may be exports and replays; 0 is no bound (${default})."`
	Bodies   int      `name:"inflight-bodies" env:"AUDITLOG_INFLIGHT_BODIES" default:"64" placeholder:"MIB" help:"MiB of request bodies in memory at once, beyond which writes are answered 503; 0 is no bound (${default})."`
	Proxies  []string `name:"trusted-proxies" env:"AUDITLOG_TRUSTED_PROXIES" placeholder:"RANGE" help:"Address ranges of proxies whose X-Forwarded-For names the client in the log, e.g. 10.0.0.0/8 (none)."`
}

func (f limitFlags) limits() app.Limits {
	off := func(n int) int {
		if n == 0 {
			return app.Off
		}
		return n
	}
	return app.Limits{
		Requests: off(f.Requests), Entries: off(f.Entries), Tenants: f.Tenants, Searches: off(f.Searches), Stats: off(f.Stats), Exports: off(f.Exports),
		Writes: off(f.Writes), Reads: off(f.Reads), Bodies: off(f.Bodies), TrustedProxies: f.Proxies,
	}
}
