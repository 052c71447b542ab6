package app

import (
	"fmt"
	"strings"
	"testing"
)

func TestSecretsAreNotShown(t *testing.T) {
	c := Config{JWTSecret: "0123456789abcdef0123456789abcdef"}
	c.Parts = Parts{Store: "postgres://s:0123456789@x", Lifecycle: "postgres://l:0123456789@x", Projections: "postgres://p:0123456789@x",
		Keys: "postgres://k:0123456789@x", KeySecret: "0123456789", Search: SearchPart{Password: "0123456789"}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, c); strings.Contains(text, "0123456789") || !strings.Contains(text, "[redacted]") {
			t.Errorf("%s shows %s", format, text)
		}
	}
	got, err := c.SigningSecret()
	if err != nil || string(got) != string(c.JWTSecret) {
		t.Errorf("the secret itself is %q, %v", got, err)
	}
}

func TestValidateNamesEverySettingAtOnce(t *testing.T) {
	err := Config{Addr: "x", OpsAddr: "127.0.0.1:70000", Parts: Parts{Store: "here", Keys: "mysql://x", Bus: "x", Search: SearchPart{Address: "x"}}, JWTSecret: "short", RetentionFloor: -1, Drain: -1, QueueEntries: -1, Limits: Limits{Requests: -2, Tenants: []string{"x"}, Bodies: 1 << 30, TrustedProxies: []string{"10.0.0.0/33"}}, QueueBytes: -1, Origins: []string{"x"}}.Validate()
	if err == nil {
		t.Fatal("no complaint")
	}
	for _, setting := range []string{setAddr, setOps, setKeys, setSecret, setFloor, setDrain, setQueue, setBytes, setOrigins, setStore, setLifecycle, setBus, setSearch,
		"AUDITLOG_LIMIT_REQUESTS (--limit-requests)", "AUDITLOG_INFLIGHT_BODIES (--inflight-bodies)", setLimitTenants, setTrustedProxies} {
		if !strings.Contains(err.Error(), setting+": ") {
			t.Errorf("%s is not named in %v", setting, err)
		}
	}
	if strings.Contains(err.Error(), "short") {
		t.Error("the message shows the secret")
	}
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

// What several processes share must be where all of them reach it.
func TestValidateSharing(t *testing.T) {
	const db, secret = "postgres://service@db/auditlog", "0123456789abcdef0123456789abcdef"
	shared := Parts{Store: db, Lifecycle: "postgres://lifecycle@db/auditlog", Bus: SQS, Search: SearchPart{Address: "https://one:9200,https://two:9200"}}
	with := func(change func(*Config)) Config {
		c := Config{Parts: shared, JWTSecret: secret, Duty: APIOnly}
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		config Config
		names  string // the setting that is at fault; "": none
	}{
		"an api":                              {with(func(*Config) {}), ""},
		"a worker without a secret":           {with(func(c *Config) { c.Duty, c.JWTSecret = WorkersOnly, "" }), ""},
		"a worker of two projections":         {with(func(c *Config) { c.Duty, c.Only = WorkersOnly, []string{"search", "forget"} }), ""},
		"all in one on embedded search":       {with(func(c *Config) { c.Duty, c.Parts.Search.Address = Both, "" }), ""},
		"keys in a database":                  {with(func(c *Config) { c.Parts.Keys, c.Parts.KeySecret = "postgres://keys@db/keys", secret }), ""},
		"an api on embedded parts":            {Config{Duty: APIOnly, Parts: Parts{Search: SearchPart{Address: "http://one:9200"}}}, setStore},
		"an api on an embedded index":         {with(func(c *Config) { c.Parts.Search.Address = Embedded }), setSearch},
		"an api without a secret":             {with(func(c *Config) { c.JWTSecret = "" }), setSecret},
		"no lifecycle role":                   {with(func(c *Config) { c.Parts.Lifecycle = "" }), setLifecycle},
		"a database for embedded parts":       {Config{Parts: Parts{Projections: db}}, setStore},
		"keys in a database without secret":   {with(func(c *Config) { c.Parts.Keys = "postgres://keys@db/keys" }), setKeySecret},
		"an unknown projection":               {with(func(c *Config) { c.Duty, c.Only = WorkersOnly, []string{"search", "feed"} }), setOnly},
		"a part of the projections, no queue": {with(func(c *Config) { c.Duty, c.Only, c.Parts.Bus = WorkersOnly, []string{"search"}, InProcess }), setOnly},
	} {
		err := c.config.Validate()
		switch {
		case c.names == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.names != "" && (err == nil || !strings.HasPrefix(err.Error(), c.names+": ") || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: got %v, want %s alone", name, err, c.names)
		}
	}
}
