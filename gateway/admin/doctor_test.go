package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The kernel's lock manager serves mounts of version 3 that do not keep locks to themselves.
func TestNFSMounts(t *testing.T) {
	f := filepath.Join(t.TempDir(), "mounts")
	os.WriteFile(f, []byte("a:/x /v3 nfs rw,vers=3,proto=tcp 0 0\na:/x /nolock nfs rw,vers=3,nolock 0 0\na:/x /local nfs rw,vers=3,local_lock=all 0 0\n"+
		"a:/x /v4 nfs4 rw,vers=4.2 0 0\n/dev/sda / ext4 rw 0 0\nbad\n"), 0o600)
	if got := nfsMounts(f); !slices.Equal(got, []string{"/v3"}) {
		t.Errorf("%v", got)
	}
}
