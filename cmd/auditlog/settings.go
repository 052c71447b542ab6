package main

import (
	"log/slog"
	"os"
	"time"

	"auditlog/internal/app"
)

// dataFlags are the settings that say where a service's data and secrets are.
type dataFlags struct {
	DataDir   string `name:"data-dir" env:"AUDITLOG_DATA_DIR" default:"./data" placeholder:"DIR" help:"Folder of the embedded store, index and keys (${default})."`
	Keys      string `env:"AUDITLOG_KEYS" placeholder:"DIR" help:"Folder of the keyring, a store of its own (default: keys in the data dir)."`
	JWTSecret string `name:"jwt-secret" env:"AUDITLOG_JWT_SECRET" placeholder:"TEXT" help:"Secret that signs tokens, at least 32 bytes (default: generated in the data dir)."`
	JWTIssuer string `name:"jwt-issuer" env:"AUDITLOG_JWT_ISSUER" default:"auditlog" placeholder:"NAME" help:"Issuer that tokens must name (${default})."`
}

func (f dataFlags) config() app.Config {
	return app.Config{DataDir: f.DataDir, Keys: f.Keys, JWTSecret: app.Secret(f.JWTSecret), JWTIssuer: f.JWTIssuer, Version: version()}
}

// serviceFlags are all settings of a service.
type serviceFlags struct {
	dataFlags      `embed:""`
	Addr           string        `env:"AUDITLOG_ADDR" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Public listener (${default}); port 0 takes a free one."`
	OpsAddr        string        `name:"ops-addr" env:"AUDITLOG_OPS_ADDR" default:"127.0.0.1:9090" placeholder:"HOST:PORT" help:"Listener for health, metrics and operations (${default})."`
	Store          string        `env:"AUDITLOG_STORE" default:"embedded" enum:"embedded" help:"Event store: ${enum} (SQLite in the data dir)."`
	Bus            string        `env:"AUDITLOG_BUS" default:"inproc" enum:"inproc" help:"Bus between store and projections: ${enum}."`
	Search         string        `env:"AUDITLOG_SEARCH" default:"embedded" enum:"embedded" help:"Search index: ${enum} (SQLite FTS5 in the data dir)."`
	Workers        string        `env:"AUDITLOG_WORKERS" default:"on" enum:"on,off" help:"Relay, projections, erasure and purge work in this process: ${enum} (${default}). While off, reads do not see new entries."`
	Origins        []string      `env:"AUDITLOG_ORIGINS" placeholder:"ORIGIN" help:"Pages besides the service's own that may open a live stream, scheme://host[:port] (none)."`
	RetentionFloor time.Duration `name:"retention-floor" env:"AUDITLOG_RETENTION_FLOOR" default:"2160h" placeholder:"AGE" help:"Age below which nothing may be cleaned up (${default}, 90 days)."`
	Drain          time.Duration `env:"AUDITLOG_DRAIN" default:"30s" placeholder:"TIME" help:"Time that accepted requests get when the service ends (${default})."`
	QueueEntries   int           `name:"queue-entries" env:"AUDITLOG_QUEUE_ENTRIES" default:"16384" placeholder:"N" help:"Entries that may wait to be appended before writes are answered 503 (${default})."`
	KeysRestored   bool          `name:"keys-restored" env:"AUDITLOG_KEYS_RESTORED" help:"The keyring was restored from a backup: start new key epochs, so that no key is used twice. Give it once, at the first start after the restore."`
	logFlags       `embed:""`
}

func (f serviceFlags) config() app.Config {
	c := f.dataFlags.config()
	c.Addr, c.OpsAddr, c.Origins, c.RetentionFloor, c.Drain = f.Addr, f.OpsAddr, f.Origins, f.RetentionFloor, f.Drain
	c.QueueEntries, c.WorkersOff, c.KeysRestored = f.QueueEntries, f.Workers == "off", f.KeysRestored
	return c
}

// logFlags say how the log is written, to standard error.
type logFlags struct {
	LogLevel  slog.Level `name:"log-level" env:"AUDITLOG_LOG_LEVEL" default:"INFO" placeholder:"LEVEL" help:"Least level that is logged: DEBUG, INFO, WARN or ERROR (${default})."`
	LogFormat string     `name:"log-format" env:"AUDITLOG_LOG_FORMAT" default:"text" enum:"text,json" help:"Form of the log: ${enum} (${default})."`
}

func (f logFlags) logger(w *os.File) *slog.Logger {
	o := &slog.HandlerOptions{Level: f.LogLevel}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
