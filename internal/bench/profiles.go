package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// profiled saves what a step's load costs the service, as NAME-COMMAND.cpu.pprof and NAME-COMMAND.allocs.pprof: when asked
// for, the load runs once more, so that no figure is taken while profiles are.
func (w *writer) profiled(ctx context.Context, name string, load func(d time.Duration) error) error {
	if w.Profiles == "" {
		return nil
	}
	seconds := max(1, int(w.Duration.Seconds()))
	var all errgroup.Group
	for _, kind := range []struct{ path, name string }{{"profile", "cpu"}, {"allocs", "allocs"}} {
		all.Go(func() error {
			file := filepath.Join(w.Profiles, fmt.Sprintf("%s-%s-%s.%s.pprof", w.tier, name, w.p.cmd.Args[1], kind.name))
			return w.p.profile(ctx, fmt.Sprintf("/debug/pprof/%s?seconds=%d", kind.path, seconds), file)
		})
	}
	err := load(time.Duration(seconds) * time.Second)
	return errors.Join(err, all.Wait())
}

// profile saves one.
func (p *process) profile(ctx context.Context, path, file string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.ops+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s answers %s", path, resp.Status)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, resp.Body)
	return errors.Join(err, out.Close())
}
