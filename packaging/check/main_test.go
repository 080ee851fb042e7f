// Package check meets the built programs, as processes, with real clients: smbclient, libnfs, impacket, programs on the mount.
//
// The tests run in mount, network and process namespaces of their own, so that the standard ports 111, 445 and 2049 are free, nothing
// leaves the machine, and whatever a test leaves behind ends with it. They need root.
//
// No locks.
package check

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const inside = "DITTOFS_CHECK_INSIDE"

// bin is the directory of the built programs.
var bin string

func TestMain(m *testing.M) {
	if what := os.Getenv(exerciserEnv); what != "" {
		exercise(what)
		return
	}
	if os.Getenv(inside) == "" {
		os.Exit(enter())
	}
	if err := settle(); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// enter runs this test program again in new namespaces and returns its exit status.
func enter() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	err := cmd.Run()
	if e, ok := err.(*exec.ExitError); ok && e.ExitCode() >= 0 {
		return e.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "check: the tests need root, for namespaces of their own:", err)
		return 1
	}
	return 0
}

// settle makes the new namespaces a small machine: private mounts, its own /proc and /run, the loopback interface up, the programs built.
func settle() error {
	for _, m := range []struct {
		source, target, fstype string
		flags                  uintptr
	}{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE},
		{"proc", "/proc", "proc", 0},
		{"run", "/run", "tmpfs", 0},
	} {
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"addr", "add", "10.77.0.2/24", "dev", "lo"}} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %s", args, out)
		}
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	if bin = os.Getenv("DITTOFS_BIN"); bin != "" {
		return nil
	}
	bin = filepath.Join(root, "bin")
	out, err := exec.Command("make", "-C", root, "build").CombinedOutput()
	if err != nil {
		return fmt.Errorf("make build: %s", out)
	}
	return nil
}
