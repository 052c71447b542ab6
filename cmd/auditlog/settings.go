package main

import (
	"log/slog"
	"os"
	"time"

	"auditlog/internal/app"
)

// secretFlags are the settings that say what tokens are signed with.
type secretFlags struct {
	DataDir   string `name:"data-dir" env:"AUDITLOG_DATA_DIR" default:"./data" placeholder:"DIR" help:"Folder of what is embedded: store, index, keys (${default})."`
	JWTSecret string `name:"jwt-secret" env:"AUDITLOG_JWT_SECRET" placeholder:"TEXT" help:"Secret that signs tokens, at least 32 bytes (default: generated in the data dir)."`
	JWTIssuer string `name:"jwt-issuer" env:"AUDITLOG_JWT_ISSUER" default:"auditlog" placeholder:"NAME" help:"Issuer that tokens must name (${default})."`
}

func (f secretFlags) config() app.Config {
	return app.Config{DataDir: f.DataDir, JWTSecret: app.Secret(f.JWTSecret), JWTIssuer: f.JWTIssuer, Version: version()}
}

// dataFlags are the settings that say where a service's data and secrets are.
type dataFlags struct {
	secretFlags `embed:""`
	partFlags   `embed:""`
}

func (f dataFlags) config() app.Config {
	c := f.secretFlags.config()
	c.Parts = f.parts()
	return c
}

// databaseFlags name the databases.
type databaseFlags struct {
	Store       string `env:"AUDITLOG_STORE" default:"embedded" placeholder:"ADDRESS" help:"Event store: embedded (SQLite in the data dir), or a PostgreSQL database as the service's role: postgres://role:password@host/database (${default})."`
	Lifecycle   string `env:"AUDITLOG_LIFECYCLE" placeholder:"ADDRESS" help:"The same database as the lifecycle role, the only one that removes events."`
	Projections string `name:"projections-db" env:"AUDITLOG_PROJECTIONS" placeholder:"ADDRESS" help:"PostgreSQL database of rollups, cursors and leases (default: that of the store)."`
	Keys        string `env:"AUDITLOG_KEYS" placeholder:"DIR|ADDRESS" help:"Keyring, a store of its own: a folder, or a PostgreSQL database that no other part uses (default: keys in the data dir)."`
}

func (f databaseFlags) parts() app.Parts {
	return app.Parts{Store: app.Secret(f.Store), Lifecycle: app.Secret(f.Lifecycle), Projections: app.Secret(f.Projections), Keys: app.Secret(f.Keys)}
}

// partFlags name all that a service is made of.
type partFlags struct {
	databaseFlags `embed:""`
	KeySecret     string      `name:"keys-secret" env:"AUDITLOG_KEYS_SECRET" placeholder:"TEXT" help:"Secret that wraps the tenants' keys in a key database, at least 32 bytes. Without it they are lost: keep it apart from the database and its backups."`
	Bus           string      `env:"AUDITLOG_BUS" default:"inproc" placeholder:"inproc|sqs" help:"Bus between store and projections: inproc, or sqs by the AWS SDK's settings (AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL_SQS, …) (${default})."`
	QueuePrefix   string      `name:"queue-prefix" env:"AUDITLOG_QUEUE_PREFIX" default:"auditlog-" placeholder:"TEXT" help:"What the queues' names begin with (${default})."`
	Search        string      `env:"AUDITLOG_SEARCH" default:"embedded" placeholder:"ADDRESS" help:"Search index: embedded (SQLite FTS5 in the data dir), or the nodes of an OpenSearch cluster: https://host:9200,… (${default})."`
	SearchMore    searchFlags `embed:"" prefix:"search-"`
}

// searchFlags are settings of an index on OpenSearch.
type searchFlags struct {
	Prefix   string        `env:"AUDITLOG_SEARCH_PREFIX" default:"auditlog" placeholder:"TEXT" help:"What its indices' names begin with (${default})."`
	Username string        `env:"AUDITLOG_SEARCH_USERNAME" placeholder:"NAME" help:"For basic authentication (none)."`
	Password string        `env:"AUDITLOG_SEARCH_PASSWORD" placeholder:"TEXT" help:"For basic authentication."`
	CAFile   string        `name:"ca-file" env:"AUDITLOG_SEARCH_CA_FILE" placeholder:"FILE" help:"PEM file of the authorities that sign its certificate (the system's)."`
	SigV4    string        `name:"sigv4" env:"AUDITLOG_SEARCH_SIGV4" placeholder:"es|aoss" help:"Sign requests for the managed service, by the AWS SDK's settings (none)."`
	Replicas int           `env:"AUDITLOG_SEARCH_REPLICAS" placeholder:"N" help:"Copies of each index (0)."`
	Refresh  time.Duration `env:"AUDITLOG_SEARCH_REFRESH" default:"1s" placeholder:"TIME" help:"Least time between two refreshes of the index, which make entries findable (${default})."`
	OwnIndex []string      `name:"own-index" env:"AUDITLOG_SEARCH_OWN_INDEX" placeholder:"TENANT" help:"Ids of tenants with indices of their own; a change takes effect with the next rebuild (none)."`
}

func (f partFlags) parts() app.Parts {
	p, m := f.databaseFlags.parts(), f.SearchMore
	p.KeySecret, p.Bus, p.QueuePrefix = app.Secret(f.KeySecret), f.Bus, f.QueuePrefix
	p.Search = app.SearchPart{
		Address: f.Search, Prefix: m.Prefix, Username: m.Username, Password: app.Secret(m.Password), CAFile: m.CAFile,
		SigV4: m.SigV4, Replicas: m.Replicas, Refresh: m.Refresh, Own: m.OwnIndex,
	}
	return p
}

// opsFlags are settings of every process that runs.
type opsFlags struct {
	OpsAddr string        `name:"ops-addr" env:"AUDITLOG_OPS_ADDR" default:"127.0.0.1:9090" placeholder:"HOST:PORT" help:"Listener for health, metrics and operations (${default})."`
	Drain   time.Duration `env:"AUDITLOG_DRAIN" default:"30s" placeholder:"TIME" help:"Time that accepted requests and messages in work get when the process ends (${default})."`
}

// apiFlags are settings of a process that takes requests.
type apiFlags struct {
	dataFlags      `embed:""`
	opsFlags       `embed:""`
	Addr           string        `env:"AUDITLOG_ADDR" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Public listener (${default}); port 0 takes a free one."`
	Origins        []string      `env:"AUDITLOG_ORIGINS" placeholder:"ORIGIN" help:"Pages besides the service's own that may open a live stream, scheme://host[:port] (none)."`
	RetentionFloor time.Duration `name:"retention-floor" env:"AUDITLOG_RETENTION_FLOOR" default:"2160h" placeholder:"AGE" help:"Age below which nothing may be cleaned up (${default}, 90 days)."`
	QueueEntries   int           `name:"queue-entries" env:"AUDITLOG_QUEUE_ENTRIES" default:"16384" placeholder:"N" help:"Entries that may wait to be appended before writes are answered 503 (${default})."`
	QueueBytes     int           `name:"queue-bytes" env:"AUDITLOG_QUEUE_BYTES" default:"67108864" placeholder:"N" help:"The same in bytes (${default}, 64 MiB)."`
	limitFlags     `embed:""`
	KeysRestored   bool `name:"keys-restored" env:"AUDITLOG_KEYS_RESTORED" help:"The keyring was restored from a backup: start new key epochs, so that no key is used twice. Give it once, at the first start after the restore."`
	BenchNull      bool `name:"bench-null" hidden:"" help:"Adds the route that auditlog bench compares with."`
	BenchAlone     bool `name:"bench-no-group" hidden:"" help:"Commits every unit by itself, for auditlog bench to compare with."`
	logFlags       `embed:""`
}

func (f apiFlags) config() app.Config {
	c := f.dataFlags.config()
	c.Addr, c.OpsAddr, c.Origins, c.RetentionFloor, c.Drain = f.Addr, f.OpsAddr, f.Origins, f.RetentionFloor, f.Drain
	c.QueueEntries, c.QueueBytes = f.QueueEntries, f.QueueBytes
	c.KeysRestored, c.BenchNull = f.KeysRestored, f.BenchNull
	c.BenchAlone, c.Limits = f.BenchAlone, f.limits()
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
