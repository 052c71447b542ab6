package app

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"auditlog/keyring"
)

// Parts say where a service's data lies and what carries its events. Each is chosen for itself.
type Parts struct {
	Store       Secret // AUDITLOG_STORE: "embedded" (the default), or the address of a PostgreSQL database as the service's role
	Lifecycle   Secret // AUDITLOG_LIFECYCLE: the same database as the lifecycle role, which hides and removes what retention ends
	Projections Secret // AUDITLOG_PROJECTIONS: PostgreSQL database of rollups, cursors and leases; default: that of Store

	Keys      Secret // AUDITLOG_KEYS: folder of the keyring, default keys in the data dir; or the address of a PostgreSQL database of its own
	KeySecret Secret // AUDITLOG_KEYS_SECRET: wraps the tenants' keys in a key database; at least 32 bytes

	Bus         string // AUDITLOG_BUS: "inproc" (the default) or "sqs", whose region, credentials and endpoint are the AWS SDK's settings
	QueuePrefix string // AUDITLOG_QUEUE_PREFIX; default auditlog-

	Search SearchPart
}

// SearchPart is the search index. Address is "embedded" (the default) or the nodes of an OpenSearch cluster, by commas.
type SearchPart struct {
	Address  string        // AUDITLOG_SEARCH
	Prefix   string        // AUDITLOG_SEARCH_PREFIX: of every index; default auditlog
	Username string        // AUDITLOG_SEARCH_USERNAME, for basic authentication
	Password Secret        // AUDITLOG_SEARCH_PASSWORD
	CAFile   string        // AUDITLOG_SEARCH_CA_FILE: authorities that sign the cluster's certificate; default the system's
	SigV4    string        // AUDITLOG_SEARCH_SIGV4: "es" or "aoss" signs requests for the managed service
	Replicas int           // AUDITLOG_SEARCH_REPLICAS of each index
	Refresh  time.Duration // AUDITLOG_SEARCH_REFRESH: least time between refreshes of the index; default 1s
	Own      []string      // AUDITLOG_SEARCH_OWN_INDEX: ids of tenants with indices of their own
}

// The values of parts that are no address.
const (
	Embedded  = "embedded" // Store and Search: files in the data dir
	InProcess = "inproc"   // Bus: within the process
	SQS       = "sqs"      // Bus: Amazon SQS, or a server that speaks its protocol
)

// Projections are the destinations of the relay. What "stats" gets goes into the tables of "find", too.
var Projections = []string{"search", "stats", "forget"}

const (
	setStore       = "AUDITLOG_STORE (--store)"
	setLifecycle   = "AUDITLOG_LIFECYCLE (--lifecycle)"
	setProjections = "AUDITLOG_PROJECTIONS (--projections-db)"
	setKeys        = "AUDITLOG_KEYS (--keys)"
	setKeySecret   = "AUDITLOG_KEYS_SECRET (--keys-secret)"
	setBus         = "AUDITLOG_BUS (--bus)"
	setQueuePrefix = "AUDITLOG_QUEUE_PREFIX (--queue-prefix)"
	setSearch      = "AUDITLOG_SEARCH (--search)"
)

func (p Parts) withDefaults(dataDir string) Parts {
	p.Store = cmp.Or(p.Store, Embedded)
	p.Keys = cmp.Or(p.Keys, Secret(filepath.Join(dataDir, "keys")))
	p.Bus = cmp.Or(p.Bus, InProcess)
	p.QueuePrefix = cmp.Or(p.QueuePrefix, "auditlog-")
	p.Search.Address = cmp.Or(p.Search.Address, Embedded)
	p.Search.Prefix = cmp.Or(p.Search.Prefix, "auditlog")
	if !p.embeddedStore() {
		p.Projections = cmp.Or(p.Projections, p.Store)
	}
	return p
}

func (p Parts) embeddedStore() bool  { return p.Store == Embedded }
func (p Parts) embeddedSearch() bool { return p.Search.Address == Embedded }
func (p Parts) keysInDatabase() bool { return isPostgres(string(p.Keys)) }

// inDataDir tells whether files of this process alone hold something.
func (p Parts) inDataDir() bool { return p.embeddedStore() || p.embeddedSearch() }

func isPostgres(address string) bool {
	return strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://")
}

func (p Parts) complain(complain func(setting, format string, args ...any)) {
	p.complainAboutDatabases(complain)
	switch {
	case p.keysInDatabase() && len(p.KeySecret) < keyring.MinSecret:
		complain(setKeySecret, "has %d bytes; a key database needs one of at least %d, e.g. from: openssl rand -hex 32", len(p.KeySecret), keyring.MinSecret)
	case !p.keysInDatabase() && strings.Contains(string(p.Keys), "://"):
		complain(setKeys, "must be a folder, or an address like postgres://role:password@host:5432/database")
	}
	if p.Bus != InProcess && p.Bus != SQS {
		complain(setBus, "must be %s or %s", InProcess, SQS)
	}
	if !p.embeddedSearch() {
		for _, node := range strings.Split(p.Search.Address, ",") {
			if u, err := url.Parse(strings.TrimSpace(node)); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				complain(setSearch, "must be embedded, or addresses like https://host:9200 with commas between them")
				break
			}
		}
	}
}

func (p Parts) complainAboutDatabases(complain func(setting, format string, args ...any)) {
	const form = "must be an address like postgres://role:password@host:5432/database"
	if !p.embeddedStore() {
		if !isPostgres(string(p.Store)) {
			complain(setStore, "must be embedded, or an address like postgres://role:password@host:5432/database")
		}
		switch {
		case p.Lifecycle == "":
			complain(setLifecycle, "must name the same database as %s, as the lifecycle role", setStore)
		case !isPostgres(string(p.Lifecycle)):
			complain(setLifecycle, form)
		}
		if !isPostgres(string(p.Projections)) {
			complain(setProjections, form)
		}
	}
	if p.embeddedStore() && (p.Lifecycle != "" || p.Projections != "") {
		complain(setStore, "is embedded; %s and %s are for a store on PostgreSQL", setLifecycle, setProjections)
	}
}

// describe adds where things lie to the values of a log line, without passwords.
func (p Parts) describe(values ...any) []any {
	store, search := Embedded, Embedded
	if !p.embeddedStore() {
		store = "postgres"
	}
	if !p.embeddedSearch() {
		search = p.Search.Address
	}
	return append(values, "store", store, "bus", p.Bus, "search", search)
}

// named puts a setting's name before an error.
func named(setting string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", setting, err)
}
