package main

import (
	"fmt"
	"os"
	"os/exec"

	"dittofs/packaging/bench/side"
)

// settle makes the namespaces a small machine with rpcbind and, for NFS-Ganesha's locks, the system's statd.
func settle() error {
	if err := side.Settle("/var/lib/nfs"); err != nil {
		return err
	}
	for _, d := range []string{"/run/rpcbind", "/var/lib/nfs/sm", "/var/lib/nfs/sm.bak", "/run/ganesha", "/var/lib/nfs/ganesha"} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			return err
		}
		os.Chmod(d, 0o777)
	}
	if out, err := exec.Command("rpcbind", "-w").CombinedOutput(); err != nil {
		return fmt.Errorf("rpcbind: %s", out)
	}
	return nil
}
