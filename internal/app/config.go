package app

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"auditlog/transport/httpapi"
	"auditlog/transport/httpapi/auth"
)

// Config is what an App is made of. Zero values take the defaults.
type Config struct {
	Addr    string // AUDITLOG_ADDR: public listener; default 127.0.0.1:8080, port 0 takes a free one
	OpsAddr string // AUDITLOG_OPS_ADDR: ops listener; default 127.0.0.1:9090, port 0 takes a free one
	DataDir string // AUDITLOG_DATA_DIR; default ./data

	Parts Parts // where data lies; default all in the data dir

	JWTSecret Secret // AUDITLOG_JWT_SECRET: at least 32 bytes; default: generated in the data dir
	JWTIssuer string // AUDITLOG_JWT_ISSUER; default auditlog

	Origins        []string      // AUDITLOG_ORIGINS: pages that may open a stream, scheme://host[:port]
	RetentionFloor time.Duration // AUDITLOG_RETENTION_FLOOR: age below which nothing may be cleaned up; default 2160h (90 days)
	Drain          time.Duration // AUDITLOG_DRAIN: time that accepted requests get at the end; default 30s
	QueueEntries   int           // AUDITLOG_QUEUE_ENTRIES: entries that may wait to be appended; default 16384
	QueueBytes     int           // AUDITLOG_QUEUE_BYTES: the same in bytes; default 64 MiB

	Limits Limits // of what comes in

	KeysRestored bool // AUDITLOG_KEYS_RESTORED: the keyring came from a backup, so every tenant starts a new key epoch

	Duty       Duty     // what this process does; default Both
	WorkersOff bool     // AUDITLOG_WORKERS=off: Both without workers, for a while
	Only       []string // AUDITLOG_WORKER_PROJECTIONS: those that this process applies; default all
	BenchNull  bool     // adds the route that `auditlog bench` compares with
	BenchAlone bool     // commits every unit by itself, for `auditlog bench` to compare with
	Version    string
}

// Duty is what a process of a service does.
type Duty string

// The duties. Several processes share the parts of one service, each with a duty of its own.
const (
	Both        Duty = ""        // requests and workers
	APIOnly     Duty = "api"     // requests alone: no relay, projections, erasure or purge work
	WorkersOnly Duty = "worker"  // all but requests; the ops listener remains
	Offline     Duty = "offline" // one piece of work on the parts, e.g. a rebuild
)

func (c Config) serves() bool { return c.Duty == Both || c.Duty == APIOnly }

// applied are the projections that a process with workers applies.
func (c Config) applied() []string {
	if len(c.Only) == 0 {
		return Projections
	}
	return c.Only
}

func (c Config) works() bool { return c.Duty == WorkersOnly || c.Duty == Both && !c.WorkersOff }

// Secret is a text that no log and no message shows.
type Secret string

// String hides it, for fmt and for slog.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[redacted]"
}

// GoString hides it from %#v.
func (s Secret) GoString() string { return s.String() }

// Settings by the names under which users set them; errors carry them.
const (
	setAddr    = "AUDITLOG_ADDR (--addr)"
	setOps     = "AUDITLOG_OPS_ADDR (--ops-addr)"
	setDataDir = "AUDITLOG_DATA_DIR (--data-dir)"
	setSecret  = "AUDITLOG_JWT_SECRET (--jwt-secret)"
	setOrigins = "AUDITLOG_ORIGINS (--origins)"
	setFloor   = "AUDITLOG_RETENTION_FLOOR (--retention-floor)"
	setDrain   = "AUDITLOG_DRAIN (--drain)"
	setQueue   = "AUDITLOG_QUEUE_ENTRIES (--queue-entries)"
	setBytes   = "AUDITLOG_QUEUE_BYTES (--queue-bytes)"
	setOnly    = "AUDITLOG_WORKER_PROJECTIONS (--projections)"
)

// Bounds of settings.
const (
	maxRetentionFloor = 100 * 366 * 24 * time.Hour
	maxDrain          = time.Hour
	maxQueue          = 1 << 20
	maxQueueBytes     = 1 << 34
)

func (c Config) withDefaults() Config {
	for _, f := range []struct {
		field *string
		value string
	}{{&c.Addr, "127.0.0.1:8080"}, {&c.OpsAddr, "127.0.0.1:9090"}, {&c.DataDir, "./data"}, {&c.JWTIssuer, "auditlog"}, {&c.Version, "dev"}} {
		if *f.field == "" {
			*f.field = f.value
		}
	}
	c.Parts, c.Limits = c.Parts.withDefaults(c.DataDir), c.Limits.withDefaults()
	if c.RetentionFloor == 0 {
		c.RetentionFloor = 90 * 24 * time.Hour
	}
	if c.Drain == 0 {
		c.Drain = 30 * time.Second
	}
	if c.QueueEntries == 0 {
		c.QueueEntries = 16384
	}
	if c.QueueBytes == 0 {
		c.QueueBytes = 64 << 20
	}
	return c
}

// Validate names every setting that is out of its bounds, all at once.
func (c Config) Validate() error {
	c = c.withDefaults()
	var all []error
	complain := func(setting, format string, args ...any) {
		all = append(all, fmt.Errorf(setting+": "+format, args...))
	}
	for setting, addr := range map[string]string{setAddr: c.Addr, setOps: c.OpsAddr} {
		if _, port, err := net.SplitHostPort(addr); err != nil {
			complain(setting, "must be host:port, e.g. 127.0.0.1:8080")
		} else if _, err := net.LookupPort("tcp", port); err != nil {
			complain(setting, "the port must be a number from 0 to 65535")
		}
	}
	if c.JWTSecret != "" && len(c.JWTSecret) < auth.MinSecret {
		complain(setSecret, "has %d bytes; it needs at least %d", len(c.JWTSecret), auth.MinSecret)
	}
	if c.RetentionFloor < 0 || c.RetentionFloor > maxRetentionFloor {
		complain(setFloor, "must lie between 0 and %v", maxRetentionFloor)
	}
	if c.Drain < 0 || c.Drain > maxDrain {
		complain(setDrain, "must lie between 0 and %v", maxDrain)
	}
	if c.QueueEntries < 0 || c.QueueEntries > maxQueue {
		complain(setQueue, "must lie between 1 and %d", maxQueue)
	}
	if c.QueueBytes < 0 || c.QueueBytes > maxQueueBytes {
		complain(setBytes, "must lie between 1 and %d", maxQueueBytes)
	}
	if err := (httpapi.Config{Origins: c.Origins}).Validate(); err != nil {
		complain(setOrigins, "%w", err)
	}
	c.Limits.complain(complain)
	c.Parts.complain(complain)
	c.complainAboutSharing(complain)
	return errors.Join(all...)
}

// complainAboutSharing tells what keeps several processes from being one service.
func (c Config) complainAboutSharing(complain func(setting, format string, args ...any)) {
	if c.Duty == APIOnly || c.Duty == WorkersOnly {
		if c.Parts.embeddedStore() {
			complain(setStore, "is in the data dir of one process; a process of its own for %ss needs PostgreSQL, postgres://…", c.Duty)
		}
		if c.Parts.embeddedSearch() {
			complain(setSearch, "is in the data dir of one process; a process of its own for %ss needs OpenSearch, http://…", c.Duty)
		}
	}
	if !c.Parts.embeddedStore() && c.serves() && c.JWTSecret == "" {
		complain(setSecret, "must be given: all processes on one database share it")
	}
	for _, name := range c.Only {
		if !slices.Contains(Projections, name) {
			complain(setOnly, "%q is none of %s", name, strings.Join(Projections, ", "))
		}
	}
	if len(c.Only) > 0 && c.Parts.Bus != SQS {
		complain(setOnly, "needs %s to be %s: in one process every projection gets the relay's events", setBus, SQS)
	}
}
