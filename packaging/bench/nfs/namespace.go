package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

const inside = "DITTOFS_BENCH_INSIDE"

// enter runs this program again in new namespaces and returns its exit status.
func enter() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if e, ok := err.(*exec.ExitError); ok && e.ExitCode() >= 0 {
		return e.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: needs root, for namespaces of its own:", err)
		return 1
	}
	return 0
}

// settle makes the namespaces a small machine with rpcbind and, for NFS-Ganesha's locks, the system's statd.
func settle() error {
	for _, m := range []struct {
		source, target, fstype string
		flags                  uintptr
	}{{"", "/", "", unix.MS_REC | unix.MS_PRIVATE}, {"proc", "/proc", "proc", 0}, {"run", "/run", "tmpfs", 0}, {"nfs", "/var/lib/nfs", "tmpfs", 0}} {
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	for _, d := range []string{"/run/rpcbind", "/var/lib/nfs/sm", "/var/lib/nfs/sm.bak", "/run/ganesha", "/var/lib/nfs/ganesha"} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			return err
		}
		os.Chmod(d, 0o777)
	}
	for _, args := range [][]string{{"ip", "link", "set", "lo", "up"}, {"rpcbind", "-w"}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %s", args, out)
		}
	}
	return nil
}

// ground makes the directory that is served, writable for everybody.
func ground(dir string, memory bool) (string, func(), error) {
	leave := func() {}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	if memory {
		if err := unix.Mount("bench", dir, "tmpfs", 0, "size=1500m"); err != nil {
			return "", nil, err
		}
		leave = func() { unix.Unmount(dir, unix.MNT_DETACH) }
	}
	dir += "/tree"
	if err := os.Mkdir(dir, 0o777); err != nil {
		return "", nil, err
	}
	return dir, leave, os.Chmod(dir, 0o777)
}
