package check

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dittofs/gateway/oncrpc/rpcbind"
)

// doctor runs `dittofs doctor` and returns what it said, and whether it found a fault.
func (g *gateway) doctor() (out string, fault bool) {
	b, err := exec.Command(filepath.Join(bin, "dittofs"), "--state", g.State, "doctor").CombinedOutput()
	return string(b), err != nil
}

// The doctor is content with a gateway that serves, and says in a sentence what is wrong with one that does not.
func TestDoctor(t *testing.T) {
	dir := tree(t)
	g := up(t, dir)
	out, fault := g.doctor()
	if fault || !strings.Contains(out, dir+": mounted and served") || !strings.Contains(out, "with all its daemons") || !strings.Contains(out, "every door answers") {
		t.Errorf("a gateway that serves:\n%s", out)
	}

	// Somebody takes NLM's registration, as the kernel's own lock manager does.
	c, err := rpcbind.Dial(t.Context(), "unix", filepath.Join(g.State, "run", "rpcbind.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := rpcbind.Mapping{Program: progNLM, Version: 4, Netid: "tcp", Addr: "0.0.0.0.39.15"}
	if _, err := c.Unset(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.Set(t.Context(), m); err != nil || !ok {
		t.Fatalf("rpcbind: %v %v", ok, err)
	}
	if out, fault := g.doctor(); !fault || !strings.Contains(out, "rpcbind sends clients that look for nlm to port 9999") {
		t.Errorf("NLM's registration is another's:\n%s", out)
	}

	g.Stop()
	l, err := net.Listen("tcp", g.Ready["nfs"])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	os.Chmod(filepath.Join(g.State, "handle.key"), 0o644)
	out, fault = g.doctor()
	self, _ := os.ReadFile("/proc/self/comm")
	for _, want := range []string{"no gateway runs here", "for nfs is taken by " + strings.TrimSpace(string(self)), "can be read by others", "lock database: good"} {
		if !fault || !strings.Contains(out, want) {
			t.Errorf("a stopped gateway, without %q:\n%s", want, out)
		}
	}
	l.Close()
	os.Chmod(filepath.Join(g.State, "handle.key"), 0o600)
	if out, fault := g.doctor(); fault {
		t.Errorf("all is well again:\n%s", out)
	}
}
