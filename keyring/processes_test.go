package keyring_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"auditlog/keyring"
	"auditlog/keyring/file"
)

// childFolder, in the environment, makes the test binary one of the processes below.
const childFolder = "KEYRING_TEST_FOLDER"

func TestMain(m *testing.M) {
	dir := os.Getenv(childFolder)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := sealAsChild(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// sealAsChild prints the refs of 500 messages and punctures every tenth. It ends without Close, as a killed process.
func sealAsChild(dir string) error {
	ctx := context.Background()
	d, err := file.Open(dir)
	if err != nil {
		return err
	}
	r := keyring.New(d, keyring.Options{MinLease: 1, MaxLease: 16})
	if err := r.CreateTenant(ctx, tenantA); err != nil {
		return err
	}
	for i := range 500 {
		sealed, ref, err := r.Seal(ctx, tenantA, tenantA, nil, []byte("x"))
		if err != nil {
			return err
		}
		if i%10 == 9 {
			if err := r.Puncture(ctx, tenantA, []keyring.Ref{ref}); err != nil {
				return err
			}
		}
		fmt.Printf("%d %d %v %x\n", ref.Epoch, ref.Index, i%10 == 9, sealed)
	}
	return nil
}

// TestProcessesNeverShareALeaf runs three processes on one folder that does not exist yet: they race for the master key,
// the tenant, leases, epochs of the real size and punctures.
func TestProcessesNeverShareALeaf(t *testing.T) {
	dir := t.TempDir() + "/keys"
	outs := make([]bytes.Buffer, 3)
	var running []*exec.Cmd
	for i := range outs {
		c := exec.CommandContext(t.Context(), os.Args[0])
		c.Env = append(os.Environ(), childFolder+"="+dir)
		c.Stdout, c.Stderr = &outs[i], os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, c)
	}
	for _, c := range running {
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	r := withTenant(t, keyring.New(openFolder(t, dir), keyring.Options{}))
	var all []keyring.Ref
	for i := range outs {
		lines := bufio.NewScanner(&outs[i])
		for lines.Scan() {
			m, gone := message{event: tenantA, plain: []byte("x")}, false
			if _, err := fmt.Sscanf(lines.Text(), "%d %d %t %x", &m.ref.Epoch, &m.ref.Index, &gone, &m.sealed); err != nil {
				t.Fatal(err)
			}
			all = append(all, m.ref)
			mustOpen(t, t, r, m, gone)
		}
	}
	if len(all) != 1500 {
		t.Fatalf("%d messages", len(all))
	}
	unique(t, all)
}
