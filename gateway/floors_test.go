package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// floors is the floor plan: a package may import only packages of lower floors, or of its own floor in the same subtree's room.
var floors = map[string]int{
	"gateway": 5, "fusefs": 5, "lockd": 5, "statd": 5, "smbd": 5,
	"gateway/internal/server": 4, "gateway/admin": 4,
	"gateway/internal/nfs3": 3, "gateway/internal/mount3": 3, "gateway/internal/hatch": 3,
	"lockd/server": 3, "statd/server": 3, "smbd/server": 3, "fusefs/tree": 3,
	"gateway/internal/lockmgr": 2, "smbd/fscc": 2, "smbd/rpc": 2, "smbd/seal": 2,
	"gateway/internal/lockdb/badger": 2, "gateway/oncrpc/rpcbind": 2, "gateway/oncrpc/gss": 2, "gateway/ipc": 2,
	"gateway/daemon": 1, "gateway/accounts": 0, "gateway/oncrpc": 1, "gateway/export": 1, "gateway/internal/lockdb": 1,
	"gateway/lock/locktest": 1, "gateway/lock/seat": 1, "lockd/nlm": 1, "statd/nsm": 1, "smbd/smb2": 1, "smbd/dtyp": 1, "smbd/auth": 1,
	"gateway/xdr": 0, "gateway/fuzz": 0, "gateway/krb5": 0, "gateway/ipc/lockpb": 1, "gateway/internal/lockdb/record": 0, "gateway/lock": 0, "gateway/config": 0, "smbd/wire": 0, "smbd/ntstatus": 0, "smbd/appledouble": 0,
}

// gates says which packages alone may import a library.
var gates = map[string][]string{
	"github.com/dgraph-io/badger": {"gateway/internal/lockdb/badger"},
	"github.com/jcmturner/gokrb5": {"gateway/krb5"},
	"github.com/hanwen/go-fuse":   {"fusefs/tree"},
	"github.com/urfave/cli":       {"gateway/daemon", "gateway/admin"},
	"github.com/containerd/ttrpc": {"gateway/ipc", "gateway/ipc/lockpb", "gateway/internal/hatch"},
}

// rooms lists the daemons' own rooms: only gateway/ shares.
var rooms = []string{"fusefs", "lockd", "statd", "smbd"}

func TestFloors(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "dittofs/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range bytes.Lines(out) {
		f := strings.Fields(string(line))
		pkg := strings.TrimPrefix(f[0], "dittofs/")
		if strings.HasPrefix(pkg, "packaging/") {
			continue
		}
		level, ok := floors[pkg]
		if !ok {
			t.Errorf("%s stands on no floor", pkg)
			continue
		}
		seen++
		for _, imp := range f[1:] {
			for lib, only := range gates {
				if strings.HasPrefix(imp, lib) && !contains(only, pkg) {
					t.Errorf("%s imports %s, which only %v may", pkg, imp, only)
				}
			}
			dep, ours := strings.CutPrefix(imp, "dittofs/")
			if !ours {
				continue
			}
			if floors[dep] >= level {
				t.Errorf("%s (floor %d) imports %s (floor %d)", pkg, level, dep, floors[dep])
			}
			for _, r := range rooms {
				if strings.HasPrefix(dep, r+"/") && pkg != r && !strings.HasPrefix(pkg, r+"/") {
					t.Errorf("%s enters %s's room: %s", pkg, r, dep)
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d packages were looked at", seen)
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
