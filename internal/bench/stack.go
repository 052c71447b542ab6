package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Servers are what the distributed tier is measured on. Region, credentials and endpoint of SQS are the AWS SDK's settings.
type Servers struct {
	Postgres string // address of a server as its superuser
	Search   string // address of an OpenSearch node
}

// stack is a service on the servers, with databases, roles, queues and indices of its own, made by the program's own
// commands.
type stack struct {
	*run
	name     string            // of all that it makes
	settings map[string]string // of every process, by variable
	secret   secret            // signs tokens
	server   *pgx.Conn         // as the superuser
	owner    string            // address of the database as the superuser
	db       *pgx.Conn         // at owner

	databases, roles []string // made
	prepared         bool     // queues and indices may be there
	running          []*process
	tenants          int
}

// newStack makes a stack; remove is due also when there is an error.
func (r *run) newStack(ctx context.Context) (*stack, error) {
	s := &stack{run: r, name: "bench" + strings.ToLower(rand.Text()[:10]), secret: newSecret()}
	s.Say("  in databases, roles, queues and indices called " + s.name + "…")
	var err error
	if s.server, err = pgx.Connect(ctx, r.Servers.Postgres); err != nil {
		return s, fmt.Errorf("--postgres: %w", err)
	}
	service, err := s.role(ctx, "service")
	if err != nil {
		return s, err
	}
	lifecycle, err := s.role(ctx, "lifecycle")
	if err != nil {
		return s, err
	}
	keeper, err := s.role(ctx, "keeper")
	if err != nil {
		return s, err
	}
	if s.owner, err = s.database(ctx, s.name, ""); err != nil {
		return s, err
	}
	keys, err := s.database(ctx, s.name+"_keys", keeper.Username())
	if err != nil {
		return s, err
	}
	if s.db, err = pgx.Connect(ctx, s.owner); err != nil {
		return s, err
	}
	s.settings = map[string]string{
		"AUDITLOG_OWNER": s.owner, "AUDITLOG_STORE": as(s.owner, service), "AUDITLOG_LIFECYCLE": as(s.owner, lifecycle),
		"AUDITLOG_KEYS": as(keys, keeper), "AUDITLOG_KEYS_SECRET": rand.Text() + rand.Text(), "AUDITLOG_JWT_SECRET": string(s.secret),
		"AUDITLOG_BUS": "sqs", "AUDITLOG_QUEUE_PREFIX": s.name + "-",
		"AUDITLOG_SEARCH": r.Servers.Search, "AUDITLOG_SEARCH_PREFIX": s.name, "AUDITLOG_SEARCH_REFRESH": refresh.String(),
	}
	if err := s.do(ctx, "migrate"); err != nil {
		return s, err
	}
	s.prepared = true
	return s, s.do(ctx, "queues", "ensure")
}

// refresh is the index's interval, its default.
const refresh = time.Second

// role makes a role that may log in.
func (s *stack) role(ctx context.Context, purpose string) (*url.Userinfo, error) {
	name, password := s.name+"_"+purpose, rand.Text()
	if _, err := s.server.Exec(ctx, `CREATE ROLE `+name+` LOGIN PASSWORD '`+password+`'`); err != nil {
		return nil, err
	}
	s.roles = append(s.roles, name)
	return url.UserPassword(name, password), nil
}

// database makes an empty database, of the superuser unless an owner is named, and gives its address as the superuser.
func (s *stack) database(ctx context.Context, name, owner string) (string, error) {
	make := `CREATE DATABASE ` + name
	if owner != "" {
		make += ` OWNER ` + owner
	}
	if _, err := s.server.Exec(ctx, make); err != nil {
		return "", err
	}
	s.databases = append(s.databases, name)
	return in(s.Servers.Postgres, name)
}

// in is an address for another database.
func in(address, database string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("--postgres: must be a URL")
	}
	u.Path = "/" + database
	return u.String(), nil
}

// as is an address for another role.
func as(address string, role *url.Userinfo) string {
	u, err := url.Parse(address)
	if err != nil {
		return "" // it was made by database
	}
	u.User = role
	return u.String()
}

// env is the settings, some of them changed.
func (s *stack) env(changes map[string]string) []string {
	var env []string
	for name, value := range s.settings {
		if _, changed := changes[name]; !changed {
			env = append(env, name+"="+value)
		}
	}
	for name, value := range changes {
		env = append(env, name+"="+value)
	}
	return environ(env)
}

// do runs a command of the program to its end.
func (s *stack) do(ctx context.Context, args ...string) error { return s.doWith(ctx, nil, args...) }

func (s *stack) doWith(ctx context.Context, changes map[string]string, args ...string) error {
	cmd := exec.CommandContext(ctx, s.Binary, args...)
	cmd.Env = s.env(changes)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("auditlog %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// start starts a process, which ends with the stack at the latest.
func (s *stack) start(ctx context.Context, changes map[string]string, command string, args ...string) (*process, error) {
	p, err := spawn(ctx, s.Binary, s.env(changes), nil, command, args...)
	if err != nil {
		return nil, err
	}
	s.running = append(s.running, p)
	return p, p.ready()
}

// api starts a process for requests.
func (s *stack) api(ctx context.Context, args ...string) (*process, error) {
	return s.start(ctx, nil, "api", append([]string{"--bench-null"}, args...)...)
}

// worker starts a process with relay and projections.
func (s *stack) worker(ctx context.Context) (*process, error) { return s.start(ctx, nil, "worker") }

// tenant makes a tenant and gives tokens for it, by role.
func (s *stack) tenant(p *process) (map[string]string, error) {
	admin, err := s.mint("admin", "")
	if err != nil {
		return nil, err
	}
	c, err := dial(p.addr)
	if err != nil {
		return nil, err
	}
	defer c.close()
	s.tenants++
	id, err := createTenant(c, admin, fmt.Sprintf("bench-%d", s.tenants))
	if err != nil {
		return nil, err
	}
	tokens := map[string]string{}
	for _, role := range []string{"writer", "reader", "auditor"} {
		if tokens[role], err = s.mint(role, id); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

func (s *stack) mint(role, tenant string) (string, error) { return s.secret.mint(role, tenant) }

// end stops processes, at the same time.
func (s *stack) end(all ...*process) error {
	ended := make(chan error, len(all))
	for _, p := range all {
		go func() { ended <- p.stop() }()
	}
	var errs []error
	for range all {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

// remove ends the processes and removes all that was made. It works on when something fails, so that a server that is
// away keeps nothing on the others.
func (s *stack) remove(ctx context.Context) error {
	errs := []error{s.end(s.running...)}
	for _, remove := range []func(context.Context) error{s.removeQueues, s.removeIndices, s.removeDatabases} {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		errs = append(errs, remove(ctx))
		cancel()
	}
	return errors.Join(errs...)
}

func (s *stack) removeDatabases(ctx context.Context) error {
	if s.server == nil {
		return nil
	}
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close(ctx))
	}
	for _, name := range s.databases {
		_, err := s.server.Exec(ctx, `DROP DATABASE `+name+` WITH (FORCE)`)
		errs = append(errs, err)
	}
	for _, name := range s.roles {
		_, err := s.server.Exec(ctx, `DROP ROLE `+name)
		errs = append(errs, err)
	}
	return errors.Join(append(errs, s.server.Close(ctx))...)
}
