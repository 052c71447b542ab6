package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"auditlog/internal/app"
)

// The files under test lie above this package.
func project(name string) string { return filepath.Join("..", "..", name) }

// parseAs is a command line in an environment of its own, and the names of the settings that its command knows.
func parseAs(t *testing.T, args []string, env map[string]string) (c *commands, known []string) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AUDITLOG_") {
			t.Setenv(name, value) // so that it is back afterwards
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	c = &commands{}
	parser, err := kong.New(c, kong.Exit(func(int) {}), kong.BindTo(t.Context(), (*context.Context)(nil)))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		t.Fatalf("auditlog %v: %v", args, err)
	}
	for _, group := range parsed.Selected().AllFlags(false) {
		for _, flag := range group {
			known = append(known, flag.Envs...)
		}
	}
	return c, known
}

// checkProcess tells whether the settings of a process are ones that its command knows and takes.
func checkProcess(t *testing.T, args []string, env map[string]string) {
	t.Helper()
	c, known := parseAs(t, args, env)
	var err error
	switch args[0] {
	case "serve":
		err = c.Serve.config().Validate()
	case "api":
		cfg := c.API.config()
		cfg.Duty = app.APIOnly
		err = cfg.Validate()
	case "worker":
		cfg := c.Worker.config()
		cfg.Duty = app.WorkersOnly
		err = cfg.Validate()
	case "migrate":
		err = c.Migrate.parts().Migratable(app.Owners{Store: app.Secret(c.Migrate.Owner), Projections: app.Secret(c.Migrate.ProjectionsOwner)})
	case "queues":
		known = append(known, everywhere...)
	default:
		t.Fatalf("what does auditlog %v need?", args)
	}
	if err != nil {
		t.Errorf("auditlog %v: %v", args, err)
	}
	for name := range env {
		if strings.HasPrefix(name, "AUDITLOG_") && !slices.Contains(known, name) && !slices.Contains(everywhere, name) {
			t.Errorf("auditlog %v does not know %s", args, name)
		}
	}
}

// everywhere are settings that the files give to all processes, also to those that do without.
var everywhere = []string{
	"AUDITLOG_STORE", "AUDITLOG_LIFECYCLE", "AUDITLOG_KEYS", "AUDITLOG_KEYS_SECRET", "AUDITLOG_BUS", "AUDITLOG_SEARCH",
}

type composeFile struct {
	Services map[string]struct {
		Image       string
		Build       string
		Command     []string
		Environment map[string]string
		Ports       []string
		Volumes     []string
		Restart     string
		Healthcheck struct {
			Test    []string
			Disable bool
		}
	}
}

// required is a variable that compose refuses to do without.
var required = regexp.MustCompile(`\$\{([A-Z_]+):\?[^}]+\}`)

// The files for containers cannot be run here; what can drift is checked: settings, secrets, ports, versions, files.
func TestCompose(t *testing.T) {
	secrets := composeSecrets(t)
	for file, wantSecrets := range map[string]bool{"compose.yaml": true, "compose.embedded.yaml": false} {
		used := map[string]bool{}
		stack := readCompose(t, file, used)
		for name, s := range stack.Services {
			for _, port := range s.Ports {
				if !strings.HasPrefix(port, "127.0.0.1:") {
					t.Errorf("%s: %s publishes %s to others", file, name, port)
				}
			}
			for _, v := range s.Volumes {
				if path, _, _ := strings.Cut(v, ":"); strings.HasPrefix(path, "./") {
					if _, err := os.Stat(project(path)); err != nil {
						t.Errorf("%s: %s: %v", file, name, err)
					}
				}
			}
			if once := s.Healthcheck.Disable && s.Restart == "on-failure"; len(s.Healthcheck.Test) == 0 && !once {
				t.Errorf("%s: %s has no healthcheck", file, name)
			}
			for setting, value := range s.Environment {
				if (strings.Contains(setting, "SECRET") || strings.Contains(setting, "PASSWORD")) && value != dummy && value != "local" {
					t.Errorf("%s: %s has a %s in the file", file, name, setting)
				}
			}
			if s.Build == "" {
				if !regexp.MustCompile(`:\d+\.\d+\.\d+`).MatchString(s.Image) {
					t.Errorf("%s: the version of %s is not fixed: %s", file, name, s.Image)
				}
				continue
			}
			t.Run(file+" "+name, func(t *testing.T) { checkProcess(t, s.Command, s.Environment) })
		}
		for _, name := range secrets {
			if wantSecrets && !used[name] {
				t.Errorf("%s: nobody uses %s", file, name)
			}
			delete(used, name)
		}
		for name := range used {
			t.Errorf("%s: no script makes %s", file, name)
		}
	}
}

// dummy stands for every secret.
const dummy = "0123456789abcdef0123456789abcdef"

// readCompose reads a file with dummies for its variables, which it notes.
func readCompose(t *testing.T, file string, used map[string]bool) (stack composeFile) {
	t.Helper()
	raw, err := os.ReadFile(project(file))
	if err != nil {
		t.Fatal(err)
	}
	raw = required.ReplaceAllFunc(raw, func(b []byte) []byte {
		used[string(required.FindSubmatch(b)[1])] = true
		return []byte(dummy)
	})
	if i := bytes.Index(raw, []byte("${")); i >= 0 {
		t.Errorf("%s: a variable with a default, or none: %.40s", file, raw[i:])
	}
	if err := yaml.Unmarshal(raw, &stack); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(stack.Services) == 0 {
		t.Fatalf("%s has no services", file)
	}
	return stack
}

// composeSecrets are the names that the script gives values of their own.
func composeSecrets(t *testing.T) (names []string) {
	t.Helper()
	out, err := exec.Command(project("deploy/compose/env.sh")).Output()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if len(value) != 64 || values[value] {
			t.Errorf("%s=%s is no secret of its own", name, value)
		}
		values[value] = true
		names = append(names, name)
	}
	return names
}

type container struct {
	Name string
	Args []string
	Env  []struct {
		Name      string
		ValueFrom map[string]struct{ Name, Key string } `yaml:"valueFrom"`
	}
	EnvFrom []map[string]struct{ Name string } `yaml:"envFrom"`
}

type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Template struct {
			Spec struct {
				Containers                    []container
				InitContainers                []container `yaml:"initContainers"`
				TerminationGracePeriodSeconds int         `yaml:"terminationGracePeriodSeconds"`
			}
		}
	}
}

func TestKubernetes(t *testing.T) {
	raw, err := os.ReadFile(project("deploy/kubernetes.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	secrets, config, processes := kubernetesSecrets(string(raw)), map[string]string(nil), 0
	for d := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var m manifest
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if m.Kind == "ConfigMap" {
			config = m.Data
		}
		pod := m.Spec.Template.Spec
		if m.Kind == "Deployment" && pod.TerminationGracePeriodSeconds < 35 {
			t.Errorf("%s is killed after %d s, before it has drained", m.Metadata.Name, pod.TerminationGracePeriodSeconds)
		}
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			processes++
			env := map[string]string{}
			for _, e := range c.Env {
				if s := e.ValueFrom["secretKeyRef"]; s.Key != "" && !slices.Contains(secrets[s.Name], s.Key) {
					t.Errorf("%s: no secret %s has %s", m.Metadata.Name, s.Name, s.Key)
				}
				env[e.Name] = example(e.Name)
			}
			for _, from := range c.EnvFrom {
				for _, name := range secrets[from["secretRef"].Name] {
					env[name] = example(name)
				}
				if from["configMapRef"].Name != "" {
					for name, value := range config {
						env[name] = value
					}
				}
			}
			t.Run(m.Metadata.Name+" "+c.Name, func(t *testing.T) { checkProcess(t, c.Args, env) })
		}
	}
	if processes != 4 {
		t.Errorf("found %d processes", processes)
	}
}

// kubernetesSecrets are the secrets that the sample's head lists, with their settings.
func kubernetesSecrets(raw string) map[string][]string {
	secrets := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^#   (auditlog-\w+) +(.*)$`).FindAllStringSubmatch(raw, -1) {
		secrets[m[1]] = strings.Fields(m[2])
	}
	return secrets
}

// example is a value that a setting takes.
func example(setting string) string {
	switch setting {
	case "AUDITLOG_STORE", "AUDITLOG_LIFECYCLE", "AUDITLOG_OWNER":
		return "postgres://" + strings.ToLower(setting) + "@db/auditlog"
	case "AUDITLOG_KEYS":
		return "postgres://auditlog_keys@db/auditlog_keys"
	}
	return dummy
}
