package opensearch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	osclient "github.com/opensearch-project/opensearch-go/v4"
	"github.com/opensearch-project/opensearch-go/v4/signer/awsv2"

	"auditlog/eventstore"
	"auditlog/internal/entry"
)

// Store is what the index reads of the event store: whole entries when one changed, and shards for a rebuild.
type Store interface {
	Shards() int
	ShardHead(ctx context.Context, shard eventstore.Shard) (eventstore.ShardHead, error)
	ReadShard(ctx context.Context, shard eventstore.Shard, after eventstore.Offset, limit int) ([]eventstore.Event, error)
	Get(ctx context.Context, tenant eventstore.TenantID, id eventstore.EventID) (eventstore.Event, error)
	About(ctx context.Context, tenant eventstore.TenantID, entries []eventstore.EventID) ([]eventstore.Event, error)
	Purges(ctx context.Context, tenant eventstore.TenantID) ([]eventstore.Purge, error)
}

// Opener opens private parts; entry.Opener is one.
type Opener interface {
	Open(ctx context.Context, ev eventstore.Event) (entry.Opened, error)
}

// Placement says in which indices a tenant's documents lie. A generation keeps the first that it was given, so a change
// takes effect with the next rebuild.
type Placement struct {
	Class string // retention class, lower-case letters and digits, e.g. "90d"; "" is "all"
	Own   bool   // indices of its own, whatever the class
}

// Config of an index. State, Store, Opener, Addresses and Log are required; zero values of the rest take the defaults.
type Config struct {
	Addresses []string // of the server's nodes, e.g. http://127.0.0.1:9200
	Prefix    string   // of every index, and the alias; lower-case letters and digits; default "auditlog"

	Username string // for basic authentication; "": none
	Password Secret
	CAFile   string   // PEM file of the authorities that sign the server's certificate; "": the system's
	AWS      *SigV4   // sign requests for the managed service; excludes Username
	Replicas int      // copies of each index's shards; default 0
	Shards   int      // of each index; default 1
	Requests Requests // bounds of what is sent

	Refresh  time.Duration // least time between two refreshes; default 1 s
	Poll     time.Duration // how often marks that other processes set are looked for; default 250 ms, and a fifth of it for 2 s after somebody asked for the next move
	Scrub    time.Duration // how often removed words are cleared from files; default 1 min
	ReadOnly bool          // this process asks and applies nothing: it refreshes and scrubs nothing

	State  State
	Store  Store
	Opener Opener
	Place  func(ctx context.Context, tenant eventstore.TenantID) (Placement, error) // nil: all in class "all"
	Clock  func() time.Time                                                         // default time.Now
	Log    *slog.Logger
}

// Requests are bounds of what is sent to the server.
type Requests struct {
	Timeout  time.Duration // of one request; default 10 s
	Patience time.Duration // for what the server refuses for now, before Apply gives up; default 5 s
	MaxBytes int           // of one _bulk; default 5 MB. A document may be larger, alone
	Parallel int           // _bulk requests at a time; default 2
}

// SigV4 signs requests with AWS Signature Version 4.
type SigV4 struct {
	Region      string
	Service     string // "es" for domains, the default; "aoss" for serverless
	Credentials aws.CredentialsProvider
}

// Secret prints as [redacted].
type Secret string

func (Secret) String() string       { return "[redacted]" }
func (Secret) GoString() string     { return "[redacted]" }
func (Secret) LogValue() slog.Value { return slog.StringValue("[redacted]") }

var (
	soundPrefix = regexp.MustCompile(`^[a-z0-9]{1,60}$`)
	soundClass  = regexp.MustCompile(`^[a-z0-9]{1,20}$`) // no hyphen, so it is never a tenant's own group
)

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	def(&c.Refresh, time.Second)
	def(&c.Poll, 250*time.Millisecond)
	def(&c.Scrub, time.Minute)
	def(&c.Requests.Timeout, 10*time.Second)
	def(&c.Requests.Patience, 5*time.Second)
	if c.Requests.MaxBytes <= 0 {
		c.Requests.MaxBytes = 5 << 20
	}
	if c.Requests.Parallel <= 0 {
		c.Requests.Parallel = 2
	}
	if c.Shards <= 0 {
		c.Shards = 1
	}
	if c.Prefix == "" {
		c.Prefix = "auditlog"
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Place == nil {
		c.Place = func(context.Context, eventstore.TenantID) (Placement, error) { return Placement{}, nil }
	}
	return c
}

// validate reports all complaints at once.
func (c Config) validate() error {
	var errs []error
	complain := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s "+format, append([]any{field}, args...)...))
	}
	if len(c.Addresses) == 0 {
		complain("Addresses", "must name at least one node")
	}
	for _, a := range c.Addresses {
		u, err := url.Parse(a)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			complain("Addresses", "must be http or https URLs")
		case u.User != nil:
			complain("Addresses", "must not hold a password; use Username and Password")
		case u.Scheme == "http" && c.CAFile != "":
			complain("CAFile", "is for https addresses")
		}
	}
	if !soundPrefix.MatchString(c.Prefix) {
		complain("Prefix", "must be 1 to 60 lower-case letters and digits")
	}
	if c.AWS != nil {
		if c.Username != "" {
			complain("AWS", "and Username exclude each other")
		}
		if c.AWS.Region == "" || c.AWS.Credentials == nil {
			complain("AWS", "needs a region and credentials")
		}
	}
	if c.Username == "" && c.Password != "" {
		complain("Password", "needs a Username")
	}
	if c.State == nil || c.Store == nil || c.Opener == nil || c.Log == nil {
		complain("State, Store, Opener and Log", "are required")
	}
	return errors.Join(errs...)
}

// client makes the client. It retries nothing by itself: what may be sent again is decided per item.
func (c Config) client() (*osclient.Client, error) {
	o := osclient.Config{
		Addresses: c.Addresses, Username: c.Username, Password: string(c.Password),
		DisableRetry: true,
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("CAFile: %w", err)
		}
		o.CACert = pem
	}
	if c.AWS != nil {
		service := c.AWS.Service
		if service == "" {
			service = "es"
		}
		signer, err := awsv2.NewSignerWithService(aws.Config{Region: c.AWS.Region, Credentials: c.AWS.Credentials}, service)
		if err != nil {
			return nil, err
		}
		o.Signer = signer
	}
	return osclient.NewClient(o)
}
